//! The `otaro` command.

mod bench;
mod eval;
mod files;
mod inspect;
mod pack;
mod profile;
mod progress;
mod table;
mod tokens;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Pack, inspect, evaluate and measure models whose precision is a dial.
#[derive(Parser)]
#[command(name = "otaro", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Pack a Hugging Face LLaMA folder into one file that holds every precision
    Pack(pack::Arguments),
    /// Show what a packed file holds
    Inspect(inspect::Arguments),
    /// Measure what every precision costs: perplexity, divergence from the unquantised model, answers
    Eval(eval::Arguments),
    /// Search for the precision profiles that lose least for their bits
    Profile(profile::Arguments),
    /// Measure speed and memory, in the grammar of llama-bench
    Bench(bench::Arguments),
}

/// The exit status of a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = bench::as_llama_bench_spells(std::env::args_os());
    let result = match Arguments::parse_from(arguments).command {
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("otaro: {error:#}");
            ExitCode::from(if is_cancelled(&error) { INTERRUPTED } else { 1 })
        }
    }
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    error.downcast_ref::<otaro::Error>().is_some_and(|error| error.kind() == otaro::ErrorKind::Cancelled)
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
