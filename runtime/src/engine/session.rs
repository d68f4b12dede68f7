//! A session as an app holds it.

use std::sync::{Arc, Mutex, mpsc::Sender};

use sefp::Precision;

use super::{
    Engine, SessionMetrics, TokenStream,
    shared::{Shared, lock},
    status::Status,
    stream::{closed, stream},
    worker::{Command, Request, start},
};
use crate::{
    Error, ErrorKind, GenerateOptions, Message, PrecisionProfile, Result, SamplerSettings,
    governor::{Bounds, Decision, Governor, Signal},
};

/// How a session begins.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The precision, or the profile, that is wanted.
    pub profile: PrecisionProfile,
    /// The precisions between which signals may choose.
    pub bounds: (Precision, Precision),
    /// The most tokens of the context; what the model was made for by default. Bounds the KV cache.
    pub context_length: Option<usize>,
    /// The messages that the conversation begins with: a system message, or an earlier conversation.
    pub messages: Vec<Message>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            profile: Precision::E5M6.into(),
            bounds: (Precision::MIN, Precision::MAX),
            context_length: None,
            messages: Vec::new(),
        }
    }
}

/// A conversation on a thread of its own. Every method may be called from any thread at any time, and none
/// waits for tokens. Dropping it, and the stream of an answer in progress, closes it.
#[derive(Debug)]
pub struct EngineSession {
    shared: Arc<Shared>,
    /// `None` once closed.
    commands: Mutex<Option<Sender<Command>>>,
    /// Whether the conversation takes messages.
    has_template: bool,
}

impl EngineSession {
    /// A session of an opened model.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for options out of range,
    /// [`MissingPlanes`](ErrorKind::MissingPlanes), [`ChatTemplate`](ErrorKind::ChatTemplate),
    /// [`Device`](ErrorKind::Device).
    pub(super) fn new(engine: &Engine, options: SessionOptions) -> Result<Self> {
        let bounds = Bounds::new(options.bounds.0, options.bounds.1)?;
        let governor = Governor::new(bounds, &options.profile)?;
        let mut conversation = engine.conversation(options.profile)?;
        if let Some(tokens) = options.context_length {
            if tokens == 0 {
                return Err(Error::new(ErrorKind::InvalidArgument, "a context of no tokens holds nothing"));
            }
            conversation.limit_context(tokens);
        }
        let has_template = conversation.has_template();
        conversation.restore(options.messages)?;
        let status = Status { context_length: conversation.context().1, ..Status::default() };
        let shared = Arc::new(Shared::new(engine.clone(), governor, status));
        let commands = Mutex::new(Some(start(conversation, Arc::clone(&shared))?));
        Ok(Self { shared, commands, has_template })
    }

    /// Begins an answer, or a completion, and returns the stream of its tokens. What is wrong with the
    /// request itself is an error here; what goes wrong later comes out of the stream.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while an answer goes on that nobody cancelled,
    /// [`Suspended`](ErrorKind::Suspended), [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked) after
    /// a defect, [`InvalidArgument`](ErrorKind::InvalidArgument) for options out of range.
    pub fn generate(
        self: &Arc<Self>,
        request: Request,
        options: GenerateOptions,
        sampler: SamplerSettings,
    ) -> Result<TokenStream> {
        options.validate()?;
        sampler.validate()?;
        let commands = lock(&self.commands);
        let sender = self.usable(commands.as_ref())?;
        if self.shared.gate.is_closed() {
            let reason = "the session is suspended: resume it before it begins an answer";
            return Err(Error::new(ErrorKind::Suspended, reason));
        }
        let mut current = lock(&self.shared.current);
        if current.as_ref().is_some_and(|writer| !writer.is_ended()) {
            let reason = "the session is still at its last answer: read it to its end or cancel it";
            return Err(Error::new(ErrorKind::Busy, reason));
        }
        let (writer, reader) = stream(self.shared.gate.clone(), self.shared.settle(), Some(Arc::clone(self)));
        let options = GenerateOptions { cancel: writer.cancel_token().clone(), ..options };
        *current = Some(writer.clone());
        sender.send(Command::Generate { request, options, sampler, writer }).map_err(|_| self.ended())?;
        Ok(reader)
    }

