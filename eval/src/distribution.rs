//! The distribution over the next token that logits stand for.

use otaro::{Error, ErrorKind, Result};

use crate::error::invalid;

/// Logits of one position, with what their softmax needs.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    logits: &'a [f32],
    /// The largest logit.
    max: f32,
    /// `log(sum(exp(logits - max)))`
    log_sum: f64,
    /// The token of the largest logit, the first one among equals.
    top: usize,
}

impl<'a> Distribution<'a> {
    /// The softmax of logits, `[vocab]`.
    ///
    /// # Errors
    /// [`NotFinite`](ErrorKind::NotFinite) for logits that are not numbers.
    pub fn new(logits: &'a [f32]) -> Result<Self> {
        let first = logits.first().copied().ok_or_else(|| invalid("there are no logits"))?;
        let (mut max, mut top) = (first, 0);
        for (token, &logit) in logits.iter().enumerate() {
            if logit > max {
                (max, top) = (logit, token);
            }
        }
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        match sum.is_finite() {
            true => Ok(Self { logits, max, log_sum: sum.ln(), top }),
            false => Err(not_finite()),
        }
    }

    /// `-log p(token)`, in nats.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a token outside of the vocabulary,
    /// [`NotFinite`](ErrorKind::NotFinite) for one without any probability.
    pub fn negative_log_likelihood(&self, token: u32) -> Result<f64> {
        let logit = self.logits.get(token as usize).ok_or_else(|| {
            invalid(format!("token {token} is outside of the vocabulary of {}", self.logits.len()))
        })?;
        let value = self.log_sum - f64::from(logit - self.max);
        if value.is_finite() { Ok(value) } else { Err(not_finite()) }
    }

    /// The most likely token; the first one among equals.
    pub fn top(&self) -> usize {
        self.top
    }
}

fn not_finite() -> Error {
    Error::new(ErrorKind::NotFinite, "the model computed logits that are not finite")
}

/// The distributions of the reference at every position of a window, kept for the candidates. Takes eight bytes
/// a logit.
#[derive(Clone, Debug, Default)]
pub struct ReferenceRows {
    vocab_size: usize,
    /// Logits less the largest of their row, `[positions, vocab]`.
    relative: Vec<f32>,
    /// What they come to as probabilities.
    probabilities: Vec<f32>,
    /// Of each position.
    log_sums: Vec<f64>,
    tops: Vec<usize>,
}

impl ReferenceRows {
    /// Forgets all positions.
    pub fn clear(&mut self) {
        self.relative.clear();
        self.probabilities.clear();
        self.log_sums.clear();
        self.tops.clear();
    }

    /// Adds a position.
    pub fn push(&mut self, row: &Distribution<'_>) {
        self.vocab_size = row.logits.len();
        self.relative.extend(row.logits.iter().map(|logit| logit - row.max));
        let probability = |&logit: &f32| (f64::from(logit - row.max) - row.log_sum).exp() as f32;
        self.probabilities.extend(row.logits.iter().map(probability));
        self.log_sums.push(row.log_sum);
        self.tops.push(row.top);
    }

    /// The Kullback-Leibler divergence of a candidate from the reference at a position,
    /// `sum(p log(p / q))` in nats with `p` of the reference, and whether their most likely tokens are the same.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for another vocabulary or a position that is not there,
    /// [`NotFinite`](ErrorKind::NotFinite) where the candidate leaves no probability to a token.
    pub fn compare(&self, position: usize, candidate: &Distribution<'_>) -> Result<(f64, bool)> {
        let (Some(log_sum), true) = (self.log_sums.get(position), candidate.logits.len() == self.vocab_size)
        else {
            return Err(invalid(format!(
                "the reference has {} positions of {} logits, the candidate has {} logits at position {position}",
                self.log_sums.len(),
                self.vocab_size,
                candidate.logits.len()
            )));
        };
        let row = position * self.vocab_size..(position + 1) * self.vocab_size;
        let terms = self.probabilities[row.clone()].iter().zip(&self.relative[row]).zip(candidate.logits);
        // log(p / q) is the difference of the logits, less that of the sums, which is the same for all tokens.
        let sum: f64 = terms
            .map(|((&p, &reference), &logit)| {
                f64::from(p) * (f64::from(reference) - f64::from(logit - candidate.max))
            })
            .sum();
        let divergence = sum + candidate.log_sum - log_sum;
        match divergence.is_finite() {
            true => Ok((divergence, self.tops[position] == candidate.top)),
            false => Err(not_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(reference: &[f32], candidate: &[f32]) -> (f64, bool) {
        let mut rows = ReferenceRows::default();
        rows.push(&Distribution::new(&[9.0; 3]).expect("finite"));
        rows.push(&Distribution::new(reference).expect("finite"));
        rows.compare(1, &Distribution::new(candidate).expect("finite")).expect("the same vocabulary")
    }

    #[test]
    fn likelihood_is_that_of_the_softmax() {
        let of =
            |logits: &[f32], token| Distribution::new(logits).and_then(|d| d.negative_log_likelihood(token));
        assert!((of(&[7.0; 8], 3).expect("finite") - 8_f64.ln()).abs() < 1e-12);
        assert_eq!(of(&[0.0, 1000.0], 1).expect("finite"), 0.0);
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(of(&[0.0, bad, 1.0], 0).expect_err("not finite").kind(), ErrorKind::NotFinite);
            assert_eq!(of(&[bad, 1.0], 0).expect_err("not finite").kind(), ErrorKind::NotFinite);
        }
        assert_eq!(of(&[0.0], 1).expect_err("outside").kind(), ErrorKind::InvalidArgument);
        assert!(Distribution::new(&[]).is_err());
    }

    #[test]
    fn divergence_is_that_of_the_definition() {
        let (p, q) = ([0.5_f64, 0.25, 0.25], [0.25_f64, 0.25, 0.5]);
        // Logits may be shifted by anything.
        let logits = |p: [f64; 3], shift: f64| p.map(|p| (p.ln() + shift) as f32);
        let expected: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        let (divergence, agrees) = compare(&logits(p, 3.0), &logits(q, -5.0));
        assert!((divergence - expected).abs() < 1e-6, "{divergence} {expected}");
        assert!(!agrees);
        assert!(compare(&[0.0, 1.0, 0.5], &[0.0, 9.0, 8.0]).1);
    }

    #[test]
    fn nothing_diverges_from_itself() {
        let logits: Vec<f32> = (0..100).map(|i| (i * 37 % 100) as f32 * 0.3 - 7.0).collect();
        assert_eq!(compare(&logits[..3], &logits[..3]), (0.0, true));
    }

    #[test]
    fn rows_must_fit() {
        let mut rows = ReferenceRows::default();
        rows.push(&Distribution::new(&[1.0, 2.0]).expect("finite"));
        let candidate = Distribution::new(&[1.0, 2.0, 3.0]).expect("finite");
        assert!(rows.compare(0, &candidate).is_err());
        let candidate = Distribution::new(&[1.0, 2.0]).expect("finite");
        assert!(rows.compare(1, &candidate).is_err());
        let impossible = Distribution::new(&[f32::NEG_INFINITY, 2.0]).expect("finite");
        assert_eq!(rows.compare(0, &impossible).expect_err("infinite").kind(), ErrorKind::NotFinite);
    }
}
