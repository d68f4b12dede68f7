//! The `otaro-train` command.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use otaro::CancelToken;
use otaro_trainer::{
    command::{Arguments, Chore, Outcome, gradients, run, study},
    memory::keep_freed_memory,
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
