//! BPS, bit-width path search: a bandit that chooses the width of the next batch.
//!
//! The OTARo paper (arXiv 2511.13147) describes a score with two terms, how good a width's loss is and
//! how rarely it was tried, `lambda * sqrt(ln t / n_m)`. Its exact text was not at hand; this is the
//! score used here, and why.
//!
//! After a batch at width `m` with loss `x` (nats per token), with `d` the discount:
//!
//! ```text
//! n_k <- d * n_k for all k,  n_m <- n_m + 1            batches at a width, old ones fading
//! r   =  x - b - e_m                                    what nobody expected
//! e_m <- e_m + r / n_m                                  excess of width m over the baseline
//! b   <- b + 0.1 * (r - r / n_m)                        baseline, common to all widths
//! s^2 <- s^2 + 0.1 * ((r - r / n_m)^2 - s^2)            noise of the batches
//! l_m <- l_m + (x - l_m) / n_m                          raw loss of width m
//! score_m = gain_m + lambda * sqrt(ln(max(sum_k n_k, 1)) / n_m)
//! ```
//!
//! - *Excess, not loss.* The loss falls during training, so a width not tried for a while would be
//!   judged by its old, higher loss. `x = b + e_m + noise` separates the trend from the widths.
//! - *One scale.* UCB1 (Auer et al. 2002) supposes gains within [0, 1]. The excess is divided by the
//!   largest difference between two widths, or by the noise if that is larger: then neither the units of
//!   the loss nor the luck of a batch outweighs the exploration.
//! - *Discount.* A bandit with `d = 1` settles on one width, as it should where nothing changes. Here
//!   every step changes what is to gain. Discounted counts (Garivier and Moulines 2011) keep the shares
//!   of the widths steady however long the run. `d = 1` gives plain counts.
//!
//! `gain_m` is one of [`BpsScore`].

use anyhow::{Result, ensure};
use clap::ValueEnum;
use sefp::Precision;
use serde::{Deserialize, Serialize};

use super::text;

/// How fast baseline and noise follow the batches: about the last ten count.
const RATE: f64 = 0.1;

/// What the bandit exploits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BpsScore {
    /// `-l_m`: prefers the width with the lowest loss, in nats. The most literal reading of the paper.
    LowLoss,
    /// `(mean e - e_m) / scale`: prefers low loss, on one scale.
    LowNormalised,
    /// `(e_m - mean e) / scale`: prefers the width with the most to gain.
    #[default]
    Excess,
}

/// The settings of the bandit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BpsSettings {
    /// What is exploited. Default: [`BpsScore::Excess`].
    pub score: BpsScore,
    /// Weight of the exploration, 0 or more, in units of the gain. Default: 4, which with the default
    /// discount visits the preferred width in about a third of the batches.
    pub lambda: f64,
    /// What a batch's weight is multiplied by at each later batch, above 0 up to 1. Default: 0.99, about
    /// the last hundred batches.
    pub discount: f64,
}

impl Default for BpsSettings {
    fn default() -> Self {
        Self { score: BpsScore::default(), lambda: 4.0, discount: 0.99 }
    }
}

impl BpsSettings {
    pub(super) fn check(&self) -> Result<()> {
        let Self { lambda, discount, .. } = self;
        ensure!(lambda.is_finite() && *lambda >= 0.0, "lambda is {lambda}; it must be 0 or more");
        ensure!(
            *discount > 0.0 && *discount <= 1.0,
            "the discount is {discount}; it must be above 0, up to 1"
        );
        Ok(())
    }
}

/// What the bandit knows. Reads back from JSON bit by bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bandit {
    /// By [`Precision::bit_planes`].
    arms: [Arm; 6],
    /// `b`.
    #[serde(with = "text")]
    baseline: f64,
    /// `s^2`.
    #[serde(with = "text")]
    variance: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    /// `n_m`; 0 only before the first batch.
    #[serde(with = "text")]
    count: f64,
    /// `e_m`.
    #[serde(with = "text")]
    excess: f64,
    /// `l_m`.
    #[serde(with = "text")]
    loss: f64,
}

impl Bandit {
    /// Learns from the finite `loss` of a batch at `width`.
    pub(super) fn observe(&mut self, width: Precision, loss: f64, settings: &BpsSettings) {
        if self.tried().next().is_none() {
            self.baseline = loss;
        }
        for arm in &mut self.arms {
            arm.count *= settings.discount;
        }
        let arm = &mut self.arms[width.bit_planes()];
        arm.count += 1.0;
        let surprise = loss - self.baseline - arm.excess;
        arm.excess += surprise / arm.count;
        arm.loss += (loss - arm.loss) / arm.count;
        let rest = surprise - surprise / arm.count;
        self.baseline += RATE * rest;
        self.variance += RATE * (rest * rest - self.variance);
    }

    /// The width of `candidates` with the best score; the first one without a batch, if there is one, and
    /// the first of equals.
    pub(super) fn choose(&self, candidates: &[Precision], settings: &BpsSettings) -> Precision {
        let scores = self.scores(settings);
        let score = |width: Precision| scores[width.bit_planes()].unwrap_or(f64::INFINITY);
        let better = |best: Precision, next: Precision| if score(next) > score(best) { next } else { best };
        candidates.iter().copied().reduce(better).unwrap_or(Precision::MAX)
    }

    /// The score of every width by [`Precision::bit_planes`]; nothing for a width not tried yet.
    pub(super) fn scores(&self, settings: &BpsSettings) -> [Option<f64>; 6] {
        let total: f64 = self.arms.iter().map(|arm| arm.count).sum();
        let (mean, scale) = self.excess_scale();
        let score = |arm: &Arm| {
            let gain = match settings.score {
                BpsScore::LowLoss => -arm.loss,
                BpsScore::LowNormalised => (mean - arm.excess) / scale,
                BpsScore::Excess => (arm.excess - mean) / scale,
            };
            gain + settings.lambda * (total.max(1.0).ln() / arm.count).sqrt()
        };
        std::array::from_fn(|index| Some(&self.arms[index]).filter(|arm| arm.count > 0.0).map(score))
    }

    /// The mean of the excesses, and what they are divided by; 1 where they are all the same.
    fn excess_scale(&self) -> (f64, f64) {
        let tried = || self.tried().map(|arm| arm.excess);
        let mean = tried().sum::<f64>() / tried().count().max(1) as f64;
        let range = tried().fold(f64::MIN, f64::max) - tried().fold(f64::MAX, f64::min);
        let scale = range.max(self.variance.sqrt());
        (mean, if scale > 0.0 { scale } else { 1.0 })
    }

    fn tried(&self) -> impl Iterator<Item = &Arm> {
        self.arms.iter().filter(|arm| arm.count > 0.0)
    }
}
