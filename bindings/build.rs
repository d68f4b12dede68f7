//! Tells the library from which revision, for which target and in which profile it is built.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rustc-env=OTARO_REVISION={}", revision().unwrap_or("unknown".to_owned()));
    for (name, of) in [("OTARO_TARGET", "TARGET"), ("OTARO_PROFILE", "PROFILE")] {
        println!("cargo::rustc-env={name}={}", env::var(of).unwrap_or("unknown".to_owned()));
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// The revision of this checkout; `None` outside of one, or without git.
fn revision() -> Option<String> {
    // What `HEAD` and the branch point at; a file of Git's own that a commit always touches.
    for file in [git(&["rev-parse", "--git-path", "HEAD"])?, git(&["rev-parse", "--git-path", "logs/HEAD"])?]
    {
        if Path::new(&file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
