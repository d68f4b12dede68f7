//! Codes to weights. The same three lines stand in `shaders/shared/sefp.wgsl`.

use crate::quantize::{EXPONENT_BIAS, power_of_two};
use crate::{MAX_EXPONENT_CODE, Precision, Reconstruction};

/// The code of a weight at a lower precision: `u_m = u8 >> (8 - m)`.
pub const fn truncate(u8: u16, precision: Precision) -> u16 {
    u8 >> (8 - precision.mantissa_bits())
}

/// The distance between neighbouring codes, `2^(E - m + 1)`; 0 for a group of zeros.
///
/// A code above [`MAX_EXPONENT_CODE`] never comes from a checked file and is read as that maximum.
pub const fn step(exponent_code: u8, precision: Precision) -> f32 {
    if exponent_code == 0 {
        return 0.0;
    }
    let code = if exponent_code < MAX_EXPONENT_CODE { exponent_code } else { MAX_EXPONENT_CODE };
    let exponent = code as i32 - EXPONENT_BIAS;
    power_of_two(exponent - precision.mantissa_bits() as i32 + 1)
}

/// The value of a code `u_m` at `precision`: midpoint `(u_m - 2^m + 0.5) * step`, truncate
/// `(u_m - 2^m + [u_m < 2^m]) * step`. Exact in `f32`.
pub fn decode(code: u16, exponent_code: u8, precision: Precision, reconstruction: Reconstruction) -> f32 {
    Offset::new(precision, reconstruction).value(f32::from(code), step(exponent_code, precision))
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
