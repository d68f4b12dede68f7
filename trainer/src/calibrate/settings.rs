//! Everything that an interrupted calibration must go on with.

use anyhow::Result;
use otaro::{Architecture, Reconstruction, Scale};
use serde::{Deserialize, Serialize};

use super::Shares;
use crate::train::{OptimizerSettings, Rule, settings::must_equal};

/// The settings of a calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrateSettings {
    /// The folder of the model, as it was given.
    pub model: String,
    /// SHA-256 of the names, sizes and first bytes of its weights.
    pub model_fingerprint: String,
    /// The shape of the model.
    pub architecture: Architecture,
    /// Files of the text.
    pub data: String,
    /// SHA-256 of the windows that they make.
    pub data_fingerprint: String,
    /// Tokens of a window.
    pub length: usize,
    /// Windows that blocks are tuned on.
    pub windows: usize,
    /// Windows of a step.
    pub batch: usize,
    /// Windows that a thread takes at a time.
    pub micro_batch: usize,
    /// Steps for each block.
    pub steps: usize,
    /// Highest learning rate of a block.
    pub learning_rate: f64,
    /// Whether input channels are scaled before a block is tuned.
    pub channel_scaling: bool,
    /// Steps of the whole model.
    pub distill_steps: usize,
    /// Highest learning rate of the whole model.
    pub distill_learning_rate: f64,
    /// Which precisions, and how often.
    #[serde(with = "crate::strategy::text")]
    pub shares: Shares,
    /// Seed of everything drawn.
    pub seed: u64,
    /// How codes are read back.
    #[serde(with = "crate::strategy::text")]
    pub reconstruction: Reconstruction,
    /// How finely groups of weights are scaled.
    #[serde(with = "crate::strategy::text")]
    pub scale: Scale,
}

impl CalibrateSettings {
    /// Checks that a calibration stored with these settings can go on with `asked`. How the whole model
    /// is distilled may change until that has begun (`distilled`): no block depends on it.
    ///
    /// # Errors
    /// Names the first setting that differs, with both values.
    pub fn must_equal(&self, asked: &Self, distilled: bool) -> Result<()> {
        let mut stored = self.clone();
        if !distilled {
            stored.distill_steps = asked.distill_steps;
            stored.distill_learning_rate = asked.distill_learning_rate;
        }
        must_equal(&stored, asked)
    }

    /// How weights are updated: AdamW without decay, as the weights should stay what they are.
    pub(super) fn optimizer(&self, learning_rate: f64, warmup: u64) -> OptimizerSettings {
        OptimizerSettings {
            rule: Rule::Adamw,
            learning_rate,
            warmup,
            final_share: 0.05,
            beta_1: 0.9,
            beta_2: 0.95,
            weight_decay: 0.0,
            // Adam's step does not depend on the length of a gradient.
            clip: f64::MAX,
        }
    }
}