    /// Forgets the conversation and goes on from these messages: none, a system message, or an earlier
    /// conversation. An answer in progress is cancelled. Returns at once; the next question comes after it.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for messages to a model without chat template;
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn reset(&self, messages: Vec<Message>) -> Result<()> {
        let commands = lock(&self.commands);
        let sender = self.usable(commands.as_ref())?;
        if !messages.is_empty() && !self.has_template {
            let reason = "this model has no chat template, so it takes no messages: it continues text";
            return Err(Error::new(ErrorKind::InvalidArgument, reason));
        }
        self.cancel();
        sender.send(Command::Restore(messages)).map_err(|_| self.ended())
    }

    /// Cancels the answer in progress, if there is one.
    pub fn cancel(&self) {
        if let Some(writer) = &*lock(&self.shared.current) {
            writer.cancel();
        }
    }

    /// Sets the precision that is wanted of every matrix, from the next token on. Returns the precision of that
    /// token, which signals may hold below.
    ///
    /// # Errors
    /// As [`set_profile`](Self::set_profile).
    pub fn set_precision(&self, precision: Precision) -> Result<Precision> {
        self.set_profile(precision).map(|profile| profile.max())
    }

    /// Sets the profile that is wanted, from the next token on. Returns the profile of that token, in which
    /// signals may have lowered what is highest.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) outside of the bounds, or for a layer that the model does
    /// not have, [`MissingPlanes`](ErrorKind::MissingPlanes) when the file does not hold it (yet),
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn set_profile(&self, profile: impl Into<PrecisionProfile>) -> Result<PrecisionProfile> {
        self.usable(lock(&self.commands).as_ref())?;
        let profile = profile.into();
        self.shared.engine.model().resolve(&profile)?;
        let mut governor = lock(&self.shared.governor);
        governor.want(profile, self.shared.elapsed())?;
        Ok(governor.profile())
    }

    /// Takes a signal of the system; see [`governor`](crate::governor) for what it leads to.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn signal(&self, signal: Signal) -> Result<Decision> {
        self.usable(lock(&self.commands).as_ref())?;
        let decision = lock(&self.shared.governor).signal(signal, self.shared.elapsed());
        if decision.trim {
            self.shared.ask_to_trim();
        }
        self.shared.engine.note_signal(&decision.reason);
        *lock(&self.shared.last_decision) = Some(decision.reason.clone());
        Ok(decision)
    }

    /// Gives back the memory of planes above the profile of the next token.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn trim(&self) -> Result<()> {
        self.usable(lock(&self.commands).as_ref())?;
        self.shared.ask_to_trim();
        Ok(())
    }

    /// Holds the work before its next layer, on a GPU before its next pass; nothing is submitted from then
    /// on. An answer in progress stays where it is: [`resume`](Self::resume) lets it go on, cancelling its stream
    /// ends it. Does no harm twice.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn suspend(&self) -> Result<()> {
        self.usable(lock(&self.commands).as_ref())?;
        self.shared.gate.close();
        if let Some(writer) = &*lock(&self.shared.current) {
            writer.flush();
        }
        Ok(())
    }

    /// Lets the work go on.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn resume(&self) -> Result<()> {
        self.usable(lock(&self.commands).as_ref())?;
        self.shared.gate.open();
        Ok(())
    }

    /// The figures at this moment.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn metrics(&self) -> Result<SessionMetrics> {
        self.usable(lock(&self.commands).as_ref())?;
        Ok(self.shared.metrics())
    }

    /// One block of text for a bug report: that of the model, and this session's.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed), [`Panicked`](ErrorKind::Panicked).
    pub fn diagnostics(&self) -> Result<String> {
        Ok(self.shared.engine.diagnostics() + &super::diagnostics::session(&self.metrics()?))
    }

    /// Ends the session: an answer in progress fails with [`Closed`](ErrorKind::Closed), and the thread and its memory
    /// go as soon as the engine has stopped, before its next layer. Does no harm twice.
    pub fn close(&self) {
        let sender = lock(&self.commands).take();
        if let Some(writer) = &*lock(&self.shared.current) {
            writer.fail(closed());
        }
        drop(sender);
    }

    fn usable<'a>(&self, commands: Option<&'a Sender<Command>>) -> Result<&'a Sender<Command>> {
        match &*lock(&self.shared.given_up) {
            Some(text) => Err(Error::new(ErrorKind::Panicked, text.clone())),
            None => commands.ok_or_else(closed),
        }
    }

    /// Why nobody takes commands any more.
    fn ended(&self) -> Error {
        self.usable(None).err().unwrap_or_else(closed)
    }
}

impl Drop for EngineSession {
    fn drop(&mut self) {
        self.close();
    }
}
