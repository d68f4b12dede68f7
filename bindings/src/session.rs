//! A conversation in progress.

use std::sync::Arc;

use otaro::engine::{EngineSession, Request};

use crate::{
    ChatMessage, Decision, GenerationOptions, Metrics, OtaroError, Signal, TokenStream,
    error::{enter, precision},
    info::revision_line,
};

/// A conversation, on a thread of its own. Every method returns at once, from any thread at any time; after
/// `close` all but `close` fail with `Closed`.
#[derive(Debug, uniffi::Object)]
pub struct Session(Arc<EngineSession>);

impl Session {
    pub(crate) fn new(session: Arc<EngineSession>) -> Self {
        Self(session)
    }

    fn generate(&self, request: Request, options: GenerationOptions) -> Result<Arc<TokenStream>, OtaroError> {
        enter(|| {
            let sampler = options.sampler.clone().unwrap_or_default().into();
            Ok(Arc::new(TokenStream::new(self.0.generate(request, options.into(), sampler)?)))
        })
    }
}

#[uniffi::export]
impl Session {
    /// Asks, as the next message of the conversation; the answer becomes a part of it as far as it comes. A model
    /// without chat template continues the text.
    ///
    /// # Errors
    /// `Busy` while an answer goes on that nobody cancelled, `Suspended`, `InvalidArgument` for options out of
    /// range, `Panicked`, `Closed`. What goes wrong later comes out of the stream.
    pub fn ask(&self, message: String, options: GenerationOptions) -> Result<Arc<TokenStream>, OtaroError> {
        self.generate(Request::Ask(message), options)
    }

    /// Continues a text as it stands, without a template and beside the conversation, which stays as it is.
    ///
    /// # Errors
    /// As `ask`.
    pub fn complete(
        &self,
        prompt: String,
        options: GenerationOptions,
    ) -> Result<Arc<TokenStream>, OtaroError> {
        self.generate(Request::Complete(prompt), options)
    }

    /// Sets the precision that is wanted, from the next token on, in the middle of an answer too. Returns the
    /// precision of that token, which signals may hold below.
    ///
    /// # Errors
    /// `InvalidArgument` outside of the bounds of the session, `MissingPlanes` when the file does not hold it
    /// (yet), `Panicked`, `Closed`.
    pub fn set_precision(&self, mantissa_bits: u32) -> Result<u32, OtaroError> {
        enter(|| Ok(self.0.set_precision(precision(mantissa_bits)?)?.mantissa_bits()))
    }

    /// Takes a signal of the system: memory pressure, heat, battery saver. `bindings/README.md` has the policy.
    ///
    /// # Errors
    /// `Panicked`, `Closed`.
    pub fn signal(&self, signal: Signal) -> Result<Decision, OtaroError> {
        enter(|| Ok(self.0.signal(signal.into())?.into()))
    }

    /// Gives back the memory of planes above the precision of the next token.
    ///
    /// # Errors
    /// `Panicked`, `Closed`.
    pub fn trim(&self) -> Result<(), OtaroError> {
        enter(|| self.0.trim())
    }

    /// Holds the work: nothing is submitted to the device any more. An answer in progress stays where it is, for
    /// `resume` to go on or `TokenStream.cancel` to end; none can begin. Does no harm twice.
    ///
    /// # Errors
    /// `Panicked`, `Closed`.
    pub fn suspend(&self) -> Result<(), OtaroError> {
        enter(|| self.0.suspend())
    }

    /// Lets the work go on. Does no harm twice.
    ///
    /// # Errors
    /// `Panicked`, `Closed`.
    pub fn resume(&self) -> Result<(), OtaroError> {
        enter(|| self.0.resume())
    }

    /// Forgets the conversation and goes on from these messages: none, a system message, or an earlier
    /// conversation. Cancels an answer in progress. The next question comes after it.
    ///
    /// # Errors
    /// `InvalidArgument` for messages to a model without chat template, `Panicked`, `Closed`.
    pub fn reset(&self, messages: Vec<ChatMessage>) -> Result<(), OtaroError> {
        enter(|| self.0.reset(messages.into_iter().map(Into::into).collect()))
    }

    /// The figures at this moment.
    ///
    /// # Errors
    /// `Panicked`, `Closed`.
    pub fn metrics(&self) -> Result<Metrics, OtaroError> {
        enter(|| {
            let process = otaro::memory::ProcessMemory::now();
            Ok(Metrics {
                process_anonymous_bytes: process.anonymous,
                process_file_bytes: process.file,
                process_peak_bytes: process.peak,
                ..self.0.metrics()?.into()
            })
        })
    }

    /// One block of text for a bug report: that of the model, and this session's.
    ///
    /// # Errors
    /// `Panicked`, `Closed`.
    pub fn diagnostics(&self) -> Result<String, OtaroError> {
        enter(|| Ok(revision_line() + &self.0.diagnostics()?))
    }

    /// Ends the session. An answer in progress fails with `Closed`; thread and memory go as soon as the engine has
    /// stopped, within 150 ms. Does no harm twice.
    pub fn close(&self) {
        self.0.close();
    }
}
