//! The `otaro-lab` command.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use otaro::CancelToken;
use otaro_lab::{corpus, gradients, plot, report, study};
use otaro_trainer::{
    command::{Outcome, RunArguments, stop_on_signals},
    memory::keep_freed_memory,
};

/// Studies of training methods, and the corpus of the model that ships
#[derive(Parser)]
#[command(name = "otaro-lab", version)]
struct Arguments {
    /// What to do
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Make the runs of a plan that have no result yet: see docs/training.md
    Study {
        /// Folder with `plan.json`; the results go into its `results.jsonl`
        #[arg(default_value = "docs/results/otaro")]
        folder: PathBuf,
    },
    /// Write tables and plots from the results of a study
    Report {
        /// Folder with `results.jsonl`
        #[arg(default_value = "docs/results/otaro")]
        folder: PathBuf,
    },
    /// Compare the gradients of the widths over --steps batches, with the flags of `otaro-train run`
    #[command(args_override_self = true)]
    Gradients(Box<RunArguments>),
    /// Draw the log of a run into its folder
    Plot {
        /// The `--out` of `otaro-train run`
        run: PathBuf,
    },
    /// Make the training data of the model that ships out of the raw corpus
    Corpus(corpus::Arguments),
}

fn main() -> ExitCode {
    keep_freed_memory();
    match execute(&Arguments::parse().chore) {
        Ok(Outcome::Finished) => ExitCode::SUCCESS,
        // As a shell reports a program that ended by SIGINT.
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(chore: &Chore) -> Result<Outcome> {
    match chore {
        Chore::Study { folder } => return study::run(folder, &cancel()?),
        Chore::Report { folder } => println!("{}", report::generate(folder)?.write(folder)?.display()),
        Chore::Gradients(arguments) => {
            println!("{}", serde_json::to_string_pretty(&gradients::analyse(arguments, &cancel()?)?)?);
        }
        Chore::Plot { run } => {
            for path in plot::run(run)? {
                println!("{}", path.display());
            }
        }
        Chore::Corpus(arguments) => corpus::make(arguments)?,
    }
    Ok(Outcome::Finished)
}

/// A token that Ctrl-C cancels.
fn cancel() -> Result<CancelToken> {
    let cancel = CancelToken::new();
    stop_on_signals(&cancel)?;
    Ok(cancel)
}
