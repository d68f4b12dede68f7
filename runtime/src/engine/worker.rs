//! The thread of a session: takes what is asked of it, one thing after the other.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use super::{guard::guard, shared::Shared, status::Status, stream::Writer};
use crate::{
    Answer, Conversation, Error, ErrorKind, FinishReason, GenerateOptions, Message, Result, SamplerSettings,
};

/// What is to be generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The answer to a question, as a part of the conversation.
    Ask(String),
    /// The continuation of a text as it stands, without a template and beside the conversation.
    Complete(String),
}

/// What the worker is told.
pub(super) enum Command {
    Generate { request: Request, options: GenerateOptions, sampler: SamplerSettings, writer: Writer },
    Restore(Vec<Message>),
}

/// Bytes of the stack of a thread of the engine: chat templates are programs that may call themselves.
pub(super) const STACK_BYTES: usize = 4 << 20;

/// Starts the thread. It ends when the sender is dropped, or after a panic.
pub(super) fn start(conversation: Conversation, shared: Arc<Shared>) -> Result<Sender<Command>> {
    let (sender, receiver) = channel();
    let worker = Worker { conversation, shared };
    thread::Builder::new().name("otaro-session".to_owned()).spawn(move || worker.work(&receiver)).map_err(
        |error| Error::new(ErrorKind::Device, "the system has no thread to give").with_source(error),
    )?;
    Ok(sender)
}

struct Worker {
    conversation: Conversation,
    shared: Arc<Shared>,
}

impl Worker {
    fn work(mut self, receiver: &Receiver<Command>) {
        while let Ok(command) = receiver.recv() {
            let writer = match &command {
                Command::Generate { writer, .. } => Some(writer.clone()),
                Command::Restore(_) => None,
            };
            let Err(error) = guard(|| self.run(command)) else { continue };
            self.shared.note_error(&error);
            let panicked = error.kind() == ErrorKind::Panicked;
            if panicked {
                // The conversation may be half changed: nobody uses it again.
                self.shared.give_up(&error);
            }
            if let Some(writer) = writer {
                self.shared.status(|status| status.generating = false);
                writer.fail(error);
            }
            if panicked {
                break;
            }
        }
    }

    fn run(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Generate { request, options, sampler, writer } => {
                self.conversation.set_sampler(sampler)?;
                self.generate(&request, &options, &writer)
            }
            Command::Restore(messages) => {
                self.conversation.restore(messages)?;
                self.shared.status(|status| status.context_used = 0);
                Ok(())
            }
        }
    }

    fn generate(&mut self, request: &Request, options: &GenerateOptions, writer: &Writer) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        if writer.is_ended() {
            // Cancelled before its turn came.
            return Ok(());
        }
        shared.status(|status| status.begin());
        self.conversation.set_profile(shared.settle())?;
        let mut answer = match request {
            Request::Ask(question) => self.conversation.ask(question, options)?,
            Request::Complete(text) => self.conversation.complete(text, options)?,
        };
        let result = stream(&shared, &mut answer, writer);
        let reason = answer.finish_reason();
        shared.status(|status| {
            status.generating = false;
            status.finish_reason = reason.or(result.is_ok().then_some(FinishReason::Cancelled));
        });
        result?;
        writer.finish(reason.unwrap_or(FinishReason::Cancelled));
        Ok(())
    }
}

/// Computes token after token, until the answer ends or nobody wants more.
fn stream(shared: &Shared, answer: &mut Answer<'_>, writer: &Writer) -> Result<()> {
    loop {
        let profile = shared.settle();
        if profile != *answer.profile() {
            answer.set_profile(&profile)?;
        }
        shared.trim_if_asked();
        let (start, held) = (Instant::now(), shared.gate.waited());
        let Some(token) = answer.next() else { return Ok(()) };
        let time = start.elapsed().saturating_sub(shared.gate.waited() - held);
        let token = token?;
        shared.step(answer, time);
        if !writer.push(&token, &profile) {
            return Ok(());
        }
    }
}

impl Status {
    /// A new generation begins: the figures of the last one are over.
    fn begin(&mut self) {
        let Self { context_used, context_length, kv_bytes, weight_bytes, .. } = *self;
        let kept = Self { context_used, context_length, kv_bytes, weight_bytes, ..Self::default() };
        *self = Self { generating: true, ..kept };
    }
}
