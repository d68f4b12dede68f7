//! The Swift package in `ios/`: what is generated for it, its tests on this machine, its XCFramework on a Mac.

mod framework;
mod toolchain;

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::process::{cargo, on_path, root, run, target};
use toolchain::Toolchain;

const PACKAGE: &str = "ios";
const SAMPLE: &str = "ios/Sample.swiftpm";
const MODEL: &str = "storyteller-4m.sefp.safetensors";

/// What is generated, and checked where it can be.
pub(crate) fn check() -> Result<String> {
    generate()?;
    let header = check_header()?;
    if cfg!(target_os = "macos") {
        framework::build()?;
    }
    let Some(swift) = Toolchain::find()? else {
        return Ok([header, "no Swift compiler: nothing was compiled or run".to_owned()].join("; "));
    };
    for source in sources(root().join(PACKAGE).as_path())? {
        // Both sides of every `#if`, so what only Apple's systems compile too.
        run(swift.command("swiftc").args(["-frontend", "-parse"]).arg(source))?;
    }
    test(&swift, PACKAGE)?;
    test(&swift, SAMPLE)?;
    Ok(header)
}

/// Builds the library of this machine, and from it the Swift code, the C header and its module map.
fn generate() -> Result<()> {
    run(cargo().args(["build", "--package", "otaro-ffi", "--lib"]))?;
    let made = target().join("swift");
    let library = library_folder().join(if cfg!(target_os = "macos") {
        "libotaro_ffi.dylib"
    } else {
        "libotaro_ffi.so"
    });
    let bindgen =
        ["run", "--quiet", "--package", "otaro-ffi", "--features", "cli", "--bin", "uniffi-bindgen"];
    let generate = ["--", "generate", "--language", "swift", "--no-format", "--library"];
    run(cargo().args(bindgen).args(generate).arg(&library).arg("--out-dir").arg(&made))?;
    let sources = root().join(PACKAGE).join("Sources");
    copy(&made.join("OtaroFFI.swift"), &sources.join("OtaroFFI/OtaroFFI.swift"))?;
    copy(&made.join("OtaroC.h"), &sources.join("OtaroC/OtaroC.h"))?;
    write_module_map(&sources.join("OtaroC"), "[system] ", "    link \"otaro_ffi\"\n")?;
    // The sample shows a model that comes with the app.
    copy(&root().join("models").join(MODEL), &root().join(SAMPLE).join("ChatState/Model").join(MODEL))
}

/// Says which module the header is; the XCFramework brings its library itself.
fn write_module_map(folder: &Path, attribute: &str, link: &str) -> Result<()> {
    let map = format!("module OtaroC {attribute}{{\n    header \"OtaroC.h\"\n{link}    export *\n}}\n");
    let path = folder.join("module.modulemap");
    fs::write(&path, map).with_context(|| format!("cannot write {}", path.display()))
}

/// Clang alone knows the annotations of nullability in the header.
fn check_header() -> Result<String> {
    if !on_path("clang") {
        return Ok("no clang: the C header was not checked".to_owned());
    }
    let header = root().join(PACKAGE).join("Sources/OtaroC/OtaroC.h");
    let strict = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c"];
    run(Command::new("clang").args(strict).arg(header))?;
    Ok(String::new())
}

/// The tests of a package, in the language mode and with the library that its manifest says.
fn test(swift: &Toolchain, package: &str) -> Result<()> {
    let folder = library_folder();
    let folder = folder.to_str().context("the path of the target folder is not UTF-8")?;
    let mut command = swift.command("swift-test");
    command.arg("--package-path").arg(root().join(package));
    command.arg("--scratch-path").arg(target().join("swift").join(package.replace('/', "-")));
    if cfg!(target_os = "linux") {
        command.args(["-Xlinker", "-L", "-Xlinker", folder, "-Xlinker", "-rpath", "-Xlinker", folder]);
    }
    run(&mut command)
}

/// Every Swift file of the package and its sample, generated ones included.
fn sources(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "swift") {
            files.push(path);
        }
    }
    ensure!(files.len() < 1000, "{} holds more than sources", folder.display());
    Ok(files)
}

fn library_folder() -> std::path::PathBuf {
    target().join("debug")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
