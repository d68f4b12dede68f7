//! How much the gradients of the widths agree, on the same weights and batches.

use anyhow::Result;
use otaro::CancelToken;
use otaro_trainer::{
    command::{RunArguments, Start, device, threads, weights},
    model::TensorSet,
    strategy::Width,
    train::{Alone, Trainer},
};

use crate::{REVISION, results::GradientAnalysis};

/// Widths, the unquantised one included.
const WIDTHS: usize = Width::ALL.len();

/// Compares the gradients of every width over `--steps` batches, without training.
///
/// # Errors
/// Bad input; a gradient that is not finite; `cancel`.
pub fn analyse(arguments: &RunArguments, cancel: &CancelToken) -> Result<GradientAnalysis> {
    let start = Start::prepare(arguments, &Alone)?;
    let batches = arguments.steps.max(1);
    let weights = weights(arguments, &start.settings.architecture)?;
    let trainer = Trainer::start(
        start.settings,
        weights,
        &start.training,
        &Alone,
        device(arguments.device),
        threads(arguments, &Alone),
    )?;
    let mut cosine = [[0.0; WIDTHS]; WIDTHS];
    let mut norm_error = [0.0; WIDTHS];
    for batch in 0..batches {
        cancel.check()?;
        let gradients = Width::ALL.map(|width| trainer.gradient_at(width, batch));
        let gradients: Vec<TensorSet> = gradients.into_iter().collect::<Result<_>>()?;
        let norms: Vec<f64> = gradients.iter().map(TensorSet::norm).collect();
        for row in 0..WIDTHS {
            norm_error[row] += (norms[row] - norms[0]).abs() / norms[0] / batches as f64;
            cosine[row][row] = 1.0;
            for column in 0..row {
                let value = gradients[row].dot(&gradients[column]) / (norms[row] * norms[column]);
                cosine[row][column] += value / batches as f64;
                cosine[column][row] = cosine[row][column];
            }
        }
    }
    Ok(GradientAnalysis {
        model: "model".to_string(),
        dataset: "data".to_string(),
        seed: arguments.seed,
        reconstruction: arguments.reconstruction,
        batches,
        cosine,
        norm_error,
        revision: REVISION.to_string(),
    })
}
