//! Asks a question, and counts.

use otaro::{CancelToken, Result, Session};

use super::encode::{EncodedChoice, EncodedQuestion};
use crate::{distribution::Distribution, statistics::Estimate};

/// Whether the answers of a model were right, question by question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// By the sum of the log-likelihoods of a choice's tokens: `acc` of lm-evaluation-harness.
    pub right: Vec<bool>,
    /// By the same divided by the characters of the choice: `acc_norm`.
    pub right_normalised: Vec<bool>,
}

impl Answers {
    /// The share that was right.
    pub fn accuracy(&self) -> Estimate {
        Estimate::share(&self.right)
    }

    /// The share that was right by normalised likelihood.
    pub fn normalised_accuracy(&self) -> Estimate {
        Estimate::share(&self.right_normalised)
    }

    /// Adds the answer to a question, given by the log-likelihood of each choice.
    pub fn add(&mut self, question: &EncodedQuestion, log_likelihoods: &[f64]) {
        let normalised: Vec<_> = log_likelihoods
            .iter()
            .zip(&question.choices)
            .map(|(likelihood, choice)| likelihood / choice.characters.max(1) as f64)
            .collect();
        self.right.push(best(log_likelihoods) == question.gold);
        self.right_normalised.push(best(&normalised) == question.gold);
    }
}

/// The place of the largest value, the first one among equals.
fn best(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

/// The log-likelihood of each choice, in nats. What the choices begin with is computed once.
///
/// # Errors
/// As [`Session::all_logits`]; [`NotFinite`](otaro::ErrorKind::NotFinite).
pub fn ask(session: &mut Session, question: &EncodedQuestion, cancel: &CancelToken) -> Result<Vec<f64>> {
    let shared = question.shared();
    session.truncate(0);
    if let Some(first) = question.choices.first() {
        session.prefill(&first.tokens[..shared], cancel)?;
    }
    let likelihood = |choice: &EncodedChoice| -> Result<f64> {
        session.truncate(shared);
        session.prefill(&choice.tokens[shared..choice.context - 1], cancel)?;
        let mut targets = choice.tokens[choice.context..].iter();
        let given = choice.context - 1..choice.tokens.len() - 1;
        let mut sum = 0.0;
        session.all_logits(&choice.tokens[given], cancel, |logits| {
            if let Some(&target) = targets.next() {
                sum -= Distribution::new(logits)?.negative_log_likelihood(target)?;
            }
            Ok(())
        })?;
        Ok(sum)
    };
    question.choices.iter().map(likelihood).collect()
}
