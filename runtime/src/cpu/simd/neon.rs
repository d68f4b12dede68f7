//! The vector instructions of 64-bit ARM, which every such processor has.

use std::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_f32, vld1q_f32, vst1q_f32};

use super::Simd;

/// NEON.
pub(crate) struct Neon;

// SAFETY: every processor of the target has it.
unsafe impl Simd for Neon {
    const LANES: usize = 4;

    type Vector = float32x4_t;

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn splat(value: f32) -> float32x4_t {
        // SAFETY: every processor of the target has the instruction.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> float32x4_t {
        // SAFETY: there are 4 values.
        unsafe { vld1q_f32(values) }
    }

    #[inline(always)]
    unsafe fn store(vector: float32x4_t, values: *mut f32) {
        // SAFETY: there is room for 4 values.
        unsafe { vst1q_f32(values, vector) }
    }

    #[inline(always)]
    fn multiply_add_lanes(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: every processor of the target has the instruction.
        unsafe { vfmaq_f32(c, a, b) }
    }
}
