//! What a generation cost.

use std::{fmt, time::Duration};

use serde::Serialize;

/// The figures of one generation.
///
/// Displayed as a few lines for a person; serialized with times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the KV cache already and cost nothing.
    pub reused_tokens: usize,
    /// Tokens that were generated, the one that ended the answer included.
    pub generated_tokens: usize,
    /// From the request to the end of prompt processing, in seconds.
    #[serde(rename = "prefill_seconds", serialize_with = "seconds")]
    pub prefill: Duration,
    /// From the request to the first token, in seconds.
    #[serde(rename = "first_token_seconds", serialize_with = "seconds")]
    pub first_token: Duration,
    /// From the first token to the last, in seconds.
    #[serde(rename = "decode_seconds", serialize_with = "seconds")]
    pub decode: Duration,
    /// Bytes of weights that a token reads with the profile at the end; 0 if not known.
    pub weight_bytes_per_token: u64,
    /// The profile at the end, as in `E5M6` or `4,head=8`.
    pub profile: String,
    /// Which device answered; empty where the caller knows it and this does not.
    pub device: String,
}

impl Metrics {
    /// Tokens of the prompt processed per second, reused ones not counted; `None` if there were none.
    pub fn prefill_tokens_per_second(&self) -> Option<f64> {
        rate(self.prompt_tokens.saturating_sub(self.reused_tokens), self.prefill)
    }

    /// Tokens generated per second after the first one, which belongs to the prompt's time; `None`
    /// with fewer than two.
    pub fn decode_tokens_per_second(&self) -> Option<f64> {
        rate(self.generated_tokens.saturating_sub(1), self.decode)
    }

    /// Bytes of weights read per second while decoding.
    pub fn weight_bytes_per_second(&self) -> Option<f64> {
        self.decode_tokens_per_second().map(|rate| rate * self.weight_bytes_per_token as f64)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.1} t/s"));
        writeln!(
            f,
            "prompt     {} tokens, {} reused, {}, first token after {:.0} ms",
            self.prompt_tokens,
            self.reused_tokens,
            rate(self.prefill_tokens_per_second()),
            self.first_token.as_secs_f64() * 1e3
        )?;
        writeln!(
            f,
            "answer     {} tokens, {}",
            self.generated_tokens,
            rate(self.decode_tokens_per_second())
        )?;
        write!(f, "weights    {}", self.profile)?;
        if self.weight_bytes_per_token > 0 {
            write!(f, ", {:.1} MB read per token", self.weight_bytes_per_token as f64 / 1e6)?;
        }
        if let Some(bytes) = self.weight_bytes_per_second().filter(|bytes| *bytes > 0.0) {
            write!(f, ", {:.1} GB/s", bytes / 1e9)?;
        }
        if !self.device.is_empty() {
            write!(f, "\ndevice     {}", self.device)?;
        }
        Ok(())
    }
}

fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn metrics() -> Metrics {
        Metrics {
            prompt_tokens: 120,
            reused_tokens: 20,
            generated_tokens: 51,
            prefill: Duration::from_millis(500),
            first_token: Duration::from_millis(520),
            decode: Duration::from_secs(2),
            weight_bytes_per_token: 800_000_000,
            profile: "E5M6".into(),
            device: "cpu (test, 2 threads)".into(),
        }
    }

    #[test]
    fn rates_leave_out_what_was_reused_and_the_first_token() {
        assert_eq!(metrics().prefill_tokens_per_second(), Some(200.0));
        assert_eq!(metrics().decode_tokens_per_second(), Some(25.0));
        assert_eq!(Metrics::default().decode_tokens_per_second(), None);
        assert_eq!(Metrics { generated_tokens: 1, ..metrics() }.decode_tokens_per_second(), None);
        assert_eq!(Metrics { reused_tokens: 120, ..metrics() }.prefill_tokens_per_second(), None);
    }

    #[test]
    fn reads_well() {
        let expected = "\
prompt     120 tokens, 20 reused, 200.0 t/s, first token after 520 ms
answer     51 tokens, 25.0 t/s
weights    E5M6, 800.0 MB read per token, 20.0 GB/s
device     cpu (test, 2 threads)";
        assert_eq!(metrics().to_string(), expected);
    }

    #[test]
    fn serializes_times_in_seconds() {
        let json = serde_json::to_value(metrics()).unwrap();
        assert_eq!(json["first_token_seconds"], 0.52);
        assert_eq!(json["generated_tokens"], 51);
    }
}
