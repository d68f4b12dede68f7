//! A conversation in progress.

use std::sync::Arc;

use otaro::engine::{EngineSession, Request};

use crate::{
    Decision, FinishReason, OtaroError, Signal, TokenStream,
    error::{enter, precision},
    info::revision_line,
};

/// A conversation, on a thread of its own. Every method returns at once, from any thread at any time; after
/// `close` all but `close` fail with `Closed`.
#[derive(Debug, uniffi::Object)]
pub struct Session(Arc<EngineSession>);

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ChatMessage {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SessionOptions {
    /// The precision that is wanted, 3 to 8.
    #[uniffi(default = 6)]
    pub mantissa_bits: u32,
    /// The lowest precision that signals may choose.
    #[uniffi(default = 3)]
    pub min_mantissa_bits: u32,
    /// The highest precision that may be wanted.
    #[uniffi(default = 8)]
    pub max_mantissa_bits: u32,
    /// The most tokens of the context, which bounds the KV cache; what the model was made for by default.
    #[uniffi(default = None)]
    pub context_length: Option<u32>,
    /// The messages that the conversation begins with: a system message, or an earlier conversation, which
    /// then ends with an answer. Only for models with a chat template.
    #[uniffi(default = [])]
    pub messages: Vec<ChatMessage>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            mantissa_bits: 6,
            min_mantissa_bits: 3,
            max_mantissa_bits: 8,
            context_length: None,
            messages: Vec::new(),
        }
    }
}

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct SamplerOptions {
    /// 0 to 100: 0 always takes the best token, 1 the model's own distribution.
    #[uniffi(default = 0.7)]
    pub temperature: f32,
    /// Only the so many best tokens; 0 is all.
    #[uniffi(default = 0)]
    pub top_k: u32,
    /// Only the best tokens that together reach this probability, above 0 to 1; 1 is all.
    #[uniffi(default = 0.9)]
    pub top_p: f32,
    /// Only tokens at least so probable, relative to the best, 0 to 1; 0 is all.
    #[uniffi(default = 0.0)]
    pub min_p: f32,
    /// Makes recent tokens less probable, 0.1 to 10; 1 is off.
    #[uniffi(default = 1.0)]
    pub repetition_penalty: f32,
    /// How many recent tokens the penalty looks at, the prompt included.
    #[uniffi(default = 256)]
    pub repetition_window: u32,
    /// Where the random numbers begin; the same seed gives the same answer. Another one each time by default.
    #[uniffi(default = None)]
    pub seed: Option<u64>,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 0,
            top_p: 0.9,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 256,
            seed: None,
        }
    }
}

/// When an answer ends, and how its tokens are chosen.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct GenerationOptions {
    /// The most tokens to generate.
    #[uniffi(default = 1024)]
    pub max_tokens: u32,
    /// Texts that end the answer; they are not part of it. None may be empty.
    #[uniffi(default = [])]
    pub stop: Vec<String>,
    /// How tokens are chosen.
    #[uniffi(default = None)]
    pub sampler: Option<SamplerOptions>,
    /// Goes on past the tokens with which the model ends an answer.
    #[uniffi(default = false)]
    pub ignore_eos: bool,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self { max_tokens: 1024, stop: Vec::new(), sampler: None, ignore_eos: false }
    }
}

