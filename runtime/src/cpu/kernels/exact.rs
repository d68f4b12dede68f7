//! The exact kernel: activations in `f32`, as in the twin, and bit for bit what it computes.
//!
//! A lane of a tile is a row of the matrix, and each sum is taken in the order of the columns with
//! a rounding after the product, whatever the width of the vectors. What this has over the twin is
//! that weights are decoded with vectors, and that the sums of four rows of tiles do not wait for
//! each other. On 64-bit ARM the portable functions are NEON, which every processor of that target has.

use std::ops::Range;

use sefp::{GROUP_SIZE, LANE_ROWS, Tile};

#[cfg(target_arch = "x86_64")]
use super::exact_x86;
use super::{
    Call,
    driver::{PANEL, PanelSums, store},
};
#[cfg(target_arch = "x86_64")]
use crate::cpu::options::instructions;
use crate::cpu::slots::Activations;

/// The tiles of a column of tiles, decoded.
pub(super) type Tiles = [Tile; PANEL];

/// What the vectors of a processor do.
#[derive(Clone, Copy)]
struct Functions {
    /// Decodes the tile of a number.
    decode: fn(&Call<'_>, usize, &mut Tile),
    /// Adds the products of decoded tiles and 64 activations to the sums of a token.
    multiply: fn(&Tiles, &[f32; GROUP_SIZE], &mut PanelSums),
}

impl Functions {
    /// All that this processor has, the fastest first.
    fn available() -> Vec<Self> {
        let mut functions = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if instructions::avx512() {
                functions.push(Self {
                    // SAFETY: the instructions are there.
                    decode: |call, tile, out| unsafe { exact_x86::avx512::decode(call, tile, out) },
                    // SAFETY: as above.
                    multiply: |tiles, x, sums| unsafe { exact_x86::avx512::multiply(tiles, x, sums) },
                });
            }
            if instructions::avx2() {
                functions.push(Self {
                    // SAFETY: the instructions are there.
                    decode: |call, tile, out| unsafe { exact_x86::avx2::decode(call, tile, out) },
                    // SAFETY: as above.
                    multiply: |tiles, x, sums| unsafe { exact_x86::avx2::multiply(tiles, x, sums) },
                });
            }
        }
        functions.push(Self { decode, multiply: multiply_tiles });
        functions
    }
}

/// Some rows of tiles times some rows of activations.
///
/// # Safety
/// No other thread uses what these rows of tiles write.
pub(super) unsafe fn multiply(
    call: &Call<'_>,
    input: &Activations,
    rows: Range<usize>,
    tile_rows: Range<usize>,
) {
    // SAFETY: as of this function.
    unsafe { multiply_with(Functions::available()[0], call, input, rows, tile_rows) };
}

/// # Safety
/// As [`multiply`].
unsafe fn multiply_with(
    functions: Functions,
    call: &Call<'_>,
    input: &Activations,
    rows: Range<usize>,
    tile_rows: Range<usize>,
) {
    assert!(call.precision <= call.tiles.available(), "planes that are not here");
    let tile_cols = call.tiles.grid().tile_cols();
    let mut tiles: Box<Tiles> = Box::new([[[0.0; LANE_ROWS]; GROUP_SIZE]; PANEL]);
    let mut sums = vec![[[0.0; LANE_ROWS]; PANEL]; rows.len()];
    for first in tile_rows.clone().step_by(PANEL) {
        let count = PANEL.min(tile_rows.end - first);
        sums.fill([[0.0; LANE_ROWS]; PANEL]);
        for group in 0..tile_cols {
            for (place, tile) in tiles[..count].iter_mut().enumerate() {
                (functions.decode)(call, (first + place) * tile_cols + group, tile);
            }
            for (row, sums) in rows.clone().zip(&mut sums) {
                let row = &input.values[row * input.stride..][..input.stride];
                (functions.multiply)(&tiles, &row.as_chunks().0[group], sums);
            }
        }
        for (token, sums) in sums.iter().enumerate() {
            for (place, sums) in sums[..count].iter().enumerate() {
                // SAFETY: as of this function.
                unsafe { store(&call.output, first + place, token, std::slice::from_ref(sums)) };
            }
        }
    }
}

fn decode(call: &Call<'_>, tile: usize, out: &mut Tile) {
    call.tiles.decode_tile(tile, call.precision, call.reconstruction, out);
}

fn multiply_tiles(tiles: &Tiles, x: &[f32; GROUP_SIZE], sums: &mut PanelSums) {
    for (tile, sums) in tiles.iter().zip(sums) {
        for (weights, x) in tile.iter().zip(x) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += weight * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sefp::{PackedMatrix, Precision, Reconstruction, Scale};

    use super::*;

    #[test]
    fn all_widths_compute_the_same() {
        let weights: Vec<f32> = (0..70 * 130).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
        let packed = PackedMatrix::pack(&weights, 70, 130, Scale::Fine).expect("weights in range");
        let mut input = Activations::new(130);
        input.grow(3);
        input.rows_mut(3).flatten().enumerate().for_each(|(i, x)| *x = (i % 77) as f32 * 0.3 - 11.0);
        for precision in Precision::ALL {
            for reconstruction in Reconstruction::ALL {
                let mut results = Functions::available().into_iter().map(|functions| {
                    let mut output = Activations::new(70);
                    output.grow(3);
                    let (tiles, columns) = (packed.view(), output.columns_mut(3));
                    let call = Call { tiles, precision, reconstruction, output: columns };
                    // SAFETY: there are no other threads.
                    unsafe { multiply_with(functions, &call, &input, 0..3, 0..5) };
                    output.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
                });
                let first = results.next().expect("one that is portable");
                assert!(results.all(|result| result == first), "{precision} {reconstruction}");
            }
        }
    }
}
