//! What the ranks of a job tell each other: gradients on their way to rank 0, weights on their way back.

use anyhow::{Result, ensure};
use burn::tensor::Device;

use super::{GradientReducer, RunSettings};
use crate::model::{Parameter, TensorSet};

/// On rank 0 replaces a gradient by its sum over the ranks; elsewhere it stays what it was.
///
/// # Errors
/// When the device or the connection between the ranks fails.
pub fn sum_at_first(
    reducer: &dyn GradientReducer,
    gradient: &mut TensorSet,
    parameters: &[Parameter],
    device: &Device,
) -> Result<()> {
    if reducer.ranks() == 1 {
        return Ok(());
    }
    // One message for all tensors, norms are small.
    let mut values = gradient.to_host()?.concat();
    reducer.sum_at_first(&mut values)?;
    if reducer.rank() == 0 {
        *gradient = TensorSet::from_flat(&values, parameters, device)?;
    }
    Ok(())
}

/// Replaces the weights by those of rank 0, bit by bit.
///
/// # Errors
/// As [`sum_at_first`].
pub fn share_from_first(
    reducer: &dyn GradientReducer,
    weights: &mut TensorSet,
    parameters: &[Parameter],
    device: &Device,
) -> Result<()> {
    if reducer.ranks() == 1 {
        return Ok(());
    }
    let mut values = weights.to_host()?.concat();
    reducer.share_from_first(&mut values)?;
    if reducer.rank() > 0 {
        *weights = TensorSet::from_flat(&values, parameters, device)?;
    }
    Ok(())
}

/// Checks that a batch has a micro-batch for every rank.
///
/// # Errors
/// Says what to change.
pub fn enough_work(reducer: &dyn GradientReducer, settings: &RunSettings) -> Result<()> {
    let RunSettings { batch, micro_batch, .. } = *settings;
    let (shares, ranks) = (batch.div_ceil(micro_batch.max(1)), reducer.ranks());
    ensure!(
        shares >= ranks,
        "a batch of {batch} windows in micro-batches of {micro_batch} is work for {shares} of the {ranks} \
         processes: give a larger --batch, a smaller --micro-batch, or start fewer"
    );
    Ok(())
}
