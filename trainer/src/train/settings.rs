//! What a run is started with; a resumed run must be given the same.

use anyhow::{Result, ensure};
use otaro::{Architecture, Reconstruction, Scale};
use serde::{Deserialize, Serialize};

use super::{OptimizerSettings, PassSettings};
use crate::strategy::StrategySettings;

/// Everything that decides the weights a run ends with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// Where the weights came from: a folder, or a configuration and a seed.
    pub start: String,
    /// The shape of the model.
    pub architecture: Architecture,
    /// What is read, and the fingerprint of the windows that came of it.
    pub data: String,
    /// Fingerprint of the training windows.
    pub data_fingerprint: String,
    /// Tokens of a window.
    pub length: usize,
    /// Windows of a step, over all ranks.
    pub batch: usize,
    /// Windows of a micro-batch.
    pub micro_batch: usize,
    /// Steps of the whole run.
    pub steps: u64,
    /// Seed of the order of the windows and of everything drawn.
    pub seed: u64,
    /// How codes are read back during training and by the packed file.
    #[serde(with = "crate::strategy::text")]
    pub reconstruction: Reconstruction,
    /// How finely groups of weights are scaled, in training and by the packed file.
    #[serde(with = "crate::strategy::text")]
    pub scale: Scale,
    /// How a pass is computed.
    #[serde(default)]
    pub passes: PassSettings,
    /// How widths are chosen.
    pub strategy: StrategySettings,
    /// How weights are updated.
    pub optimizer: OptimizerSettings,
}

impl RunSettings {
    /// Checks that a run stored with these settings can go on with `asked`.
    ///
    /// # Errors
    /// Names the first setting that differs, with both values.
    pub fn must_equal(&self, asked: &Self) -> Result<()> {
        must_equal(self, asked)
    }
}

/// Checks that a job stored with the settings `ours` can go on with `asked`.
///
/// # Errors
/// Names the first setting that differs, with both values.
pub(crate) fn must_equal<T: Serialize>(ours: &T, asked: &T) -> Result<()> {
    let (ours, theirs) = (serde_json::to_value(ours)?, serde_json::to_value(asked)?);
    let (Some(ours), Some(theirs)) = (ours.as_object(), theirs.as_object()) else { return Ok(()) };
    for (name, value) in ours {
        let other = theirs.get(name);
        ensure!(
            other == Some(value),
            "the run was started with {name} = {value} and is to go on with {}; give the same settings, \
                 or another --out for a new run",
            other.map_or("nothing".to_string(), ToString::to_string)
        );
    }
    Ok(())
}
