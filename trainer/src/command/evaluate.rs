//! The perplexity of the final weights at every width.

use anyhow::Result;
use otaro::Reconstruction;

use crate::{data::Dataset, strategy::Width, summary::Evaluation, train::Trainer};

/// Perplexities at every width, under each of the reconstructions: what `otaro eval` measures on the packed
/// file, but computed with the trainer's forward pass.
///
/// # Errors
/// Weights that SEFP cannot hold, a loss that is not finite.
pub fn evaluate(
    trainer: &Trainer<'_>,
    data: &Dataset,
    reconstructions: &[Reconstruction],
) -> Result<Vec<Evaluation>> {
    let windows: Vec<_> = data.iter().collect();
    let mut evaluations = Vec::new();
    for width in Width::ALL {
        let readings: Vec<_> = match width {
            Width::Full => vec![None],
            Width::At(_) => reconstructions.iter().copied().map(Some).collect(),
        };
        for reconstruction in readings {
            let (sum, tokens) = trainer.evaluate(width, reconstruction.unwrap_or_default(), &windows)?;
            let perplexity = (sum / tokens as f64).exp();
            evaluations.push(Evaluation { reconstruction, width, perplexity, tokens: tokens as u64 });
        }
    }
    Ok(evaluations)
}
