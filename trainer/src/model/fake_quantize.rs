//! Weights as a device will read them.

use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData};
use otaro::{Precision, Reconstruction};
use rayon::prelude::*;
use sefp::GROUP_SIZE;

use super::{Parameter, TensorSet};

/// The weights that a checkpoint packed from `weights` has at `precision`, bit for bit.
///
/// The forward and backward pass run on what this returns, the gradient is applied to `weights`: the
/// straight-through estimator, without a node in the graph.
///
/// # Errors
/// A weight that SEFP cannot hold (not finite, or 65536 and above), with its tensor and index.
pub fn fake_quantize(
    weights: &TensorSet,
    parameters: &[Parameter],
    precision: Precision,
    reconstruction: Reconstruction,
) -> Result<TensorSet> {
    let tensors = weights.tensors().par_iter().zip(parameters).map(|(tensor, parameter)| {
        if !parameter.packed {
            return Ok(tensor.clone());
        }
        let mut values: Vec<f32> = tensor.to_data().try_into_vec::<f32>()?;
        quantize_rows(&mut values, parameter.shape[1], precision, reconstruction)
            .with_context(|| parameter.name.clone())?;
        Ok(Tensor::from_data(TensorData::new(values, parameter.shape), &tensor.device()))
    });
    Ok(TensorSet::new(tensors.collect::<Result<_>>()?))
}

fn quantize_rows(
    values: &mut [f32],
    cols: usize,
    precision: Precision,
    reconstruction: Reconstruction,
) -> Result<()> {
    for (row, weights) in values.chunks_mut(cols).enumerate() {
        for (group, weights) in weights.chunks_mut(GROUP_SIZE).enumerate() {
            sefp::fake_quantize_group(weights, precision, reconstruction)
                .with_context(|| format!("row {row}, group {group}"))?;
        }
    }
    Ok(())
}
