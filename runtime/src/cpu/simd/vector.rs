//! What a body asks of the processor.

use half::{f16, slice::HalfFloatSliceExt};

/// Vector instructions.
///
/// # Safety
/// The type of an instruction set may only be named where the processor has it, which
/// [`simd_function`](super::simd_function) sees to; its methods rely on that.
pub(crate) unsafe trait Simd {
    /// `f32` lanes of a vector.
    const LANES: usize;

    /// A vector of `f32`.
    type Vector: Copy;

    /// `a * b + c`, rounded once where that is one instruction.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;

    /// The same number in each lane.
    fn splat(value: f32) -> Self::Vector;

    /// The first values of a slice, at least [`LANES`](Self::LANES) long.
    fn load(values: &[f32]) -> Self::Vector;

    /// Writes the first values of a slice, at least [`LANES`](Self::LANES) long.
    fn store(vector: Self::Vector, values: &mut [f32]);

    /// [`multiply_add`](Self::multiply_add) of each lane.
    fn multiply_add_lanes(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Half precision to single; both slices are of the same length.
    #[inline(always)]
    fn widen(from: &[f16], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }
}

/// What every processor of the target has. On 64-bit ARM that includes NEON.
pub(crate) struct Baseline;

// SAFETY: needs nothing in particular.
unsafe impl Simd for Baseline {
    const LANES: usize = 4;

    type Vector = [f32; 4];

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        // Elsewhere it is a function call.
        if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn load(values: &[f32]) -> [f32; 4] {
        [values[0], values[1], values[2], values[3]]
    }

    #[inline(always)]
    fn store(vector: [f32; 4], values: &mut [f32]) {
        values[..4].copy_from_slice(&vector);
    }

    #[inline(always)]
    fn multiply_add_lanes(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| Self::multiply_add(a[lane], b[lane], c[lane]))
    }
}
