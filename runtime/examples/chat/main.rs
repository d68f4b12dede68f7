//! A chat with a model whose precision is a dial:
//!
//! ```text
//! cargo run --example chat -- --bits 6
//! ```
//!
//! `/bits 3` switches while it answers, Ctrl-C stops the answer, `/help` says what else there is.
//! With `--prompt` it answers once and prints nothing but the answer, for scripts.

mod answer;
mod arguments;
mod commands;
mod dial;
mod events;
mod interactive;
mod model;

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use otaro::{CancelToken, Checkpoint, Conversation, FinishReason, Model};

use self::{arguments::Arguments, dial::Dial, events::Events, model::NoModel};

/// The exit status when there is nothing to run with: wrong arguments, no model.
const USAGE: u8 = 2;
/// The exit status of a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(if error.is::<NoModel>() {
                USAGE
            } else if is_cancelled(&error) {
                INTERRUPTED
            } else {
                1
            })
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let sampler = arguments.sampler();
    sampler.validate()?;
    let cancel = CancelToken::new();
    let events = Events::listen(&cancel, arguments.prompt.is_none())?;

    let checkpoint = Arc::new(model::open(arguments.model.as_deref(), &cancel)?);
    let (dial, profile) = Dial::new(&checkpoint, arguments)?;
    let model = Model::on_device(Arc::clone(&checkpoint), &arguments.open_options())?;
    let mut conversation = Conversation::new(&model, profile)?;
    conversation.set_sampler(sampler)?;
    conversation.reset(arguments.system.as_deref())?;

    match &arguments.prompt {
        Some(prompt) => answer_once(arguments, &cancel, &mut conversation, prompt),
        None => {
            greet(&checkpoint, &model, &conversation);
            interactive::Chat::new(arguments, cancel, events, conversation, dial).run()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints the answer to one question, and nothing else on standard output.
fn answer_once(
    arguments: &Arguments,
    cancel: &CancelToken,
    conversation: &mut Conversation,
    prompt: &str,
) -> anyhow::Result<ExitCode> {
    let options = arguments.generate_options(cancel);
    let mut answer = conversation.ask(prompt, &options)?;
    answer::stream(&mut answer, |_| Ok(()))?;
    if arguments.stats {
        eprintln!("{}", answer.metrics());
    }
    Ok(match answer.finish_reason() {
        Some(FinishReason::Cancelled) => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

fn greet(checkpoint: &Checkpoint, model: &Model, conversation: &Conversation) {
    eprintln!("{}", checkpoint.path().display());
    eprintln!("{} on {}; /help says what you can do", conversation.profile(), model.device_info());
    if let Some(reason) = model.device_reason() {
        eprintln!("why this device: {reason}");
    }
    if !conversation.has_template() {
        eprintln!("this model has no chat template: it continues what you write");
    }
}

/// The error with its causes, one to a line.
fn report(error: &anyhow::Error) {
    eprintln!("chat: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("      because: {cause}");
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    error.downcast_ref::<otaro::Error>().is_some_and(|error| error.kind() == otaro::ErrorKind::Cancelled)
}
