//! Weights as they come back from a packed file: what a trainer computes with.

use crate::{
    GROUP_SIZE, Offset, Precision, QuantizeError, Reconstruction, Scale, quantize_group, step, truncate,
};

/// Replaces up to 64 consecutive weights of one row by what a packed file holds of them at
/// `precision`: quantised, truncated and decoded, bit for bit.
///
/// # Errors
/// As [`quantize_group`]; the weights are unchanged then.
///
/// # Panics
/// If there are more weights than a group has.
pub fn fake_quantize_group(
    weights: &mut [f32],
    precision: Precision,
    reconstruction: Reconstruction,
    scale: Scale,
) -> Result<(), QuantizeError> {
    let mut codes = [0_u16; GROUP_SIZE];
    let scale_code = quantize_group(weights, &mut codes, scale)?;
    let (offset, step) = (Offset::new(precision, reconstruction), step(scale_code, precision));
    for (weight, code) in weights.iter_mut().zip(codes) {
        *weight = offset.value(f32::from(truncate(code, precision)), step);
    }
    Ok(())
}
