//! The Kotlin package: compiled with warnings as errors and tested on the JVM against the library of
//! this machine, its Android parts against the classes of the real framework.

mod compile;
mod jars;
mod junit;
mod project;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;

use self::{jars::Jars, project::Project};
use crate::process::{RUNTIME, cargo, run, target};

/// What to do.
#[derive(Args)]
pub(crate) struct Options {
    /// Only generate the Kotlin code over the library, into this folder
    #[arg(long, value_name = "FOLDER")]
    generate: Option<PathBuf>,
}

/// Builds the library and the Kotlin code and runs its tests, or only generates.
pub(crate) fn run_with(options: &Options) -> Result<String> {
    match &options.generate {
        Some(out) => generate(&build_library()?, out).map(|()| format!("generated into {}", out.display())),
        None => check(),
    }
}

/// Builds the library and the Kotlin code, and runs its tests.
pub(crate) fn check() -> Result<String> {
    let passed = project()?.test()?;
    ensure!(passed > 0, "no test of the Kotlin code ran");
    println!("kotlin: {passed} passed, 0 failed");
    Ok(format!("{passed} tests"))
}

/// The classes of the package, in folders.
pub(crate) fn package() -> Result<Vec<PathBuf>> {
    project()?.package()
}

fn project() -> Result<Project> {
    let library = build_library()?;
    let generated = folder().join("generated");
    generate(&library, &generated)?;
    Project::new(Jars::read(folder().join("jars"))?, library, generated)
}

/// Where everything of this step is kept.
fn folder() -> PathBuf {
    target().join("kotlin")
}

/// The library for this machine, built with the features of dependencies that the other tests have too.
fn build_library() -> Result<PathBuf> {
    run(cargo().arg("build").args(RUNTIME).args(["--lib", "--quiet"]))?;
    let name = format!("{}otaro_ffi{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = target().join("debug").join(name);
    ensure!(library.is_file(), "cargo built no {}", library.display());
    Ok(library)
}

/// The Kotlin code over the library, which is not committed.
fn generate(library: &Path, out: &Path) -> Result<()> {
    let generator =
        ["run", "--quiet", "-p", "otaro-ffi", "--features", "cli", "--bin", "uniffi-bindgen", "--"];
    let what = ["generate", "--language", "kotlin", "--no-format", "--library"];
    run(cargo().args(generator).args(what).arg(library).arg("--out-dir").arg(out))
}
