//! Type checks of the library for phones, with Debian's compiler, which has the sources of the standard
//! library among its packages: the check builds that library too. Nothing is linked, as that would take an
//! NDK or Xcode.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    process::{cargo, on_path, run, target},
    setup::{self, DEBIAN_RUSTC},
};

/// Phones with Android.
pub(crate) const ANDROID: &str = "aarch64-linux-android";
/// Phones with iOS.
pub(crate) const IOS: &str = "aarch64-apple-ios";

const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Checks the types for both.
pub(crate) fn check_all() -> Result<String> {
    Ok(format!("{}; {}", check(ANDROID)?, check(IOS)?))
}

/// Checks the types of the library for a target; returns a note for the summary.
pub(crate) fn check(triple: &str) -> Result<String> {
    if !is_ready() {
        if !on_path("apt-get") {
            return Ok(format!(
                "{triple} skipped: the compiler with its sources comes from Debian's packages"
            ));
        }
        setup::install(&PACKAGES)?;
    }
    let sources =
        sources().with_context(|| format!("{DEBIAN_RUSTC} has no sources of its standard library"))?;
    eprintln!("the standard library comes from {}", sources.display());
    let mut command = cargo();
    command.args(["check", "--quiet", "--package", "otaro-ffi", "--lib", "--target", triple]);
    command.arg("-Zbuild-std=std,panic_unwind");
    // The unstable option, of a compiler that is otherwise the stable one.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
    // A compiler of another version: apart from what the workspace's own has built.
    run(command.env("CARGO_TARGET_DIR", target().join("cross")))?;
    Ok(format!("{triple} checked"))
}

fn is_ready() -> bool {
    Path::new(DEBIAN_RUSTC).is_file() && sources().is_some()
}

/// Where the sources of the standard library are, if they are there.
fn sources() -> Option<PathBuf> {
    let output = Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let library = sysroot.join("lib/rustlib/src/rust/library");
    library.join("std/src/lib.rs").is_file().then_some(library)
}
