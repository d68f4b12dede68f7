//! The vector instructions of x86-64.

use std::arch::x86_64::*;

use half::{f16, slice::HalfFloatSliceExt};

use super::Simd;

/// The vector instructions of x86-64 that functions are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Avx512,
    Avx2,
    Baseline,
}

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

/// AVX-512 with F, BW, DQ and VL, and what comes with AVX2.
pub(crate) struct Avx512;

// SAFETY: see [`Simd`].
unsafe impl Simd for Avx512 {
    const LANES: usize = 16;

    type Vector = __m512;

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn splat(value: f32) -> __m512 {
        // SAFETY: the processor has the instruction.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> __m512 {
        // SAFETY: the processor has the instruction, and there are 16 values.
        unsafe { _mm512_loadu_ps(values) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m512, values: *mut f32) {
        // SAFETY: the processor has the instruction, and there is room for 16 values.
        unsafe { _mm512_storeu_ps(values, vector) }
    }

    #[inline(always)]
    fn multiply_add_lanes(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the processor has the instruction.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn widen(from: &[f16], to: &mut [f32]) {
        let (from, from_rest) = from.as_chunks::<16>();
        let (to, to_rest) = to.as_chunks_mut::<16>();
        for (from, to) in from.iter().zip(to) {
            // SAFETY: the processor has the instructions, and both arrays have 16 values.
            unsafe {
                _mm512_storeu_ps(to.as_mut_ptr(), _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
            };
        }
        from_rest.convert_to_f32_slice(to_rest);
    }
}

/// AVX2, FMA and F16C.
pub(crate) struct Avx2;

// SAFETY: see [`Simd`].
unsafe impl Simd for Avx2 {
    const LANES: usize = 8;

    type Vector = __m256;

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn splat(value: f32) -> __m256 {
        // SAFETY: the processor has the instruction.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> __m256 {
        // SAFETY: the processor has the instruction, and there are 8 values.
        unsafe { _mm256_loadu_ps(values) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m256, values: *mut f32) {
        // SAFETY: the processor has the instruction, and there is room for 8 values.
        unsafe { _mm256_storeu_ps(values, vector) }
    }

    #[inline(always)]
    fn multiply_add_lanes(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the processor has the instruction.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn widen(from: &[f16], to: &mut [f32]) {
        let (from, from_rest) = from.as_chunks::<8>();
        let (to, to_rest) = to.as_chunks_mut::<8>();
        for (from, to) in from.iter().zip(to) {
            // SAFETY: the processor has the instructions, and both arrays have 8 values.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())))
            };
        }
        from_rest.convert_to_f32_slice(to_rest);
    }
}
