//! Licences, banned crates and sources of the dependency tree, checked by cargo-deny.
//!
//! The check for security advisories needs a database from the network and is left to whoever has
//! one: `cargo deny check advisories`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::process::{cargo, root, run, target};

const VERSION: &str = "0.20.2";

/// Checks the tree against `deny.toml`.
pub(crate) fn check() -> Result<String> {
    let (tool, note) = tool()?;
    // Each duplicate version would print its whole inclusion graph.
    let options = ["--workspace", "check", "--hide-inclusion-graph"];
    run(Command::new(tool).current_dir(root()).args(options).args(["licenses", "bans", "sources"]))?;
    Ok(note)
}

/// The cargo-deny of this repository, built once and kept under the target directory.
fn tool() -> Result<(PathBuf, String)> {
    let folder = target().join("tools").join(format!("cargo-deny-{VERSION}"));
    let tool = folder.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if tool.is_file() {
        return Ok((tool, String::new()));
    }
    install(&folder)?;
    Ok((tool, format!("built cargo-deny {VERSION}")))
}

fn install(folder: &Path) -> Result<()> {
    let build = folder.join("build");
    // Unoptimised: it takes a minute to build, and no time to speak of to run.
    let options = ["install", "cargo-deny", "--version", VERSION, "--locked", "--debug", "--quiet"];
    run(cargo().args(options).arg("--root").arg(folder).arg("--target-dir").arg(&build))?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}
