//! The vector instructions of 64-bit ARM, which every such processor has.

use std::arch::aarch64::*;

use half::{f16, slice::HalfFloatSliceExt};

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
    #[inline(always)]
    fn widen(from: &[f16], to: &mut [f32]) {
        let (from, from_rest) = from.as_chunks::<8>();
        let (to, to_rest) = to.as_chunks_mut::<8>();
        for (from, to) in from.iter().zip(to) {
            // SAFETY: every processor of the target has the instructions, and both arrays have 8 values.
            unsafe {
                let halves = vreinterpretq_f16_u16(vld1q_u16(from.as_ptr().cast()));
                vst1q_f32(to.as_mut_ptr(), vcvt_f32_f16(vget_low_f16(halves)));
                vst1q_f32(to[4..].as_mut_ptr(), vcvt_high_f32_f16(halves));
            }
        }
        from_rest.convert_to_f32_slice(to_rest);
    }

    #[inline(always)]
    fn narrow(from: &[f32], to: &mut [f16]) {
        let (from, from_rest) = from.as_chunks::<4>();
        let (to, to_rest) = to.as_chunks_mut::<4>();
        for (from, to) in from.iter().zip(to) {
            // SAFETY: every processor of the target has the instructions, and both arrays have 4 values.
            unsafe {
                let halves = vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from.as_ptr())));
                vst1_u16(to.as_mut_ptr().cast(), halves);
            }
        }
        to_rest.convert_from_f32_slice(from_rest);
    }
}
