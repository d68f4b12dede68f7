//! Weights as a device will read them.

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use otaro::{Precision, Reconstruction, Scale};
use rayon::prelude::*;
use sefp::GROUP_SIZE;

use super::{Parameter, TensorSet, device_quantize::quantize_on_device};

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
    scale: Scale,
) -> Result<TensorSet> {
    if weights.tensors().first().is_some_and(|tensor| tensor.device() != Device::flex()) {
        return quantize_on_device(weights, parameters, precision, reconstruction, scale);
    }
    let tensors = weights.tensors().par_iter().zip(parameters).map(|(tensor, parameter)| {
        if !parameter.packed {
            return Ok(tensor.clone());
        }
        let mut values: Vec<f32> = tensor.to_data().try_into_vec::<f32>()?;
        quantize_rows(&mut values, parameter.shape[1], precision, reconstruction, scale)
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
    scale: Scale,
) -> Result<()> {
    for (row, weights) in values.chunks_mut(cols).enumerate() {
        for (group, weights) in weights.chunks_mut(GROUP_SIZE).enumerate() {
            sefp::fake_quantize_group(weights, precision, reconstruction, scale)
                .with_context(|| format!("row {row}, group {group}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// Weights of all magnitudes: every exponent, both clamped ends, groups of zeros, borders of steps.
    fn weights(parameters: &[Parameter]) -> TensorSet {
        let mut random = StdRng::seed_from_u64(1);
        let mut tensor = |parameter: &Parameter| {
            let count = parameter.shape[0] * parameter.shape[1];
            let values = (0..count).map(|index| {
                let (group, column) = (index / GROUP_SIZE, index % GROUP_SIZE);
                let magnitude = 2.0_f32.powi((group % 40) as i32 - 24);
                // The smallest magnitude that needs the next range, and the largest that does not.
                let border = magnitude * (1.0 + (group % 8) as f32 / 8.0);
                let below = f32::from_bits(border.to_bits() - 1);
                match index % 7 {
                    0 => border,
                    1 => -below,
                    2 | 3 => {
                        let on_a_step = (1 + column * 4 % 255) as f32 * (border / 256.0);
                        let below = f32::from_bits(on_a_step.to_bits() - 1);
                        if index % 7 == 2 { on_a_step } else { -below }
                    }
                    _ if group.is_multiple_of(11) => 0.0,
                    _ => magnitude * (2.0 * random.random::<f32>() - 1.0),
                }
            });
            values.collect()
        };
        let values = parameters.iter().map(&mut tensor).collect();
        TensorSet::from_host(values, parameters, &Device::flex()).expect("shapes")
    }

    #[test]
    fn tensor_operations_give_the_bits_of_the_codec() {
        let parameter = |shape| Parameter { name: "w".to_string(), shape, packed: true };
        let parameters = [parameter([9, 320]), parameter([5, 200])];
        let weights = weights(&parameters);
        for precision in Precision::ALL {
            for (reconstruction, scale) in settings() {
                let codec =
                    fake_quantize(&weights, &parameters, precision, reconstruction, scale).expect("finite");
                let device = quantize_on_device(&weights, &parameters, precision, reconstruction, scale)
                    .expect("finite");
                let (codec, device) = (codec.to_host().expect("host"), device.to_host().expect("host"));
                for (index, (a, b)) in codec.iter().flatten().zip(device.iter().flatten()).enumerate() {
                    assert_eq!(
                        a.to_bits(),
                        b.to_bits(),
                        "{precision} {reconstruction} {scale} {index}: {a} {b}"
                    );
                }
            }
        }
    }

    fn settings() -> impl Iterator<Item = (Reconstruction, Scale)> {
        Reconstruction::ALL
            .into_iter()
            .flat_map(|reconstruction| Scale::ALL.map(|scale| (reconstruction, scale)))
    }

    #[test]
    fn what_cannot_be_held_is_an_error_on_a_device_too() {
        let parameters = [Parameter { name: "big".to_string(), shape: [1, 64], packed: true }];
        for value in [65536.0, f32::INFINITY] {
            let weights =
                TensorSet::from_host(vec![vec![value; 64]], &parameters, &Device::flex()).expect("shape");
            let error = quantize_on_device(
                &weights,
                &parameters,
                Precision::E5M4,
                Reconstruction::Midpoint,
                Scale::Fine,
            );
            assert!(error.expect_err("too large").to_string().contains("big"), "{value}");
        }
    }
}
