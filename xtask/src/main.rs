//! Every chore of this repository that takes more than one command: `cargo xtask --help`.

mod aarch64;
mod android;
mod bindings;
mod cross;
mod deny;
mod example;
mod fuzz;
mod kotlin;
mod process;
mod real_model;
mod runner;
mod setup;
mod size;
mod step;
mod swift;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the otaro repository.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check everything, from a bare machine on: what continuous integration runs
    Test(runner::Options),
    /// Install what the tests need from the system: a Vulkan driver, compilers, an MPI library
    Setup,
    /// Run the fuzz targets, each over its corpus and then for a while on new inputs
    Fuzz(fuzz::Options),
    /// Generate the Swift code, compile the package in ios/ and run its tests; on a Mac, make its XCFramework
    Swift,
    /// Build the Kotlin package and test it on the JVM
    Kotlin(kotlin::Options),
    /// Test the codec and the CPU device on emulated 64-bit ARM processors
    Aarch64,
    /// Fetch a real model, pack it, measure it and ask it
    RealModel,
    /// Check the types for Android, assemble what can be assembled, and weigh the library
    Android(android::Options),
    /// Check the types of the library for the phones of both kinds
    Cross,
    /// Check licences, banned crates and sources of the dependency tree
    Deny,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Test(options) => runner::run(&options),
        Chore::Setup => setup::prepare().map(|note| eprintln!("{note}")),
        Chore::Fuzz(options) => fuzz::fuzz(&options).map(|note| eprintln!("{note}")),
        Chore::Swift => swift::check().map(|note| eprintln!("{note}")),
        Chore::Kotlin(options) => kotlin::run_with(&options).map(|note| eprintln!("{note}")),
        Chore::Aarch64 => aarch64::check().map(|note| eprintln!("{note}")),
        Chore::RealModel => real_model::check().map(|note| eprintln!("{note}")),
        Chore::Android(options) => android::run_with(&options).map(|note| eprintln!("{note}")),
        Chore::Cross => cross::check_all().map(|note| eprintln!("{note}")),
        Chore::Deny => deny::check().map(|_| ()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
