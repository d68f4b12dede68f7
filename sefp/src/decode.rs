//! Codes to weights. The same three lines stand in `shaders/shared/sefp.wgsl`.

use crate::{MAX_SCALE_CODE, Precision, Reconstruction};

/// Added to a scale code so that, shifted by [`SCALE_SHIFT`], it is the range of its group as an `f32`.
pub(crate) const SCALE_BIAS: u32 = 8 * (127 - 14);
/// Bits of an `f32` below the three of its fraction that a scale code holds.
const SCALE_SHIFT: u32 = 20;

/// The code of a weight at a lower precision: `u_m = u8 >> (8 - m)`.
pub const fn truncate(u8: u16, precision: Precision) -> u16 {
    u8 >> (8 - precision.mantissa_bits())
}

/// The distance between neighbouring codes, `S / 2^m` with the range `S = 2^E (1 + k/8)` of the
/// group; 0 for a group of zeros.
///
/// A scale code is a floating-point number by itself, of five exponent and three fraction bits. A
/// code above [`MAX_SCALE_CODE`] never comes from a checked file and is read as that maximum.
pub const fn step(scale_code: u8, precision: Precision) -> f32 {
    if scale_code == 0 {
        return 0.0;
    }
    let code = if scale_code < MAX_SCALE_CODE { scale_code } else { MAX_SCALE_CODE };
    f32::from_bits((code as u32 + step_bias(precision)) << SCALE_SHIFT)
}

/// What [`step`] adds to a scale code before it shifts it by 20 bits: kernels do the same.
pub const fn step_bias(precision: Precision) -> u32 {
    SCALE_BIAS - 8 * precision.mantissa_bits()
}

/// The value of a code `u_m` at `precision`: midpoint `(u_m - 2^m + 0.5) * step`, truncate
/// `(u_m - 2^m + [u_m < 2^m]) * step`. Exact in `f32`.
pub fn decode(code: u16, scale_code: u8, precision: Precision, reconstruction: Reconstruction) -> f32 {
    Offset::new(precision, reconstruction).value(f32::from(code), step(scale_code, precision))
}

/// What is added to a code before it is multiplied by [`step`]; constant for a whole forward pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    /// Added to every code.
    pub bias: f32,
    /// Added besides to the codes below [`Self::zero`], the negative weights.
    pub negative: f32,
    /// The code of the smallest weight that is not negative: `2^m`.
    pub zero: f32,
}

impl Offset {
    /// The offset of a precision and a reconstruction.
    pub const fn new(precision: Precision, reconstruction: Reconstruction) -> Self {
        let zero = (1_u32 << precision.mantissa_bits()) as f32;
        match reconstruction {
            Reconstruction::Midpoint => Self { bias: 0.5 - zero, negative: 0.0, zero },
            Reconstruction::Truncate => Self { bias: -zero, negative: 1.0, zero },
        }
    }

    /// The value of a code, itself a whole number, whose group has this [`step`].
    pub fn value(self, code: f32, step: f32) -> f32 {
        let steps = code + self.bias + if code < self.zero { self.negative } else { 0.0 };
        // Adding zero turns the -0.0 of a negative code in a group of zeros into 0.0.
        steps * step + 0.0
    }
}
