//! Which width the next batch is trained at, and when its gradient counts.
//!
//! A [`Strategy`] knows nothing of models and tensors: the trainer asks for a [`Plan`], trains, tells the
//! loss, and asks what to do with the gradient. All its state can be stored; a run that is resumed takes
//! the same path, bit by bit, as one that was not interrupted.

pub mod bandit;
pub mod laa;
mod method;
mod settings;
mod teacher;
#[cfg(test)]
mod tests;
pub mod text;
mod width;

use anyhow::{Result, ensure};
use rand::{SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sefp::Precision;
use serde::{Deserialize, Serialize};

use bandit::Bandit;
pub use bandit::{BpsScore, BpsSettings};
use laa::Accumulator;
pub use laa::{LaaMode, LaaSettings, Update};
pub use method::{MATRYOSHKA, Method};
pub use settings::StrategySettings;
pub use teacher::Teacher;
pub use width::Width;

/// The passes of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The width of the first pass; where a second one learns from it, a high one.
    pub primary: Width,
    /// The widths of the other passes, whose losses count as much.
    pub others: Vec<Precision>,
}

impl Plan {
    /// One pass.
    pub const fn at(width: Width) -> Self {
        Self { primary: width, others: Vec::new() }
    }

    /// The width of every pass.
    pub fn widths(&self) -> impl Iterator<Item = Width> {
        [self.primary].into_iter().chain(self.others.iter().copied().map(Width::At))
    }
}

/// The state of a strategy within a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    settings: StrategySettings,
    steps: u64,
    bandit: Bandit,
    accumulator: Accumulator,
}

impl Strategy {
    /// A strategy before its first step.
    ///
    /// # Errors
    /// As [`StrategySettings::check`].
    pub fn new(settings: StrategySettings) -> Result<Self> {
        settings.check()?;
        Ok(Self { settings, steps: 0, bandit: Bandit::default(), accumulator: Accumulator::default() })
    }

    /// What it was made from.
    pub fn settings(&self) -> &StrategySettings {
        &self.settings
    }

    /// Steps planned so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What the next step does. Every call is a new step.
    pub fn plan(&mut self) -> Plan {
        self.steps += 1;
        let mut random = self.random();
        if let Some(primary) = self.settings.method.constant_width() {
            return Plan::at(primary);
        }
        let early = self.steps <= self.settings.low_from;
        if self.settings.method == Method::Matryoshka {
            let [first, others @ ..] = MATRYOSHKA;
            let others = others.into_iter().filter(|&width| !early || !self.settings.is_low(width));
            return Plan { primary: Width::At(first), others: others.collect() };
        }
        // From high to low: that is the order in which the bandit tries every width once.
        let widths: Vec<_> = Precision::ALL.into_iter().rev().collect();
        let (low, high): (Vec<_>, Vec<_>) = widths.iter().partition(|&&width| self.settings.is_low(width));
        let mut draw = |widths: &[Precision]| self.draw(widths, &mut random);
        if early {
            return Plan::at(Width::At(draw(&high)));
        }
        if !self.settings.distill {
            return Plan::at(Width::At(draw(&widths)));
        }
        Plan { primary: Width::At(draw(&high)), others: vec![draw(&low)] }
    }

    /// Learns from the mean cross-entropy of a pass, in nats per token: once a step for each of its
    /// widths.
    ///
    /// # Errors
    /// The loss is not a finite number: the run has diverged.
    pub fn observe(&mut self, width: Width, loss: f64) -> Result<()> {
        ensure!(
            loss.is_finite(),
            "the loss of step {} at {width} is {loss}: the run has diverged",
            self.steps
        );
        if let Width::At(precision) = width {
            self.bandit.observe(precision, loss, &self.settings.bps);
        }
        Ok(())
    }

    /// What to do with the gradient of this step's [`Plan::primary`]; to be asked once a step. The
    /// gradients of a step of several passes are one sum, which always updates the weights at once.
    pub fn update(&mut self, primary: Width) -> Update {
        match primary {
            Width::At(precision) if self.settings.method == Method::Otaro && !self.settings.distill => {
                self.accumulator.update(self.settings.is_low(precision), &self.settings.laa)
            }
            _ => Update::Now,
        }
    }

    /// The bandit's score of every width by [`Precision::bit_planes`]: nothing for a width not tried yet and
    /// for methods without a bandit.
    pub fn scores(&self) -> [Option<f64>; 6] {
        if self.settings.method.uses_bandit() { self.bandit.scores(&self.settings.bps) } else { [None; 6] }
    }

    /// Numbers that depend on seed and step only, so that there is no state of a generator to store.
    fn random(&self) -> StdRng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.settings.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.steps.to_le_bytes());
        StdRng::from_seed(seed)
    }

    fn draw(&self, widths: &[Precision], random: &mut StdRng) -> Precision {
        if self.settings.method.uses_bandit() {
            return self.bandit.choose(widths, &self.settings.bps);
        }
        widths.choose(random).copied().unwrap_or(Precision::MAX)
    }
}
