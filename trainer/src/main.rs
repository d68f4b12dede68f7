//! The `otaro-train` command.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use otaro::CancelToken;
use otaro_trainer::{
    command::{Arguments, Chore, Outcome, gradients, run, study},
    report,
    train::Alone,
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
    let handler = cancel.clone();
    ctrlc::set_handler(move || handler.cancel())?;
    let outcome = match &arguments.chore {
        Chore::Run(arguments) => run(arguments, &Alone, &cancel)?,
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

/// Tells glibc to keep the memory of freed tensors. A step allocates the same large blocks over and
/// over; handing them back to the system and faulting them in again took a third of the time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
