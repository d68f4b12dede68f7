//! How far the predictions of a profile are from those of the unquantised model.
//!
//! For each token `t` of each window but the last, `KL(p_t || q_t) = sum(p_t log(p_t / q_t))` in nats, where `p_t` are the
//! probabilities of the next token by the unquantised model and `q_t` those by the packed one.

use otaro::{CancelToken, Error, ErrorKind, Model, Precision, PrecisionProfile, Result};
use serde::{Deserialize, Serialize};

/// Windows of a text, at even distances.
pub struct Sample {
    pub windows: Vec<Vec<u32>>,
}

impl Sample {
    /// `None` when the text is too short.
    pub fn new(ids: &[u32], context: usize, windows: usize) -> Option<Self> {
        let spare = ids.len().checked_sub(windows.checked_mul(context)?).filter(|_| windows > 0)?;
        let begin = |index: usize| index * context + spare * index / windows;
        let window = |index| ids[begin(index)..begin(index) + context].to_vec();
        Some(Self { windows: (0..windows).map(window).collect() })
    }

    /// Tokens of all windows.
    pub fn tokens(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }
}

/// What the unquantised model predicts.
pub struct Reference {
    /// Probabilities after each compared token, `[tokens, vocab]`.
    probabilities: Vec<f32>,
    /// `sum(p log p)` of each token.
    negative_entropies: Vec<f64>,
    /// The most probable next token of each.
    best: Vec<usize>,
}

/// A mean over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// KL divergence in nats.
    pub mean: f64,
    /// The standard error of that.
    pub standard_error: f64,
    /// The share of tokens for which both models hold the same token for the most probable one.
    pub top1: f64,
}

impl Reference {
    /// Runs the windows through the unquantised model; `progress` is told of the tokens done.
    pub fn new(
        model: &Model,
        sample: &Sample,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let mut reference =
            Self { probabilities: Vec::new(), negative_entropies: Vec::new(), best: Vec::new() };
        for_each_row(model, Precision::MAX.into(), sample, cancel, &mut |logits| {
            let (max, log_sum) = normaliser(logits)?;
            let mut negative_entropy = 0.0;
            reference.probabilities.extend(logits.iter().map(|&logit| {
                let log = f64::from(logit - max) - log_sum;
                let probability = log.exp();
                negative_entropy += probability * log;
                probability as f32
            }));
            reference.negative_entropies.push(negative_entropy);
            reference.best.push(argmax(logits));
            progress(1);
            Ok(())
        })?;
        Ok(reference)
    }

    /// Runs the windows through the packed model with a profile and compares.
    pub fn divergence(
        &self,
        model: &Model,
        profile: &PrecisionProfile,
        sample: &Sample,
        cancel: &CancelToken,
    ) -> Result<Divergence> {
        let (mut sum, mut squares, mut agreed, mut index) = (0.0, 0.0, 0, 0);
        for_each_row(model, profile.clone(), sample, cancel, &mut |logits| {
            let probabilities = &self.probabilities[index * logits.len()..][..logits.len()];
            let divergence = divergence(probabilities, self.negative_entropies[index], logits)?;
            sum += divergence;
            squares += divergence * divergence;
            agreed += usize::from(argmax(logits) == self.best[index]);
            index += 1;
            Ok(())
        })?;
        let count = index as f64;
        let (mean, variance) = (sum / count, (squares - sum * sum / count) / (count - 1.0).max(1.0));
        let standard_error = (variance.max(0.0) / count).sqrt();
        let [mean, standard_error, top1] = [mean, standard_error, agreed as f64 / count].map(rounded);
        Ok(Divergence { mean, standard_error, top1 })
    }
}

/// Twelve decimals: what a JSON file gives back exactly, so that a search that goes on finds what one in a piece does.
fn rounded(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}

/// Hands out the logits after every token of every window but its last, which nothing follows.
fn for_each_row(
    model: &Model,
    profile: PrecisionProfile,
    sample: &Sample,
    cancel: &CancelToken,
    each: &mut dyn FnMut(&[f32]) -> Result<()>,
) -> Result<()> {
    let mut session = model.session(profile)?;
    sample.windows.iter().try_for_each(|window| {
        session.truncate(0);
        session.all_logits(&window[..window.len() - 1], cancel, &mut *each)
    })
}

/// `sum(p log p) - sum(p log q)`, of which the first is known.
fn divergence(probabilities: &[f32], negative_entropy: f64, logits: &[f32]) -> Result<f64> {
    let (max, log_sum) = normaliser(logits)?;
    let terms = probabilities.iter().zip(logits);
    let expected: f64 = terms.map(|(&p, &logit)| f64::from(p) * (f64::from(logit - max) - log_sum)).sum();
    // What is left of rounding is no divergence.
    Ok((negative_entropy - expected).max(0.0))
}

/// The largest logit, and the logarithm of the sum of exponentials less it.
fn normaliser(logits: &[f32]) -> Result<(f32, f64)> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = logits.iter().map(|&logit| f64::from((logit - max).exp())).sum::<f64>().ln();
    match max.is_finite() && log_sum.is_finite() {
        true => Ok((max, log_sum)),
        false => Err(Error::new(ErrorKind::NotFinite, "the model computed logits that are not finite")),
    }
}

fn argmax(logits: &[f32]) -> usize {
    let better = |best: usize, index: usize| if logits[index] > logits[best] { index } else { best };
    (0..logits.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_spread_over_the_text() {
        let ids: Vec<u32> = (0..20).collect();
        let sample = Sample::new(&ids, 4, 3).expect("long enough");
        let begins: Vec<_> = sample.windows.iter().map(|window| window[0]).collect();
        assert_eq!((begins, sample.tokens()), (vec![0, 6, 13], 12));
        assert_eq!(Sample::new(&ids, 10, 2).expect("just enough").windows[1][9], 19);
        assert!(Sample::new(&ids, 7, 3).is_none() && Sample::new(&ids, 4, 0).is_none());
    }

    #[test]
    fn what_is_kept_reads_back_exactly() {
        for index in 1..2000 {
            let value = rounded(f64::from(index).sqrt() / 7.0_f64.powi(index % 12));
            let json = serde_json::to_string(&value).expect("a number");
            assert_eq!(serde_json::from_str::<f64>(&json).expect("a number"), value, "{json}");
        }
    }

    #[test]
    fn divergence_is_that_of_the_definition() {
        let p = [0.5_f32, 0.25, 0.25];
        let negative_entropy: f64 = p.iter().map(|&p| f64::from(p) * f64::from(p).ln()).sum();
        let q = [0.2_f64, 0.7, 0.1];
        let logits = q.map(|q| q.ln() as f32 + 3.0);
        let expected: f64 = p.iter().zip(q).map(|(&p, q)| f64::from(p) * (f64::from(p) / q).ln()).sum();
        let found = divergence(&p, negative_entropy, &logits).expect("finite");
        assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        let same = p.map(|p| p.ln() - 7.0);
        assert!(divergence(&p, negative_entropy, &same).expect("finite") < 1e-6);
        for bad in [[f32::NAN, 0.0, 0.0], [f32::INFINITY, 0.0, 0.0], [f32::NEG_INFINITY; 3]] {
            assert_eq!(
                divergence(&p, negative_entropy, &bad).expect_err("not finite").kind(),
                ErrorKind::NotFinite
            );
        }
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
    }
}
