//! Fake quantisation by tensor operations, for devices whose weights should stay where they are.
//!
//! The same numbers as [`sefp::fake_quantize_group`], bit for bit: every step is exact in f32. Powers of
//! two come from tables, because `exp2` and `log2` of a GPU are approximate.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use otaro::{Precision, Reconstruction};
use sefp::{GROUP_SIZE, MAX_EXPONENT_CODE, Offset, step};

use super::{Parameter, TensorSet};

/// Magnitudes from here on have no exponent.
const TOO_LARGE: f32 = 65536.0;

/// As [`super::fake_quantize`]. A weight of -0.0 counts as 0.0 here.
///
/// # Errors
/// A matrix with a weight that SEFP cannot hold, by its name.
pub(super) fn quantize_on_device(
    weights: &TensorSet,
    parameters: &[Parameter],
    precision: Precision,
    reconstruction: Reconstruction,
) -> Result<TensorSet> {
    let Some(device) = weights.tensors().first().map(Tensor::device) else { return Ok(weights.clone()) };
    let tables = Tables::new(precision, &device);
    let offset = Offset::new(precision, reconstruction);
    let (mut tensors, mut largest) = (Vec::new(), Vec::new());
    for (tensor, parameter) in weights.tensors().iter().zip(parameters) {
        if !parameter.packed {
            tensors.push(tensor.clone());
            continue;
        }
        let (groups, max) = groups(tensor.clone());
        largest.push((parameter, max.clone().max().reshape([1, 1])));
        let values = tables.quantize(groups, max, precision, offset);
        let [rows, cols] = tensor.dims();
        tensors.push(values.reshape([rows as i32, -1]).slice([0..rows, 0..cols]));
    }
    check(largest)?;
    Ok(TensorSet::new(tensors))
}

/// The groups of a matrix, `[groups, 64]`, rows filled up with zeros, and the largest magnitude of each.
fn groups(tensor: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let [rows, cols] = tensor.dims();
    let missing = cols.next_multiple_of(GROUP_SIZE) - cols;
    let padded = if missing == 0 {
        tensor
    } else {
        let zeros = Tensor::zeros([rows, missing], &tensor.device());
        Tensor::cat(vec![tensor, zeros], 1)
    };
    let groups = padded.reshape([-1, GROUP_SIZE as i32]);
    let max = groups.clone().abs().max_dim(1);
    (groups, max)
}

/// One read for all matrices: on a GPU each read waits for the device.
fn check(largest: Vec<(&Parameter, Tensor<2>)>) -> Result<()> {
    let (parameters, tensors): (Vec<_>, Vec<_>) = largest.into_iter().unzip();
    if tensors.is_empty() {
        return Ok(());
    }
    let values: Vec<f32> = Tensor::cat(tensors, 0).try_into_data()?.try_into_vec()?;
    for (parameter, value) in parameters.iter().zip(values) {
        // Also false for what is not a number.
        ensure!(
            value < TOO_LARGE,
            "{} has a weight of magnitude {value}: SEFP ends below {TOO_LARGE}",
            parameter.name
        );
    }
    Ok(())
}

/// What depends on the exponent of a group, by its code.
struct Tables {
    /// `2^(7 - E)`, `[31]`.
    scales: Tensor<1>,
    /// `2^(E - m + 1)`, and 0 for a group of zeros, `[31]`.
    steps: Tensor<1>,
}

impl Tables {
    fn new(precision: Precision, device: &Device) -> Self {
        let codes = 0..=MAX_EXPONENT_CODE;
        let scales: Vec<f32> = codes.clone().map(|code| 2.0_f32.powi(22 - i32::from(code))).collect();
        let steps: Vec<f32> = codes.map(|code| step(code, precision)).collect();
        let table = |values: Vec<f32>| {
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), device)
        };
        Self { scales: table(scales), steps: table(steps) }
    }

    fn quantize(&self, groups: Tensor<2>, max: Tensor<2>, precision: Precision, offset: Offset) -> Tensor<2> {
        let code = exponent_codes(max);
        let of = |table: &Tensor<1>| table.clone().select(0, code.clone()).unsqueeze_dim::<2>(1);
        let magnitude = (groups.clone().abs() * of(&self.scales)).floor();
        let u8 = (magnitude.clone() + 256.0).mask_where(groups.lower_scalar(0.0), -magnitude + 255.0);
        let truncated = (u8 * (0.5_f32).powi(8 - precision.mantissa_bits() as i32)).floor();
        let mut steps = truncated.clone() + offset.bias;
        if offset.negative != 0.0 {
            steps = steps + truncated.lower_scalar(offset.zero).float() * offset.negative;
        }
        // Adding zero turns the -0.0 of a negative code in a group of zeros into 0.0.
        steps * of(&self.steps) + 0.0
    }
}

/// Exponent codes, `[groups]`: one for every power of two from 2^-13 on that the magnitude reaches, one
/// for any magnitude at all.
fn exponent_codes(max: Tensor<2>) -> Tensor<1, Int> {
    let mut code = max.clone().greater_scalar(0.0).int();
    for exponent in -13..=15 {
        code = code + max.clone().greater_equal_scalar(2.0_f32.powi(exponent)).int();
    }
    code.squeeze_dim(1)
}
