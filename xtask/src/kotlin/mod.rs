//! The Kotlin package: compiled with warnings as errors and tested on the JVM against the library of
//! this machine, its Android parts against the classes of the real framework.

mod compile;
mod jars;
mod junit;
mod project;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use self::{jars::Jars, project::Project};
use crate::{
    bindings::{build_library, generate},
    process::target,
};

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
        Some(out) => {
            generate("kotlin", &build_library()?, out).map(|()| format!("generated into {}", out.display()))
        }
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
    generate("kotlin", &library, &generated)?;
    Project::new(Jars::read(folder().join("jars"))?, library, generated)
}

/// Where everything of this step is kept.
fn folder() -> PathBuf {
    target().join("kotlin")
}
