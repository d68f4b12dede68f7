//! The steps of `cargo xtask test`, in the order in which they run.

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    aarch64, deny, example, fuzz, kotlin,
    process::{RUNTIME, cargo, on_path, require_shared, run},
    real_model, setup, swift,
};

/// One of the things that `cargo xtask test` checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// install what the tests need from the system
    Setup,
    /// cargo fmt --check
    Format,
    /// cargo clippy over all targets, warnings denied
    Clippy,
    /// licences, banned crates and sources of the dependency tree
    Deny,
    /// cargo doc, warnings denied
    Doc,
    /// every fuzz target for a while
    Fuzz,
    /// the commands of the README, in both profiles
    Example,
    /// a real model: fetched, packed, measured at every precision, asked
    RealModel,
    /// the codec, the kernels and the runtime on emulated 64-bit ARM processors
    Aarch64,
    /// the Kotlin package and the state of its sample app, on the JVM
    Kotlin,
    /// the Swift package and the state of its sample app
    Swift,
    /// every test of the workspace, documentation tests included
    Test,
}

impl Step {
    /// The name to type.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What the step checks, in a line.
    pub(crate) fn about(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Runs the step. What comes back is a note for the summary, empty where there is nothing to add.
    pub(crate) fn run(self) -> Result<String> {
        let done = |()| String::new();
        match self {
            Self::Setup => setup::prepare(),
            Self::Format => run(cargo().args(["fmt", "--all", "--check"])).map(done),
            Self::Clippy => clippy().map(|()| without_mpi()),
            Self::Deny => deny::check(),
            Self::Doc => doc().map(|()| without_mpi()),
            Self::Fuzz => fuzz::fuzz(&fuzz::Options::default()),
            Self::Example => example::check(),
            Self::RealModel => real_model::check(),
            Self::Aarch64 => aarch64::check(),
            Self::Kotlin => kotlin::check(),
            Self::Swift => swift::check(),
            Self::Test => test().map(|()| without_mpi()),
        }
    }
}

/// The trainer's feature for several processes, as a package of the workspace names it; where it is
/// compiled at all, it is always, since to compile the trainer's framework twice would take too long.
fn mpi() -> Option<&'static str> {
    on_path("mpicc").then_some("otaro-trainer/mpi")
}

/// What to say when the feature could not be compiled: `setup` makes sure of it on Linux only.
fn without_mpi() -> String {
    if mpi().is_some() { String::new() } else { "no MPI library: the trainer without `mpi`".to_owned() }
}

/// Once for the whole workspace: the features of dependencies do not change what clippy says.
fn clippy() -> Result<()> {
    // The feature brings the fuzz targets themselves in, which a plain build leaves out.
    let features = ["otaro-fuzz/libfuzzer"].into_iter().chain(mpi()).collect::<Vec<_>>().join(",");
    let targets = ["--workspace", "--all-targets", "--features", &features];
    run(cargo().arg("clippy").args(targets).args(["--", "-D", "warnings"]))
}

fn doc() -> Result<()> {
    let features = mpi().unwrap_or_default();
    let what = ["--workspace", "--no-deps", "--features", features];
    run(cargo().arg("doc").args(what).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The runtime and its surroundings, then the trainer and what stands on it.
fn test() -> Result<()> {
    let runtime = tests(&RUNTIME, None);
    tests(&["--package", "otaro-trainer", "--package", "otaro-lab"], mpi())?;
    runtime
}

fn tests(packages: &[&str], feature: Option<&str>) -> Result<()> {
    let mut command = cargo();
    // All of them, whatever fails: the list of failures is the message.
    command.arg("test").args(packages).arg("--no-fail-fast").env("RUST_BACKTRACE", "1");
    if let Some(feature) = feature {
        command.args(["--features", feature]);
    }
    require_shared(&mut command);
    run(&mut command)
}
