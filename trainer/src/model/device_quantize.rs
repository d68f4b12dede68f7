//! Fake quantisation by tensor operations, for devices whose weights should stay where they are.
//!
//! The same numbers as [`sefp::fake_quantize_group`], bit for bit. What depends on the scale comes from
//! tables, because `exp2`, `log2` and division are approximate on a GPU; the one product that rounds is
//! corrected by a comparison that is exact.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use otaro::{Precision, Reconstruction, Scale};
use sefp::{GROUP_SIZE, MAX_SCALE_CODE, Offset, step};

use super::{Parameter, TensorSet};

/// Magnitudes from here on have no scale.
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
    scale: Scale,
) -> Result<TensorSet> {
    let Some(device) = weights.tensors().first().map(Tensor::device) else { return Ok(weights.clone()) };
    let tables = Tables::new(precision, scale, &device);
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

/// What depends on the scale of a group, by its code.
struct Tables {
    scale: Scale,
    /// `1 / (S/256)`, rounded, `[241]`.
    inverses: Tensor<1>,
    /// `S/256`, the size of the last bit at E5M8, `[241]`.
    units: Tensor<1>,
    /// `S / 2^m`, and 0 for a group of zeros, `[241]`.
    steps: Tensor<1>,
    /// `2^-E` by `E + 14`, `[30]`.
    powers: Tensor<1>,
}

impl Tables {
    fn new(precision: Precision, scale: Scale, device: &Device) -> Self {
        let table = |values: Vec<f32>| {
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), device)
        };
        let codes = 0..=MAX_SCALE_CODE;
        // A group of zeros has no range: with any, its magnitudes are zeros.
        let unit = |code: u8| step(code.max(1), Precision::E5M8);
        Self {
            scale,
            inverses: table(codes.clone().map(|code| 1.0 / unit(code)).collect()),
            units: table(codes.clone().map(unit).collect()),
            steps: table(codes.map(|code| step(code, precision)).collect()),
            powers: table((-14..=15).map(|exponent| 2.0_f32.powi(-exponent)).collect()),
        }
    }

    fn quantize(&self, groups: Tensor<2>, max: Tensor<2>, precision: Precision, offset: Offset) -> Tensor<2> {
        let code = self.scale_codes(max);
        let of = |table: &Tensor<1>| table.clone().select(0, code.clone()).unsqueeze_dim::<2>(1);
        let magnitude = magnitudes(groups.clone().abs(), of(&self.inverses), of(&self.units));
        let u8 = (magnitude.clone() + 256.0).mask_where(groups.lower_scalar(0.0), -magnitude + 255.0);
        let truncated = (u8 * (0.5_f32).powi(8 - precision.mantissa_bits() as i32)).floor();
        let mut steps = truncated.clone() + offset.bias;
        if offset.negative != 0.0 {
            steps = steps + truncated.lower_scalar(offset.zero).float() * offset.negative;
        }
        // Adding zero turns the -0.0 of a negative code in a group of zeros into 0.0.
        steps * of(&self.steps) + 0.0
    }

    /// `8 (E + 14) + k`, `[groups]`; 0 for a group of zeros.
    fn scale_codes(&self, max: Tensor<2>) -> Tensor<1, Int> {
        let reached = |tensor: &Tensor<2>, border: f32| tensor.clone().greater_equal_scalar(border).int();
        let nonzero = max.clone().greater_scalar(0.0).int();
        let zeros = nonzero.zeros_like();
        let octave =
            (-13..=15).fold(zeros.clone(), |octave, exponent| octave + reached(&max, 2.0_f32.powi(exponent)));
        let k = match self.scale {
            Scale::Fine => {
                let power =
                    self.powers.clone().select(0, octave.clone().squeeze_dim(1)).unsqueeze_dim::<2>(1);
                let fraction = max * power;
                (1..8).fold(zeros + 1, |k, eighth| k + reached(&fraction, 1.0 + eighth as f32 / 8.0))
            }
            Scale::PowerOfTwo => zeros + 8,
        };
        ((octave * 8 + k) * nonzero).squeeze_dim(1)
    }
}

/// The largest whole numbers `q` with `q S/256 <= |w|`: by a product, which may be one off, and two
/// comparisons of products of 8 by 4 bits, which are exact.
fn magnitudes(weights: Tensor<2>, inverses: Tensor<2>, units: Tensor<2>) -> Tensor<2> {
    let near = (weights.clone() * inverses).floor();
    let too_large = (near.clone() * units.clone()).greater(weights.clone()).float();
    let near = near - too_large;
    let too_small = ((near.clone() + 1.0) * units).lower_equal(weights).float();
    near + too_small
}
