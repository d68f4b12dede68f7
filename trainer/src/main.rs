//! The `otaro-train` command.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use otaro::CancelToken;
use otaro_trainer::{
    command::{Arguments, Chore, Outcome, RunArguments, calibrate, run, stop_on_signals},
    memory::keep_freed_memory,
    train::{Alone, launched_processes},
};

fn main() -> ExitCode {
    keep_freed_memory();
    match execute(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let cancel = CancelToken::new();
    stop_on_signals(&cancel)?;
    ensure!(
        launched_processes() == 1 || matches!(arguments.chore, Chore::Run(_)),
        "mpirun started several processes, and only `otaro-train run` shares its work"
    );
    let outcome = match &arguments.chore {
        Chore::Run(arguments) => train(arguments, &cancel)?,
        Chore::Calibrate(arguments) => calibrate(arguments, &cancel)?,
    };
    Ok(match outcome {
        Outcome::Finished => ExitCode::SUCCESS,
        // As a shell reports a program that ended by SIGINT.
        Outcome::Interrupted => ExitCode::from(130),
    })
}

/// Trains, together with the other processes where `mpirun` started several.
#[cfg(feature = "mpi")]
fn train(arguments: &RunArguments, cancel: &CancelToken) -> Result<Outcome> {
    if launched_processes() == 1 {
        return run(arguments, &Alone, cancel);
    }
    Ok(otaro_trainer::train::MpiReducer::join()?.run(|reducer| run(arguments, reducer, cancel)))
}

#[cfg(not(feature = "mpi"))]
fn train(arguments: &RunArguments, cancel: &CancelToken) -> Result<Outcome> {
    ensure!(
        launched_processes() == 1,
        "mpirun started several processes, and this otaro-train was built without the feature `mpi`: they would \
         overwrite each other's files"
    );
    run(arguments, &Alone, cancel)
}
