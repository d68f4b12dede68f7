//! The figures of a session, kept where everybody can read them while the worker works.

use std::time::Duration;

use crate::{FinishReason, Metrics, PrecisionProfile};

/// What a session is doing, and what its last generation cost.
///
/// Times are those of the computing itself: neither suspensions nor waits for a slow reader count.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionMetrics {
    /// The profile of the next token.
    pub profile: PrecisionProfile,
    /// The profile that the app wants; signals may hold the one above below it.
    pub wanted_profile: PrecisionProfile,
    /// Whether an answer is being computed.
    pub generating: bool,
    /// Whether the session is suspended.
    pub suspended: bool,
    /// Tokens of the last prompt.
    pub prompt_tokens: usize,
    /// Of these, tokens that were in the KV cache already.
    pub reused_tokens: usize,
    /// Tokens of the last answer so far.
    pub generated_tokens: usize,
    /// From the request to the first token.
    pub first_token: Duration,
    /// Tokens of the last prompt processed per second, reused ones not counted.
    pub prefill_tokens_per_second: Option<f64>,
    /// Tokens of the last answer generated per second, the first one not counted.
    pub decode_tokens_per_second: Option<f64>,
    /// How the last answer ended.
    pub finish_reason: Option<FinishReason>,
    /// Tokens in the KV cache.
    pub context_used: usize,
    /// Tokens that fit into it.
    pub context_length: usize,
    /// Bytes of the KV cache.
    pub kv_bytes: u64,
    /// Bytes of weights in memory because passes needed them, of all sessions of the model, as of the last
    /// token of this one.
    pub weight_bytes: u64,
    /// Bytes of weights that the last token of this session has read.
    pub weight_bytes_per_token: u64,
    /// What the last signal led to, if there was one.
    pub last_decision: Option<String>,
}

/// The part that the worker writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    pub(super) generating: bool,
    pub(super) prompt_tokens: usize,
    pub(super) reused_tokens: usize,
    pub(super) generated_tokens: usize,
    pub(super) prefill: Duration,
    pub(super) decode: Duration,
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) context_used: usize,
    pub(super) context_length: usize,
    pub(super) kv_bytes: u64,
    pub(super) weight_bytes: u64,
    pub(super) weight_bytes_per_token: u64,
}

impl Status {
    /// Takes note of a step of a generation that took `time`: the first is the prompt and the first token.
    pub(super) fn step(&mut self, figures: &Metrics, time: Duration) {
        if self.generated_tokens == 0 {
            self.prefill += time;
        } else {
            self.decode += time;
        }
        self.prompt_tokens = figures.prompt_tokens;
        self.reused_tokens = figures.reused_tokens;
        self.generated_tokens = figures.generated_tokens;
    }

    pub(super) fn prefill_tokens_per_second(&self) -> Option<f64> {
        (self.generated_tokens > 0)
            .then(|| rate(self.prompt_tokens.saturating_sub(self.reused_tokens), self.prefill))
            .flatten()
    }

    pub(super) fn decode_tokens_per_second(&self) -> Option<f64> {
        rate(self.generated_tokens.saturating_sub(1), self.decode)
    }
}

fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_prompt_and_the_others_are_tokens() {
        let mut status = Status::default();
        let figures = |generated_tokens| Metrics {
            prompt_tokens: 120,
            reused_tokens: 20,
            generated_tokens,
            ..Metrics::default()
        };
        assert_eq!(status.decode_tokens_per_second(), None);
        status.step(&figures(1), Duration::from_millis(500));
        assert_eq!(status.prefill_tokens_per_second(), Some(200.0));
        assert_eq!(status.decode_tokens_per_second(), None);
        for generated in 2..=5 {
            status.step(&figures(generated), Duration::from_millis(50));
        }
        assert_eq!(status.decode_tokens_per_second(), Some(20.0));
        assert_eq!(status.prefill_tokens_per_second(), Some(200.0));
    }
}
