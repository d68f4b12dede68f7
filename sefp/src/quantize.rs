//! Weights to codes: one shared scale per group, one 9-bit offset-binary code per weight.

use crate::{GROUP_SIZE, Scale, decode::SCALE_BIAS};

/// Quantises up to 64 consecutive weights of one row.
///
/// Writes a code `u8` in `0..=511` per weight to the front of `codes` and returns the scale code of
/// the group: `8 (E + 14) + k` in `1..=240`, or 0 when every weight is zero.
///
/// ```text
/// E    = floor(log2(max |w|)), clamped to [-14, 15]
/// k    = the smallest of 1..=8 with max |w| < 2^E (1 + k/8)        8 for Scale::PowerOfTwo
/// S    = 2^E (1 + k/8)
/// mag8 = floor(|w| / (S/256)), exactly                             0..=255
/// u8   = w < 0 or w is -0.0 ? 255 - mag8 : 256 + mag8
/// ```
///
/// # Errors
/// [`QuantizeError`] names the first weight that is not finite or not below 65536 in magnitude.
///
/// # Panics
/// If `weights` is longer than a group or than `codes`.
pub fn quantize_group(weights: &[f32], codes: &mut [u16], scale: Scale) -> Result<u8, QuantizeError> {
    assert!(weights.len() <= GROUP_SIZE && weights.len() <= codes.len(), "at most one group of weights");
    let max = max_magnitude(weights)?;
    let scale_code = scale_code(max, scale);
    // S = (8 + k) 2^(E-3), so |w| / (S/256) = |w| 2^(11-E) / (8 + k): a product by a power of two,
    // exact unless the quotient is far below one, and a division.
    let (exponent, eighths) = (i32::from((scale_code - 1) / 8) - 14, f32::from((scale_code - 1) % 8 + 9));
    let power = power_of_two(11 - exponent);
    for (code, &weight) in codes.iter_mut().zip(weights) {
        // The rounded quotient never reaches a whole number `q` that the exact one is below: with
        // x < q d, both multiples of ulp(x), q - x/d is at least ulp(x) / d, which is more than half of
        // the gap between f32 values below q.
        let mag8 = (weight.abs() * power / eighths) as u16;
        *code = if weight.is_sign_negative() { 255 - mag8 } else { 256 + mag8 };
    }
    Ok(if max == 0.0 { 0 } else { scale_code })
}

/// The code of the smallest range that covers `max`; 1 or 8, the smallest there is, for zero.
fn scale_code(max: f32, scale: Scale) -> u8 {
    // The upper 12 bits of an f32 are 8 (E + 127) + floor(8 (max / 2^E - 1)).
    let covers = (max.to_bits() >> 20) as i32 + 1 - SCALE_BIAS as i32;
    let fine = covers.max(1) as u8;
    match scale {
        Scale::Fine => fine,
        Scale::PowerOfTwo => fine.next_multiple_of(8),
    }
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

/// `2^exponent` for an exponent of a normal `f32`.
const fn power_of_two(exponent: i32) -> f32 {
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
