//! The fuzz targets of `tests/fuzz`, built with coverage instrumentation by the stable compiler and
//! run by libFuzzer.
//!
//! Only the crates of this workspace are instrumented: cargo hands them, and nobody else, to
//! `RUSTC_WORKSPACE_WRAPPER`. So the dependencies are those that the tests use as well, and nothing
//! heavy is compiled for fuzzing alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::process::{RUNTIME, cargo, root, run, target};

/// How to fuzz.
#[derive(Args)]
pub(crate) struct Options {
    /// The targets to run; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long to run each target on new inputs
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// The seed of the mutations
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Find out-of-bounds and stale accesses too (slower; builds with a flag of unstable Rust)
    #[arg(long)]
    address_sanitizer: bool,
}

/// Those of the step of `cargo xtask test`: shorter, as it has other things to do.
impl Default for Options {
    fn default() -> Self {
        Self { targets: Vec::new(), seconds: 10, seed: 1, address_sanitizer: false }
    }
}

/// The flags that `cargo fuzz` passes for coverage.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Builds the targets and runs each over its corpus and then on new inputs.
pub(crate) fn fuzz(options: &Options) -> Result<String> {
    ensure!(cfg!(unix), "libFuzzer runs on Linux and macOS only here");
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|target| !all.contains(target)) {
        bail!("there is no fuzz target {unknown}, only {}", all.join(", "));
    }
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    build(options.address_sanitizer)?;
    let mut failed = Vec::new();
    for target in chosen {
        if let Err(error) = run(&mut campaign(target, options)?) {
            eprintln!("error: {error:#}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("{}; the inputs are in {}", failed.join(", "), home()?.join("artifacts").display());
    }
    Ok(format!("{} targets, {} s each", chosen.len(), options.seconds))
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("tests/fuzz/targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn build(address_sanitizer: bool) -> Result<()> {
    let mut command = cargo();
    // Of all that is tested together, so that the dependencies have the features that the tests gave them.
    command.arg("build").args(RUNTIME).args(["--bin", "fuzz-*", "--features", "otaro-fuzz/libfuzzer"]);
    run(command.env("RUSTC_WORKSPACE_WRAPPER", wrapper(address_sanitizer)?))
}

/// A program that stands before rustc and adds the flags of instrumentation. Cargo tells builds
/// apart by its path, hence one path for each set of flags.
fn wrapper(address_sanitizer: bool) -> Result<PathBuf> {
    let (name, environment, flag) = match address_sanitizer {
        false => ("rustc-coverage", "", ""),
        true => ("rustc-coverage-address", "RUSTC_BOOTSTRAP=1", "-Zsanitizer=address"),
    };
    // Build scripts run at build time, without the fuzzer's library to link with.
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in\n\
         *' --crate-name build_script_'*) exec \"$@\" ;;\n\
         esac\n\
         {environment} exec \"$@\" {flag} {}\n",
        COVERAGE.join(" ")
    );
    let path = home()?.join(name);
    write_executable(&path, &script)?;
    Ok(path)
}

/// Writes a script, unless it is there already: cargo looks at the time of its compiler.
fn write_executable(path: &Path, script: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == script) {
        return Ok(());
    }
    fs::write(path, script).with_context(|| format!("cannot write {}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// One run of one target: first the corpus of the repository, then what earlier runs found, then on.
fn campaign(target_name: &str, options: &Options) -> Result<Command> {
    let home = home()?;
    let found = home.join("corpus").join(target_name);
    let artifacts = home.join("artifacts").join(target_name);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let fuzz = root().join("tests/fuzz");
    let mut command = Command::new(target().join("debug").join(format!("fuzz-{target_name}")));
    command
        .current_dir(&fuzz)
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-seed={}", options.seed))
        // An input that takes this long, or this much memory, is a finding.
        .args(["-timeout=20", "-rss_limit_mb=2048", "-malloc_limit_mb=1024"])
        .args(["-print_final_stats=1", "-print_funcs=0", "-verbosity=0"])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // New inputs go to the first folder.
        .arg(&found)
        .arg(fuzz.join("corpus").join(target_name));
    let dictionary = fuzz.join("dictionaries").join(format!("{target_name}.txt"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    Ok(command)
}

/// Where fuzzing keeps its things.
fn home() -> Result<PathBuf> {
    let home = target().join("fuzz");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    Ok(home)
}
