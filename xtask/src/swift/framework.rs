//! The XCFramework: static libraries for devices, simulators and Macs, with the C header. Needs Xcode.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::{PACKAGE, made, module};
use crate::process::{cargo, root, run, target};

/// A slice of the framework: one library, of one or two processors.
struct Slice {
    name: &'static str,
    targets: &'static [&'static str],
}

const SLICES: [Slice; 3] = [
    Slice { name: "ios", targets: &["aarch64-apple-ios"] },
    Slice { name: "ios-simulator", targets: &["aarch64-apple-ios-sim", "x86_64-apple-ios"] },
    Slice { name: "macos", targets: &["aarch64-apple-darwin", "x86_64-apple-darwin"] },
];

/// Builds the libraries, joins them, and makes the archive and checksum of a release.
pub(super) fn build() -> Result<()> {
    // In a folder of the module's name: the headers of several frameworks meet in one place.
    let headers = made().join("headers");
    module(&headers.join("OtaroC"), "")?;
    let framework = root().join(PACKAGE).join("OtaroC.xcframework");
    if framework.exists() {
        fs::remove_dir_all(&framework).with_context(|| format!("cannot remove {}", framework.display()))?;
    }
    let mut create = Command::new("xcodebuild");
    create.arg("-create-xcframework");
    for slice in &SLICES {
        create.arg("-library").arg(library(slice)?).arg("-headers").arg(&headers);
    }
    run(create.arg("-output").arg(&framework))?;
    let archive = framework.with_extension("xcframework.zip");
    run(Command::new("ditto").args(["-c", "-k", "--keepParent"]).args([&framework, &archive]))?;
    run(Command::new("swift").args(["package", "compute-checksum"]).arg(archive))
}

/// The library of a slice.
fn library(slice: &Slice) -> Result<PathBuf> {
    let mut libraries = Vec::new();
    for triple in slice.targets {
        run(Command::new("rustup").args(["target", "add", triple]))?;
        run(cargo().args(["build", "--release", "--package", "otaro-ffi", "--lib", "--target", triple]))?;
        libraries.push(target().join(triple).join("release/libotaro_ffi.a"));
    }
    let folder = made().join(slice.name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let joined = folder.join("libotaro_ffi.a");
    run(Command::new("lipo").arg("-create").args(libraries).arg("-output").arg(&joined))?;
    Ok(joined)
}
