//! Perplexity over windows of a token stream.
//!
//! The stream is cut into windows that do not overlap, the tail is dropped; each window starts with
//! an empty cache, and every token of it but the first is scored. Perplexity is the exponential of
//! the mean negative log-likelihood.

use std::time::{Duration, Instant};

use otaro::{CancelToken, Error, ErrorKind, Model, Precision, Result};

/// The windows of a text.
pub struct Windows {
    tokens: Vec<u32>,
    /// Tokens of a window.
    pub context: usize,
    /// Tokens of the text, before the tail was dropped.
    pub given: usize,
}

impl Windows {
    /// Cuts a text, into at most `limit` windows.
    pub fn new(mut tokens: Vec<u32>, context: usize, limit: Option<usize>) -> Self {
        let given = tokens.len();
        let count = (given / context).min(limit.unwrap_or(usize::MAX));
        tokens.truncate(count * context);
        Self { tokens, context, given }
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        self.tokens.len() / self.context
    }

    /// Tokens of all windows.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

/// What was measured at one precision.
pub struct Measured {
    pub mean_negative_log_likelihood: f64,
    pub scored_tokens: usize,
    pub time: Duration,
}

/// Scores every window; `progress` is called with the tokens of each finished one.
pub fn perplexity(
    model: &Model,
    precision: Precision,
    windows: &Windows,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(usize),
) -> Result<Measured> {
    let start = Instant::now();
    let mut session = model.session(precision)?;
    let (mut total, mut scored_tokens) = (0.0, 0);
    for window in windows.tokens.chunks(windows.context) {
        session.truncate(0);
        let mut targets = window[1..].iter();
        // The logits after a token are scored against the token that follows it.
        session.all_logits(&window[..window.len() - 1], cancel, |logits| {
            if let Some(&target) = targets.next() {
                total += negative_log_likelihood(logits, target)?;
                scored_tokens += 1;
            }
            Ok(())
        })?;
        progress(window.len());
    }
    Ok(Measured {
        mean_negative_log_likelihood: total / scored_tokens as f64,
        scored_tokens,
        time: start.elapsed(),
    })
}

/// `log(sum(exp(logits))) - logits[target]`, in f64.
fn negative_log_likelihood(logits: &[f32], target: u32) -> Result<f64> {
    let not_finite = || Error::new(ErrorKind::NotFinite, "the model computed logits that are not finite");
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    let target = logits.get(target as usize).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("token {target} is outside of the vocabulary of {}", logits.len()),
        )
    })?;
    let value = sum.ln() - f64::from(target - max);
    if value.is_finite() { Ok(value) } else { Err(not_finite()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_drop_the_tail_and_obey_the_limit() {
        let windows = Windows::new((0..10).collect(), 4, None);
        assert_eq!((windows.count(), windows.tokens(), windows.given), (2, 8, 10));
        assert_eq!(Windows::new((0..10).collect(), 4, Some(1)).count(), 1);
        assert_eq!(Windows::new((0..3).collect(), 4, None).count(), 0);
    }

    #[test]
    fn likelihood_is_that_of_the_softmax() {
        let uniform = negative_log_likelihood(&[7.0; 8], 3).expect("finite");
        assert!((uniform - 8_f64.ln()).abs() < 1e-12);
        let sure = negative_log_likelihood(&[0.0, 1000.0], 1).expect("finite");
        assert_eq!(sure, 0.0);
        assert_eq!(
            negative_log_likelihood(&[f32::NAN, 0.0], 1).expect_err("NaN").kind(),
            ErrorKind::NotFinite
        );
        assert_eq!(
            negative_log_likelihood(&[0.0], 1).expect_err("outside").kind(),
            ErrorKind::InvalidArgument
        );
    }
}
