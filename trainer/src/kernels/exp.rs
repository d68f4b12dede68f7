//! An exponential that the compiler can turn into SIMD.

use std::f32::consts::LOG2_E;

/// Adding it rounds a small number to an integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
/// `ln 2` in two parts: the first has few enough bits that its product with an integer is exact.
const LN_2_HIGH: f32 = 0.693_359_4; // 355 / 512
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Below it the result would not be a normal number.
const LOWEST: f32 = -87.3;
const HIGHEST: f32 = 88.8;

/// `e^x` to about one unit in the last place; 0 below -87.3 and infinite above 88.3. NaN stays NaN.
///
/// `x = n ln 2 + r`, so `e^x = 2^n e^r` with a short series for `e^r`. No branches, and no fused
/// multiplication: every machine computes the same bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let bounded = x.clamp(LOWEST, HIGHEST);
    let shifted = bounded * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (bounded - n * LN_2_HIGH) - n * LN_2_LOW;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
    let series = 1.0 + (r + r * r * (0.5 + r * tail));
    if x < LOWEST { 0.0 } else { power * series }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_two_units_of_the_last_place() {
        for step in -870_000..880_000 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) / exact - 1.0).abs();
            assert!(error < 1.5 * f64::from(f32::EPSILON), "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn knows_the_ends_of_its_range() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }
}
