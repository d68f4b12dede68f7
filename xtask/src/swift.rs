//! The Swift package in `ios/`: what is generated for it, its tests on this machine, its XCFramework on a Mac.

mod framework;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use self::toolchain::Toolchain;
use crate::{
    bindings,
    process::{line, root, run, target},
};

const PACKAGE: &str = "ios";
const SAMPLE: &str = "ios/Sample.swiftpm";
const MODEL: &str = "storyteller-4m.sefp.safetensors";

/// Generates, and compiles and tests what can be here; on a Mac, makes the XCFramework first.
pub(crate) fn check() -> Result<String> {
    generate()?;
    check_header()?;
    if cfg!(target_os = "macos") {
        framework::build()?;
    }
    let Some(swift) = Toolchain::find()? else {
        return Ok("no Swift compiler: generated, nothing compiled".to_owned());
    };
    let mut parse = swift.command("swiftc");
    // Both sides of every `#if`, so what only Apple's systems compile too.
    parse.args(["-frontend", "-parse"]).args(sources(&root().join(PACKAGE))?);
    run(&mut parse)?;
    let passed = test(&swift, PACKAGE)? + test(&swift, SAMPLE)?;
    println!("swift: {passed} passed, 0 failed");
    Ok(format!("{passed} tests"))
}

/// Builds the library of this machine, and from it the Swift code, the C header and its module map.
fn generate() -> Result<()> {
    bindings::generate("swift", &bindings::build_library()?, &made())?;
    let sources = root().join(PACKAGE).join("Sources");
    copy(&made().join("OtaroFFI.swift"), &sources.join("OtaroFFI/OtaroFFI.swift"))?;
    module(&sources.join("OtaroC"), "    link \"otaro_ffi\"\n")?;
    // The sample shows a model that comes with the app.
    copy(&root().join("models").join(MODEL), &root().join(SAMPLE).join("ChatState/Model").join(MODEL))
}

/// The C module in a folder: the generated header, and a map that says how it is linked. An XCFramework brings its
/// library itself.
fn module(folder: &Path, link: &str) -> Result<()> {
    copy(&made().join("OtaroC.h"), &folder.join("OtaroC.h"))?;
    let map = format!("module OtaroC {{\n    header \"OtaroC.h\"\n{link}    export *\n}}\n");
    let path = folder.join("module.modulemap");
    fs::write(&path, map).with_context(|| format!("cannot write {}", path.display()))
}

/// The header as C. Only Clang knows its annotations of nullability.
fn check_header() -> Result<()> {
    let strict = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c", "/dev/null", "-include"];
    run(Command::new("clang").args(strict).arg(made().join("OtaroC.h")))
}

/// The tests of a package; how many passed.
fn test(swift: &Toolchain, package: &str) -> Result<u32> {
    let mut command = swift.command("swift-test");
    // All tests are of Swift Testing. Without this, XCTest reports that it ran none.
    command.arg("--disable-xctest").arg("--package-path").arg(root().join(package));
    command.arg("--scratch-path").arg(made().join(package.replace('/', "-")));
    if cfg!(target_os = "linux") {
        let folder = library_folder();
        let folder = folder.to_str().context("the path of the target folder is not UTF-8")?;
        // The last for Swift 6.0, whose library for observation refers to a symbol that no library has.
        for word in ["-L", folder, "-rpath", folder, "--allow-shlib-undefined"] {
            command.args(["-Xlinker", word]);
        }
    }
    let line = line(&command);
    eprintln!("$ {line}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("`{line}` did not start"))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    eprint!("{said}");
    ensure!(output.status.success(), "`{line}` failed: {}", output.status);
    let passed = passed(&said).unwrap_or(0);
    ensure!(passed > 0, "`{line}` ran no test");
    Ok(passed)
}

/// The number in "Test run with 19 tests passed".
fn passed(said: &str) -> Option<u32> {
    let (_, rest) = said.rsplit_once("Test run with ")?;
    let (number, rest) = rest.split_once(' ')?;
    let all =
        rest.starts_with("tests passed") || rest.starts_with("test passed") || rest.contains(" passed after");
    number.parse().ok().filter(|_| all)
}

/// Every Swift file below a folder, generated ones included.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
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
    Ok(files)
}

/// Where the library of this machine is.
fn library_folder() -> PathBuf {
    target().join("debug")
}

/// Where everything of this step is kept.
fn made() -> PathBuf {
    target().join("swift")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_tests_is_seen() {
        assert_eq!(passed("Test run with 19 tests passed after 3.946 seconds."), Some(19));
        assert_eq!(passed("Test run with 1 test passed after 0.1 seconds."), Some(1));
        assert_eq!(passed("Test run with 19 tests in 3 suites passed after 3 seconds."), Some(19));
        assert_eq!(passed("Test run with 19 tests failed after 3 seconds with 1 issue."), None);
        assert_eq!(passed("Build complete!"), None);
    }
}
