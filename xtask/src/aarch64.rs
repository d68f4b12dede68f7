//! The codec and the CPU device on 64-bit ARM: cross-compiled, then run by qemu as processors with
//! and without the instructions that the kernels choose from.
//!
//! What is right here is right on a phone; nothing can be said about speed. Tests of the GPU device
//! stay out, as there is no Vulkan driver for the emulated processors, and those of texts, which know nothing of processors
//! and would take minutes.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::{cargo, line, on_path, require_shared, run, target},
    setup,
};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64-static";
/// Where the loader and the libraries come from. Both are named to the emulator: the loader of one C library
/// with another's code, as when Debian's own packages for arm64 are installed too, hangs at the first thread.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// Debian has standard libraries for other processors among the packages of its compiler.
const COMPILER_PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev:arm64"];
const PACKAGES: [&str; 3] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static"];

/// A processor that qemu knows.
struct Processor {
    name: &'static str,
    /// The fastest kernel that it has.
    kernel: &'static str,
    /// Which tests to run on it.
    choice: &'static [&'static str],
}

const PROCESSORS: [Processor; 3] = [
    Processor { name: "max", kernel: "neon-i8mm", choice: &["--skip", "gpu::", "--skip", "text::"] },
    Processor { name: "neoverse-n1", kernel: "neon-dotprod", choice: &["kernel", "simd::"] },
    Processor { name: "cortex-a72", kernel: "exact", choice: &["kernel", "simd::"] },
];

/// What is tested, built together: apart, the dependencies would be built again with other features.
const TARGETS: &str = "--package sefp --package otaro --package otaro-tests \
    --lib --test cases --test properties --test cpu_kernels";

/// Runs the tests on every processor.
pub(crate) fn check() -> Result<String> {
    if let Some(reason) = unsuited() {
        return Ok(format!("skipped: {reason}"));
    }
    let rustc = prepare()?;
    let mut notes = Vec::new();
    for processor in &PROCESSORS {
        let passed = tests(&rustc, processor)?;
        notes.push(format!("{} ({}): {passed} tests", processor.name, processor.kernel));
    }
    Ok(notes.join(", "))
}

/// Why this machine cannot run the tests, if so.
fn unsuited() -> Option<&'static str> {
    let can_install = on_path("apt-get") && on_path("dpkg");
    match (cfg!(all(target_os = "linux", target_arch = "x86_64")), can_install || is_ready()) {
        (false, _) => Some("qemu runs programs on Linux, and the cross compiler on x86-64"),
        (true, false) => {
            Some("the cross compiler and qemu come from Debian's packages, and there is no apt-get")
        }
        (true, true) => None,
    }
}

/// Installs what is missing; returns the compiler.
fn prepare() -> Result<PathBuf> {
    if !on_path(LINKER) || !on_path(EMULATOR) {
        setup::install(&PACKAGES)?;
    }
    if compiler().is_none() {
        run(&mut setup::as_root("dpkg", &["--add-architecture", "arm64"])?)?;
        setup::install(&COMPILER_PACKAGES)?;
    }
    compiler().with_context(|| format!("no Rust compiler with the standard library of {TARGET}"))
}

fn is_ready() -> bool {
    compiler().is_some() && on_path(LINKER) && on_path(EMULATOR)
}

/// A compiler with the standard library of the target: that of this workspace, or Debian's.
fn compiler() -> Option<PathBuf> {
    let own = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    [own, PathBuf::from(setup::DEBIAN_RUSTC)].into_iter().find(|rustc| {
        let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
        let folder = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        folder.is_ok_and(|folder| !folder.is_empty() && Path::new(&folder).is_dir())
    })
}

/// Runs the tests of a processor; returns how many passed.
fn tests(rustc: &Path, processor: &Processor) -> Result<usize> {
    let mut command = cargo();
    command.args(["test", "--target", TARGET]).args(TARGETS.split(' ')).arg("--").args(processor.choice);
    // Apart from the rest, which may have been built by another compiler.
    command.env("RUSTC", rustc).env("CARGO_TARGET_DIR", target().join("aarch64"));
    // What is tested is optimised by its own profile; the rest only has to be built quickly.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    let runner = format!("{EMULATOR} -cpu {} -L {SYSROOT} -E LD_LIBRARY_PATH={SYSROOT}/lib", processor.name);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    command.env("OTARO_EXPECT_KERNEL", processor.kernel).env("RUST_BACKTRACE", "1");
    require_shared(&mut command);
    let passed = count_passed(&mut command)?;
    ensure!(passed > 0, "`{}` ran no test", line(&command));
    Ok(passed)
}

/// Runs `cargo test`, shows what it says and adds up the tests that passed.
fn count_passed(command: &mut Command) -> Result<usize> {
    let line = line(command);
    eprintln!("$ {line}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the output of cargo")?;
    let mut passed = 0;
    for said in BufReader::new(output).lines() {
        let said = said?;
        eprintln!("{said}");
        passed += passed_tests(&said);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(passed)
}

/// The number in a line that says how a run of tests ended; 0 for any other line.
fn passed_tests(line: &str) -> usize {
    let rest = line.strip_prefix("test result: ok. ");
    rest.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_passed_are_counted() {
        let line = "test result: ok. 61 passed; 0 failed; 0 ignored; 0 measured; 68 filtered out";
        assert_eq!(passed_tests(line), 61);
        assert_eq!(passed_tests("running 61 tests"), 0);
        assert_eq!(passed_tests("test result: FAILED. 60 passed; 1 failed"), 0);
    }
}
