//! The figures of a session.

use crate::FinishReason;

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

impl From<otaro::engine::SessionMetrics> for Metrics {
    fn from(metrics: otaro::engine::SessionMetrics) -> Self {
        Self {
            mantissa_bits: metrics.profile.max().mantissa_bits(),
            wanted_mantissa_bits: metrics.wanted_profile.max().mantissa_bits(),
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
