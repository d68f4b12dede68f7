//! What a session and an answer can be told.

use crate::error::precision;

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

impl TryFrom<SessionOptions> for otaro::engine::SessionOptions {
    type Error = otaro::Error;

    fn try_from(options: SessionOptions) -> otaro::Result<Self> {
        Ok(Self {
            profile: precision(options.mantissa_bits)?.into(),
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
