//! What can be made for Android without its tools: a type check, an archive without the library for phones,
//! and the size of the library.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    cross, kotlin,
    process::{root, run, target},
    size,
};

/// What to do.
#[derive(Args)]
pub(crate) struct Options {
    /// Note the size of the library in docs/results/library-size.md
    #[arg(long)]
    record: bool,
}

/// Checks and assembles what there is.
pub(crate) fn run_with(options: &Options) -> Result<String> {
    let archive = assemble()?;
    let size = size::check(options.record)?;
    let types = cross::check(cross::ANDROID)?;
    Ok(format!("{types}; {archive}; {size}"))
}

/// An AAR of all but `jni/`: for a look at what an app gets, and at its size.
fn assemble() -> Result<String> {
    let folder = target().join("android");
    let aar = folder.join("aar");
    fs::create_dir_all(&aar)?;
    let package = root().join("android/otaro");
    fs::copy(package.join("consumer-rules.pro"), aar.join("proguard.txt"))
        .context("the rules for shrinkers")?;
    fs::copy(package.join("src/main/AndroidManifest.xml"), aar.join("AndroidManifest.xml"))
        .context("the manifest")?;

    let mut classes = jar(&aar.join("classes.jar"));
    for module in kotlin::package()? {
        classes.arg("-C").arg(module).arg(".");
    }
    run(&mut classes)?;
    let archive = folder.join("otaro-without-libraries.aar");
    run(jar(&archive).arg("-C").arg(&aar).arg("."))?;
    let bytes = fs::metadata(&archive)?.len();
    ensure!(bytes > 0, "{} is empty", archive.display());
    Ok(format!("{} of {bytes} bytes", archive.file_name().unwrap_or_default().display()))
}

fn jar(archive: &std::path::Path) -> Command {
    let mut jar = Command::new("jar");
    jar.args(["--create", "--no-manifest", "--file"]).arg(archive);
    jar
}
