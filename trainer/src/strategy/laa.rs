//! LAA, low-precision asynchronous accumulation: when the gradient of a batch updates the weights.
//!
//! Gradients at low widths are noisy, so they wait in an accumulator of their own while the others update
//! at once. This is the bookkeeping; the trainer holds the gradients.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// When the collected gradients of low widths update the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LaaMode {
    /// The paper's reading: one update with the mean of every `period` low-width gradients. Under AdamW,
    /// whose step does not depend on the gradient's size, the low widths have `period` times less say.
    #[default]
    Average,
    /// The next batch of another width joins them and the mean of all updates the weights; without one,
    /// after `period` low-width gradients. No low-width gradient waits long, and hardly one is alone.
    Joined,
}

/// The settings of the accumulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaaSettings {
    /// Default: [`LaaMode::Average`].
    pub mode: LaaMode,
    /// Most low-width gradients that are collected, 1 or more. Default: 10, the paper's.
    pub period: u32,
}

impl Default for LaaSettings {
    fn default() -> Self {
        Self { mode: LaaMode::default(), period: 10 }
    }
}

impl LaaSettings {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.period > 0, "the period of the accumulation is 0; it must be 1 or more");
        Ok(())
    }
}

/// What to do with the gradient of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Update the weights with it alone; the accumulator stays as it is.
    Now,
    /// Add it to the accumulator.
    Accumulate,
    /// Add it to the accumulator, update the weights with the sum divided by `batches`, and empty the
    /// accumulator.
    AccumulateThenApply {
        /// Gradients in the sum, this one included.
        batches: u32,
    },
}

/// Counts what waits in the accumulator. Gradients that wait when the run ends are lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accumulator {
    waiting: u32,
}

impl Accumulator {
    /// What to do with the next gradient, which comes from a low width or from another one.
    pub(super) fn update(&mut self, low: bool, settings: &LaaSettings) -> Update {
        let batches = self.waiting + 1;
        let apply = match (low, settings.mode) {
            (true, _) => batches >= settings.period,
            (false, LaaMode::Joined) => true,
            (false, LaaMode::Average) => return Update::Now,
        };
        self.waiting = if apply { 0 } else { batches };
        match (apply, batches) {
            (false, _) => Update::Accumulate,
            (true, 1) => Update::Now,
            (true, _) => Update::AccumulateThenApply { batches },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn updates(mode: LaaMode, period: u32, lows: &[bool]) -> Vec<Update> {
        let mut accumulator = Accumulator::default();
        lows.iter().map(|&low| accumulator.update(low, &LaaSettings { mode, period })).collect()
    }

    #[test]
    fn average_waits_for_the_period_and_lets_others_pass() {
        let expected = [
            Update::Accumulate,
            Update::Now,
            Update::Accumulate,
            Update::AccumulateThenApply { batches: 3 },
            Update::Accumulate,
        ];
        assert_eq!(updates(LaaMode::Average, 3, &[true, false, true, true, true]), expected);
        assert_eq!(updates(LaaMode::Average, 1, &[true, false]), [Update::Now; 2]);
    }

    #[test]
    fn joined_ends_with_the_next_other_width_or_the_period() {
        let expected = [
            Update::Accumulate,
            Update::AccumulateThenApply { batches: 2 },
            Update::Now,
            Update::Accumulate,
            Update::Accumulate,
            Update::AccumulateThenApply { batches: 3 },
        ];
        assert_eq!(updates(LaaMode::Joined, 3, &[true, false, false, true, true, true]), expected);
    }

    #[test]
    fn modes_read_back() {
        for &mode in LaaMode::value_variants() {
            let name = mode.to_possible_value().unwrap();
            assert_eq!(serde_json::to_value(mode).unwrap(), name.get_name());
            assert_eq!(LaaMode::from_str(name.get_name(), false).unwrap(), mode);
        }
        assert!(LaaMode::from_str("sum", false).is_err());
    }
}