/// The figures of a session at a moment. Times and rates are those of the computing: neither suspensions nor
/// waits for a slow reader count.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Metrics {
    /// The precision of the next token.
    pub mantissa_bits: u32,
    /// The precision that the app wants; signals may hold the one above below it.
    pub wanted_mantissa_bits: u32,
    /// Whether the engine is at work on an answer; false means quiescent.
    pub generating: bool,
    /// Whether the session is suspended.
    pub suspended: bool,
    /// Tokens of the last prompt.
    pub prompt_tokens: u32,
    /// Of these, tokens that were in the KV cache already and cost nothing.
    pub reused_tokens: u32,
    /// Tokens of the last answer so far.
    pub generated_tokens: u32,
    /// Milliseconds from the request to the first token; 0 before it.
    pub first_token_ms: f64,
    /// Tokens of the last prompt processed per second, reused ones not counted.
    pub prefill_tokens_per_second: Option<f64>,
    /// Tokens of the last answer generated per second.
    pub decode_tokens_per_second: Option<f64>,
    /// How the last answer ended; null while it goes on.
    pub finish_reason: Option<FinishReason>,
    /// Tokens in the context.
    pub context_used: u32,
    /// Tokens that fit.
    pub context_length: u32,
    /// Bytes of the KV cache.
    pub kv_bytes: u64,
    /// Bytes of weights in memory because passes needed them, of all sessions of the model. On the CPU these
    /// are pages of the file, which the system takes back when it runs short.
    pub weight_bytes: u64,
    /// Memory of the whole process that no file stands behind; null where the system does not say.
    pub process_anonymous_bytes: Option<u64>,
    /// Memory of the whole process with files behind it, such as the model.
    pub process_file_bytes: Option<u64>,
    /// The most memory that the process has had.
    pub process_peak_bytes: Option<u64>,
    /// What the last signal led to, if there was one.
    pub last_decision: Option<String>,
}

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

impl TryFrom<SessionOptions> for otaro::engine::SessionOptions {
    type Error = otaro::Error;

    fn try_from(options: SessionOptions) -> otaro::Result<Self> {
        Ok(Self {
            precision: precision(options.mantissa_bits)?,
            bounds: (precision(options.min_mantissa_bits)?, precision(options.max_mantissa_bits)?),
            context_length: options.context_length.map(|tokens| tokens as usize),
            messages: options.messages.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<ChatMessage> for otaro::Message {
    fn from(message: ChatMessage) -> Self {
        let role = match message.role {
            Role::System => otaro::Role::System,
            Role::User => otaro::Role::User,
            Role::Assistant => otaro::Role::Assistant,
        };
        Self::new(role, message.content)
    }
}

impl From<GenerationOptions> for otaro::GenerateOptions {
    fn from(options: GenerationOptions) -> Self {
        Self {
            max_tokens: options.max_tokens as usize,
            stop: options.stop,
            ignore_eos: options.ignore_eos,
            ..Self::default()
        }
    }
}

impl From<SamplerOptions> for otaro::SamplerSettings {
    fn from(options: SamplerOptions) -> Self {
        Self {
            temperature: options.temperature,
            top_k: options.top_k as usize,
            top_p: options.top_p,
            min_p: options.min_p,
            repetition_penalty: options.repetition_penalty,
            repetition_window: options.repetition_window as usize,
            seed: options.seed.unwrap_or_else(otaro::SamplerSettings::any_seed),
        }
    }
}

impl From<otaro::engine::SessionMetrics> for Metrics {
    fn from(metrics: otaro::engine::SessionMetrics) -> Self {
        Self {
            mantissa_bits: metrics.precision.mantissa_bits(),
            wanted_mantissa_bits: metrics.wanted_precision.mantissa_bits(),
            generating: metrics.generating,
            suspended: metrics.suspended,
            prompt_tokens: metrics.prompt_tokens as u32,
            reused_tokens: metrics.reused_tokens as u32,
            generated_tokens: metrics.generated_tokens as u32,
            first_token_ms: metrics.first_token.as_secs_f64() * 1e3,
            prefill_tokens_per_second: metrics.prefill_tokens_per_second,
            decode_tokens_per_second: metrics.decode_tokens_per_second,
            finish_reason: metrics.finish_reason.map(FinishReason::from),
            context_used: metrics.context_used as u32,
            context_length: metrics.context_length as u32,
            kv_bytes: metrics.kv_bytes,
            weight_bytes: metrics.weight_bytes,
            process_anonymous_bytes: None,
            process_file_bytes: None,
            process_peak_bytes: None,
            last_decision: metrics.last_decision,
        }
    }
}
