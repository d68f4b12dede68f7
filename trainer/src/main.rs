//! The `otaro-train` command.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use otaro::CancelToken;
use otaro_trainer::{
    command::{Arguments, Chore, Outcome, RunArguments, calibrate, gradients, run, study},
    memory::keep_freed_memory,
    report,
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
        Chore::Gradients(arguments) => {
            println!("{}", serde_json::to_string_pretty(&gradients(arguments, &cancel)?)?);
            Outcome::Finished
        }
        Chore::Study { plan, results } => study(plan, results, &cancel)?,
        Chore::Report { results } => {
            println!("{}", report::generate(results)?.write(results)?.display());
            Outcome::Finished
        }
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

/// Ctrl-C, and what `mpirun` sends for it: SIGTERM.
fn stop_on_signals(cancel: &CancelToken) -> Result<()> {
    let handler = cancel.clone();
    #[cfg(unix)]
    // SAFETY: SIG_IGN is a valid disposition, and no handler was set before.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    ctrlc::set_handler(move || handler.cancel())?;
    #[cfg(unix)]
    if before == libc::SIG_IGN {
        // Under nohup the run goes on without its terminal.
        // SAFETY: as above; every signal has its own disposition.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
    Ok(())
}
