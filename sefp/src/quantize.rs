//! Weights to codes: one shared exponent per group, one 9-bit offset-binary code per weight.

use crate::GROUP_SIZE;

/// Exponents outside this range are clamped to it: the range of an FP16 exponent.
const EXPONENT_RANGE: (i32, i32) = (-14, 15);
/// Added to an exponent to make its code; code 0 is left for groups of zeros.
pub(crate) const EXPONENT_BIAS: i32 = 15;

/// Quantises up to 64 consecutive weights of one row.
///
/// Writes a code `u8` in `0..=511` per weight to the front of `codes` and returns the exponent
/// code of the group: `E + 15` in `1..=30`, or 0 when every weight is zero.
///
/// ```text
/// E    = floor(log2(max |w|)), clamped to [-14, 15]
/// mag8 = floor(|w| / 2^(E-7))                          0..=255
/// u8   = w < 0 or w is -0.0 ? 255 - mag8 : 256 + mag8
/// ```
///
/// # Errors
/// [`QuantizeError`] names the first weight that is not finite or not below 65536 in magnitude.
///
/// # Panics
/// If `weights` is longer than a group or than `codes`.
pub fn quantize_group(weights: &[f32], codes: &mut [u16]) -> Result<u8, QuantizeError> {
    assert!(weights.len() <= GROUP_SIZE && weights.len() <= codes.len(), "at most one group of weights");
    let max = max_magnitude(weights)?;
    let exponent = floor_log2(max).clamp(EXPONENT_RANGE.0, EXPONENT_RANGE.1);
    // A power of two scales without rounding, up to the subnormals that truncate to zero anyway.
    let scale = power_of_two(7 - exponent);
    for (code, &weight) in codes.iter_mut().zip(weights) {
        let mag8 = (weight.abs() * scale) as u16;
        *code = if weight.is_sign_negative() { 255 - mag8 } else { 256 + mag8 };
    }
    Ok(if max == 0.0 { 0 } else { (exponent + EXPONENT_BIAS) as u8 })
}

fn max_magnitude(weights: &[f32]) -> Result<f32, QuantizeError> {
    let mut max = 0.0_f32;
    for (index, &weight) in weights.iter().enumerate() {
        let fault = match weight.abs() {
            magnitude if magnitude < 65536.0 => {
                max = max.max(magnitude);
                continue;
            }
            magnitude if magnitude.is_nan() => WeightFault::Nan,
            magnitude if magnitude.is_infinite() => WeightFault::Infinite,
            magnitude => WeightFault::TooLarge(magnitude),
        };
        return Err(QuantizeError { index, fault });
    }
    Ok(max)
}

/// `floor(log2(x))` of a finite `x >= 0`; anything below the normal range counts as -127.
fn floor_log2(x: f32) -> i32 {
    (x.to_bits() >> 23) as i32 - 127
}

/// `2^exponent` for an exponent of a normal `f32`.
pub(crate) const fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// A weight that SEFP cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("weight {index} is {fault}")]
pub struct QuantizeError {
    /// Index of the weight, counted from the start of what was given to the failing call.
    pub index: usize,
    /// What is wrong with it.
    pub fault: WeightFault,
}

/// What is wrong with a weight.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum WeightFault {
    /// Not a number.
    #[error("NaN")]
    Nan,
    /// Plus or minus infinity.
    #[error("infinite")]
    Infinite,
    /// Magnitude of 65536 or more: above the largest exponent.
    #[error("too large for SEFP (|w| = {0}, it must be below 65536)")]
    TooLarge(f32),
}
