//! Lets the compiler turn one plain loop into the SIMD of whatever processor runs it.

/// Makes a function out of a generic body, compiled once for each set of vector instructions; the
/// widest that the processor has is chosen at run time.
///
/// The body is `#[inline(always)]` and takes a constant that says whether a fused multiply-add is
/// one instruction, for [`multiply_add`], and the lanes of a vector register.
macro_rules! simd_function {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($argument: $type),*) {
                    $body::<true, 16>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($argument: $type),*) {
                    $body::<true, 8>($($argument),*)
                }
                match crate::cpu::simd::Level::detect() {
                    // SAFETY: the processor has these instructions.
                    crate::cpu::simd::Level::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: the processor has these instructions.
                    crate::cpu::simd::Level::Avx2 => return unsafe { avx2($($argument),*) },
                    crate::cpu::simd::Level::Baseline => {}
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }, 4>($($argument),*)
        }
    };
}
pub(crate) use simd_function;

/// The vector instructions of x86-64 that functions are compiled for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Avx512,
    Avx2,
    Baseline,
}

#[cfg(target_arch = "x86_64")]
impl Level {
    /// What this processor has; the standard library remembers it.
    pub(crate) fn detect() -> Self {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512) {
            (true, true) => Self::Avx512,
            (true, false) => Self::Avx2,
            _ => Self::Baseline,
        }
    }
}

/// `a * b + c`, rounded once where that is one instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` without a branch or a call, so that a loop over it becomes SIMD: within `3e-7` of the
/// result, relatively, for `-87 <= x <= 88`. Smaller and larger arguments count as these bounds;
/// NaN stays NaN.
///
/// `e^x = 2^n e^r` with whole `n` and `|r| <= ln(2) / 2`, and `e^r` is its Taylor series to the
/// seventh power, which is off by less than `6e-9`: what remains is rounding.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f32) -> f32 {
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
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<FUSED>(n, -LN_2_HIGH, x);
    let r = multiply_add::<FUSED>(n, -LN_2_LOW, r);
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = multiply_add::<FUSED>(sum, r, coefficient);
    }
    // The exponent field of an f32 counts powers of two.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_shl(23);
    f32::from_bits(sum.to_bits().wrapping_add(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exp_each<const FUSED: bool, const LANES: usize>(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = exp::<FUSED>(*value));
    }
    simd_function!(fn fast_exp(values: &mut [f32]) = exp_each);

    #[test]
    fn the_exponential_is_as_good_as_it_says() {
        let arguments: Vec<f32> = (-870_000..=880_000).map(|i| i as f32 * 1e-4).collect();
        let mut values = arguments.clone();
        fast_exp(&mut values);
        let mut plain = arguments.clone();
        exp_each::<false, 1>(&mut plain);
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
        assert_eq!(exp::<false>(0.0), 1.0);
        assert_eq!(exp::<false>(-0.0), 1.0);
        assert_eq!(exp::<false>(f32::NEG_INFINITY), exp::<false>(-87.0));
        assert_eq!(exp::<false>(f32::INFINITY), exp::<false>(88.0));
        assert!(exp::<false>(f32::INFINITY).is_finite());
        assert!(exp::<false>(f32::NAN).is_nan());
    }
}
