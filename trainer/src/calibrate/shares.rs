//! Which precisions are trained, and how often each of them.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result, bail, ensure};
use otaro::Precision;

use crate::data::order::permutation;

/// Precisions and their shares of the steps, lowest precision first. The shares add up to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(Vec<(Precision, f64)>);

impl Shares {
    /// The precisions, lowest first.
    pub fn precisions(&self) -> impl Iterator<Item = Precision> {
        self.0.iter().map(|&(precision, _)| precision)
    }

    /// The precision of every step: each as often as its share says, in a random order that depends on
    /// nothing but `purpose`, `seed` and `round`.
    pub fn plan(&self, steps: usize, purpose: &str, seed: u64, round: u64) -> Vec<Precision> {
        let mut plan = Vec::with_capacity(steps);
        let mut share = 0.0;
        for &(precision, part) in &self.0 {
            share += part;
            // The last share may add up to a little less than 1.
            let until = if plan.len() < steps { (share * steps as f64).round() as usize } else { steps };
            plan.resize(until.clamp(plan.len(), steps), precision);
        }
        plan.resize(steps, self.0.last().map_or(Precision::MAX, |&(precision, _)| precision));
        permutation(purpose, seed, round, steps).into_iter().map(|step| plan[step as usize]).collect()
    }
}

impl Default for Shares {
    /// Low precisions are hard to learn and high ones easily kept.
    fn default() -> Self {
        use Precision::{E5M3, E5M4, E5M5, E5M6, E5M8};
        Self(vec![(E5M3, 0.35), (E5M4, 0.25), (E5M5, 0.15), (E5M6, 0.1), (E5M8, 0.15)])
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (precision, share)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{share}", precision.mantissa_bits())?;
        }
        Ok(())
    }
}

impl FromStr for Shares {
    type Err = anyhow::Error;

    /// Reads `3:0.4,4:0.3,8:0.3`; the numbers count relative to their sum.
    fn from_str(text: &str) -> Result<Self> {
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (bits, share) = part
                .split_once(':')
                .with_context(|| format!("'{part}' is not BITS:SHARE, as in 3:0.4,4:0.3,8:0.3"))?;
            let precision: Precision = bits.parse()?;
            let Ok(share) = share.trim().parse::<f64>() else {
                bail!("'{share}' is not a number: the share of {precision} in the steps")
            };
            ensure!(
                share.is_finite() && share > 0.0,
                "the share of {precision} is {share}, it must be greater than 0"
            );
            ensure!(shares.iter().all(|&(it, _)| it != precision), "{precision} is named twice");
            shares.push((precision, share));
        }
        shares.sort_by_key(|&(precision, _)| precision);
        let sum: f64 = shares.iter().map(|&(_, share)| share).sum();
        Ok(Self(shares.into_iter().map(|(precision, share)| (precision, share / sum)).collect()))
    }
}
