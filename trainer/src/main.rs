//! The `otaro-train` command.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use otaro::CancelToken;
use otaro_trainer::{
    command::{Arguments, Chore, Outcome, run},
    memory::keep_freed_memory,
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
    let Chore::Run(arguments) = &arguments.chore;
    let cancel = CancelToken::new();
    let handler = cancel.clone();
    ctrlc::set_handler(move || handler.cancel())?;
    Ok(match run(arguments, &Alone, &cancel)? {
        Outcome::Finished => ExitCode::SUCCESS,
        // As a shell reports a program that ended by SIGINT.
        Outcome::Interrupted => ExitCode::from(130),
    })
}
