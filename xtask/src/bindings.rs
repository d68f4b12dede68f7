//! The library behind the Kotlin and Swift packages, built for this machine, and the code generated over it, which
//! is not committed.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::process::{RUNTIME, cargo, run, target};

/// Builds the library, with the features of dependencies that the other tests have too.
pub(crate) fn build_library() -> Result<PathBuf> {
    run(cargo().arg("build").args(RUNTIME).args(["--lib", "--quiet"]))?;
    library("debug")
}

/// The library for this machine that cargo built into a folder of the target folder.
pub(crate) fn library(folder: &str) -> Result<PathBuf> {
    let name = format!("{}otaro_ffi{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let library = target().join(folder).join(name);
    ensure!(library.is_file(), "cargo built no {}", library.display());
    Ok(library)
}

/// Writes the code for a language into a folder.
pub(crate) fn generate(language: &str, library: &Path, out: &Path) -> Result<()> {
    let generator = ["run", "--quiet", "--package", "otaro-bindgen", "--"];
    let what = ["generate", "--language", language, "--no-format", "--library"];
    run(cargo().args(generator).args(what).arg(library).arg("--out-dir").arg(out))
}
