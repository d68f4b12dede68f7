//! How the gradients of one batch differ between widths.

use anyhow::{Result, ensure};
use otaro_trainer::{
    strategy::{Width, text},
    summary::check_name,
};
use sefp::Reconstruction;
use serde::{Deserialize, Serialize};

/// Gradients of the same weights on the same batches at every width, as means over the batches. Rows and
/// columns are in the order of [`Width::ALL`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientAnalysis {
    /// Name of the model.
    pub model: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Seed of the batches.
    pub seed: u64,
    /// How codes were decoded.
    #[serde(with = "text")]
    pub reconstruction: Reconstruction,
    /// Batches that the means are over, 1 or more.
    pub batches: u64,
    /// `g_i . g_j / (|g_i| |g_j|)`, -1 to 1: symmetric, with ones on the diagonal.
    pub cosine: [[f64; 7]; 7],
    /// `| |g_i| - |g_full| | / |g_full|`, 0 or more.
    pub norm_error: [f64; 7],
    /// Revision of the source that measured it.
    pub revision: String,
}

impl GradientAnalysis {
    /// # Errors
    /// Names the field that contradicts its description.
    pub fn check(&self) -> Result<()> {
        check_name("model", &self.model)?;
        check_name("dataset", &self.dataset)?;
        ensure!(self.batches > 0, "there are no batches");
        ensure!(!self.revision.is_empty(), "the revision is empty");
        for (row, left) in Width::ALL.into_iter().enumerate() {
            for (column, right) in Width::ALL.into_iter().enumerate() {
                let cosine = self.cosine[row][column];
                let mirrored = self.cosine[column][row];
                let at_one = row != column || (cosine - 1.0).abs() < 1e-3;
                let valid = cosine.abs() <= 1.001 && (cosine - mirrored).abs() < 1e-3 && at_one;
                ensure!(
                    valid,
                    "the cosine of {left} and {right} is {cosine}, the other way round {mirrored}"
                );
            }
            let error = self.norm_error[row];
            ensure!(error.is_finite() && error >= 0.0, "the norm error at {left} is {error}");
        }
        Ok(())
    }
}
