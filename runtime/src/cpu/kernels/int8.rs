//! The plain kernel of activations in 8 bits: the oracle of the fast ones, and the definition of
//! what they compute.
//!
//! With `u` the codes of the weights of a group, left-aligned to those of E5M7 (or as they are at
//! E5M8), and `x` the codes of the activations:
//!
//! ```text
//! dot     = sum(u x)                                a whole number below 2^24
//! bracket = dot - centre * sum(x)                   exact in f32
//! factor  = step * scale                            of the group of weights, of that of activations
//! total   = fma(bracket, factor, total)             group after group, in the order of the columns
//! ```
//!
//! `centre` is 2^m - 1/2 for midpoint, left-aligned with the codes. For truncate it is 2^m, and the
//! codes of the negative weights count one more. As everything before the last line is exact but for
//! `factor`, any way to compute it gives the same bits.

use sefp::{GROUP_SIZE, LANE_ROWS, Precision, Reconstruction, step};

use super::driver::Product;

/// What a group is multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The precision whose step belongs to the left-aligned codes.
    pub(super) aligned: Precision,
    /// What is taken from a left-aligned code.
    pub(super) centre: f32,
}

impl Numbers {
    pub(super) const fn new(precision: Precision, reconstruction: Reconstruction) -> Self {
        let aligned = match precision {
            Precision::E5M8 => Precision::E5M8,
            _ => Precision::E5M7,
        };
        let one = (1 << (aligned.mantissa_bits() - precision.mantissa_bits())) as f32;
        let zero = (1 << aligned.mantissa_bits()) as f32;
        let centre = match reconstruction {
            Reconstruction::Midpoint => zero - 0.5 * one,
            Reconstruction::Truncate => zero,
        };
        Self { aligned, centre }
    }

    /// What turns a scale code into the bits of its step, shifted by 20.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) const fn step_bias(self) -> i32 {
        sefp::step_bias(self.aligned) as i32
    }
}

/// Sixteen rows of the matrix times every token: `[tokens][16]`.
pub(super) fn multiply_tile_row(product: &Product<'_>, tile_row: usize, sums: &mut [[f32; LANE_ROWS]]) {
    let Product { tiles, precision, reconstruction, input } = *product;
    let numbers = Numbers::new(precision, reconstruction);
    let mut codes = [[0; GROUP_SIZE]; LANE_ROWS];
    for group in 0..tiles.grid().tile_cols() {
        let (first_row, first_col) = (tile_row * LANE_ROWS, group * GROUP_SIZE);
        for (lane, codes) in codes.iter_mut().enumerate() {
            for (i, code) in codes.iter_mut().enumerate() {
                let u = tiles.code(first_row + lane, first_col + i, precision);
                *code = left_align(u, precision, reconstruction);
            }
        }
        for (token, sums) in sums.iter_mut().enumerate() {
            let index = group * input.tokens + token;
            let x = &input.codes[index * GROUP_SIZE..][..GROUP_SIZE];
            for (lane, sum) in sums.iter_mut().enumerate() {
                let dot: i32 = codes[lane].iter().zip(x).map(|(u, x)| u * i32::from(*x)).sum();
                let bracket = dot as f32 - numbers.centre * input.sums[index];
                let step = step(tiles.scale(first_row + lane, first_col), numbers.aligned);
                *sum = bracket.mul_add(step * input.scales[index], *sum);
            }
        }
    }
}

/// A code at the size of those of E5M7 or E5M8.
fn left_align(u: u16, precision: Precision, reconstruction: Reconstruction) -> i32 {
    let negative = reconstruction == Reconstruction::Truncate && u < 1 << precision.mantissa_bits();
    let missing = 7_u32.saturating_sub(precision.mantissa_bits());
    (i32::from(u) + i32::from(negative)) << missing
}
