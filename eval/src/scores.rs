//! What was measured of one candidate on a text.

use crate::statistics::{Estimate, quantile};

/// The scores of every token, in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// `-log p(token)`, in nats.
    pub negative_log_likelihoods: Vec<f64>,
    /// The Kullback-Leibler divergence from the reference, in nats; empty without a reference.
    pub divergences: Vec<f64>,
    /// Whether candidate and reference have the same most likely token; empty without a reference.
    pub agreements: Vec<bool>,
}

/// A candidate beside the reference, on the same tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The mean of the Kullback-Leibler divergences, in nats.
    pub divergence: Estimate,
    /// Half of the divergences are smaller.
    pub median_divergence: f64,
    /// 99 % of the divergences are smaller.
    pub divergence_p99: f64,
    /// The share of tokens where both have the same most likely token.
    pub agreement: Estimate,
    /// The mean of `log p(token)` of the reference less that of the candidate: the logarithm of the ratio of
    /// their perplexities. Its error is that of pairs, far smaller than those of the two perplexities.
    pub log_ratio: Estimate,
}

impl Scores {
    /// Tokens that were scored.
    pub fn tokens(&self) -> usize {
        self.negative_log_likelihoods.len()
    }

    /// The mean negative log-likelihood, whose exponential is the perplexity.
    pub fn negative_log_likelihood(&self) -> Estimate {
        Estimate::of(self.negative_log_likelihoods.iter().copied())
    }

    /// Against the scores of the reference; `None` where nothing was compared.
    pub fn comparison(&self, reference: &Self) -> Option<Comparison> {
        let pairs = self.negative_log_likelihoods.iter().zip(&reference.negative_log_likelihoods);
        Some(Comparison {
            median_divergence: quantile(&self.divergences, 0.5)?,
            divergence_p99: quantile(&self.divergences, 0.99)?,
            divergence: Estimate::of(self.divergences.iter().copied()),
            agreement: Estimate::share(&self.agreements),
            log_ratio: Estimate::of(pairs.map(|(candidate, reference)| candidate - reference)),
        })
    }

    /// Appends the scores of another window.
    pub(crate) fn append(&mut self, mut window: Self) {
        self.negative_log_likelihoods.append(&mut window.negative_log_likelihoods);
        self.divergences.append(&mut window.divergences);
        self.agreements.append(&mut window.agreements);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_pairs() {
        let scores = |shift: f64| Scores {
            negative_log_likelihoods: [3.0, 1.0, 8.0].map(|value: f64| value + shift).to_vec(),
            divergences: vec![0.1, 0.2, 0.6],
            agreements: vec![true, true, false],
        };
        let comparison = scores(0.5).comparison(&scores(0.0)).expect("compared");
        assert_eq!(comparison.log_ratio, Estimate { mean: 0.5, standard_error: 0.0 });
        assert_eq!(comparison.median_divergence, 0.2);
        assert!((comparison.divergence.mean - 0.3).abs() < 1e-12);
        assert!((comparison.agreement.mean - 2.0 / 3.0).abs() < 1e-12);
        assert!(Scores::default().comparison(&scores(0.0)).is_none());
    }
}
