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

    /// Reads a vector.
    ///
    /// # Safety
    /// There must be [`LANES`](Self::LANES) values.
    unsafe fn load(values: *const f32) -> Self::Vector;

    /// Writes a vector.
    ///
    /// # Safety
    /// There must be room for [`LANES`](Self::LANES) values.
    unsafe fn store(vector: Self::Vector, values: *mut f32);

    /// [`multiply_add`](Self::multiply_add) of each lane.
    fn multiply_add_lanes(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Half precision to single; both slices are of the same length.
    #[inline(always)]
    fn widen(from: &[f16], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }

    /// Single precision to half, rounded to nearest even; both slices are of the same length.
    #[inline(always)]
    fn narrow(from: &[f32], to: &mut [f16]) {
        to.convert_from_f32_slice(from);
    }
}

/// What needs no instructions in particular.
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
    unsafe fn load(values: *const f32) -> [f32; 4] {
        // SAFETY: there are four values; an array may lie wherever one of them may.
        unsafe { values.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn store(vector: [f32; 4], values: *mut f32) {
        // SAFETY: there is room for four values; an array may lie wherever one of them may.
        unsafe { values.cast::<[f32; 4]>().write(vector) }
    }

    #[inline(always)]
    fn multiply_add_lanes(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| Self::multiply_add(a[lane], b[lane], c[lane]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{Native, simd_function};

    fn widen_with<S: Simd>(from: &[f16], to: &mut [f32]) {
        S::widen(from, to);
    }
    simd_function!(fn widen(from: &[f16], to: &mut [f32]) = widen_with);

    /// Every half there is, in slices that end in parts of vectors.
    #[test]
    fn halves_are_converted_as_one_by_one() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        for length in [0, 1, 7, 8, 23, halves.len() - 3] {
            let halves = &halves[halves.len() - length..];
            let mut singles = vec![1.0; length];
            widen(halves, &mut singles);
            let expected = halves.iter().map(|half| half.to_f32_const());
            let same = |(a, b): (&f32, f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(singles.iter().zip(expected).all(same), "{length} values");

            // A little off each half, beyond the largest one and below the smallest.
            singles.iter_mut().for_each(|single| *single *= 1.000_4);
            let mut narrowed = vec![f16::ONE; length];
            Native::narrow(&singles, &mut narrowed);
            let expected = singles.iter().map(|&single| f16::from_f32_const(single));
            let same = |(a, b): (&f16, f16)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(narrowed.iter().zip(expected).all(same), "{length} values");
        }
    }
}
