//! The exponential function of softmax and of the gate.

use super::Simd;

/// `e^x` without a branch or a call, so that a loop over it becomes SIMD: within `3e-7` of the
/// result, relatively, for `-87 <= x <= 88`. Smaller and larger arguments count as these bounds;
/// NaN stays NaN.
///
/// `e^x = 2^n e^r` with whole `n` and `|r| <= ln(2) / 2`, and `e^r` is its Taylor series to the
/// seventh power, which is off by less than `6e-9`: what remains is rounding.
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f32) -> f32 {
    // Added to a small number, it leaves the nearest whole number in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // The two add up to ln(2); the products of the first with whole numbers are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const MIN: f32 = -87.0;
    const MAX: f32 = 88.0;
    // Not `clamp`, and in this order, so that NaN passes.
    let x = if x < MIN { MIN } else { x };
    let x = if x > MAX { MAX } else { x };
    let shifted = S::multiply_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = S::multiply_add(n, -LN_2_HIGH, x);
    let r = S::multiply_add(n, -LN_2_LOW, r);
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = S::multiply_add(sum, r, coefficient);
    }
    // The exponent field of an f32 counts powers of two.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_shl(23);
    f32::from_bits(sum.to_bits().wrapping_add(power))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{Baseline, simd_function};

    fn exp_each<S: Simd>(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = exp::<S>(*value));
    }
    simd_function!(fn fast_exp(values: &mut [f32]) = exp_each);

    #[test]
    fn the_exponential_is_as_good_as_it_says() {
        let arguments: Vec<f32> = (-870_000..=880_000).map(|i| i as f32 * 1e-4).collect();
        let mut values = arguments.clone();
        fast_exp(&mut values);
        let mut plain = arguments.clone();
        exp_each::<Baseline>(&mut plain);
        for values in [&values, &plain] {
            for (x, value) in arguments.iter().zip(values) {
                let exact = f64::from(*x).exp();
                let error = (f64::from(*value) - exact).abs() / exact;
                assert!(error < 3e-7, "e^{x} = {exact}, not {value} ({error:e})");
            }
        }
    }

    #[test]
    fn the_exponential_at_its_ends() {
        assert_eq!(exp::<Baseline>(0.0), 1.0);
        assert_eq!(exp::<Baseline>(-0.0), 1.0);
        assert_eq!(exp::<Baseline>(f32::NEG_INFINITY), exp::<Baseline>(-87.0));
        assert_eq!(exp::<Baseline>(f32::INFINITY), exp::<Baseline>(88.0));
        assert!(exp::<Baseline>(f32::INFINITY).is_finite());
        assert!(exp::<Baseline>(f32::NAN).is_nan());
    }
}
