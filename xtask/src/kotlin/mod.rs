//! The Kotlin package: compiled with warnings as errors and tested on the JVM against the library of
//! this machine, its Android parts against the classes of the real framework.

mod compile;
mod jars;
mod junit;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::{
    compile::{Compilation, Rules},
    jars::{Jars, Set},
};
use crate::process::{RUNTIME, cargo, root, run, target};

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
    let library = build_library()?;
    let generated = folder().join("generated");
    generate(&library, &generated)?;
    let jars = Jars::read(folder().join("jars"))?;
    let passed = Project { jars, library, generated }.test()?;
    ensure!(passed > 0, "no test of the Kotlin code ran");
    println!("kotlin: {passed} passed, 0 failed");
    Ok(format!("{passed} tests"))
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
    let generator = ["run", "--quiet", "-p", "otaro-ffi", "--features", "cli", "--bin", "uniffi-bindgen", "--"];
    let what = ["generate", "--language", "kotlin", "--no-format", "--library"];
    run(cargo().args(generator).args(what).arg(library).arg("--out-dir").arg(out))
}

/// The Kotlin code with what it is compiled from and against.
struct Project {
    jars: Jars,
    library: PathBuf,
    generated: PathBuf,
}

impl Project {
    /// Compiles all of it and runs the tests; returns how many passed.
    fn test(&self) -> Result<usize> {
        let compiler = self.jars.get(&[Set::Compiler])?;
        let libraries = self.jars.get(&[Set::Library])?;
        let compile = |name, rules, sources: &[PathBuf], classpath: &[PathBuf], friends: &[PathBuf]| {
            Compilation { name, rules, sources, classpath, friends, plugins: &[] }.run(&compiler)
        };

        let generated = [self.generated.clone()];
        let ffi = compile("otaro-ffi", Rules::Generated, &generated, &libraries, &[])?;
        let package = kotlin("otaro/src/main/kotlin/dev/otaro");
        let core_path = [&[ffi][..], &libraries].concat();
        let core = compile("otaro", Rules::ExplicitApi, &files_of(&package)?, &core_path, &[])?;

        let tests = kotlin("otaro/src/test/kotlin/dev/otaro");
        let test_path = [&[core.clone()][..], &core_path, &self.jars.get(&[Set::Test])?].concat();
        let core_tests = compile("otaro-test", Rules::NoWarnings, &files_of(&tests)?, &test_path, &[core])?;
        junit::run(&core_tests, &test_path, &self.library)
    }
}

/// A folder of the Android project.
fn kotlin(path: &str) -> PathBuf {
    root().join("android").join(path)
}

/// The files of a folder, without those of folders in it.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}
