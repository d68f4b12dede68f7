//! The exact kernel: activations in `f32`, as in the twin, and bit for bit what it computes.
//!
//! A lane of a tile is a row of the matrix, and each sum is taken in the order of the columns with
//! a rounding after the product, whatever the width of the vectors. So this is one plain function,
//! compiled for several widths; what it has over the twin is that the sums of four rows of tiles do
//! not wait for each other.

use std::ops::Range;

use sefp::{GROUP_SIZE, LANE_ROWS, Tile};

use super::{
    Call,
    driver::{PANEL, PanelSums, store},
};
#[cfg(target_arch = "x86_64")]
use crate::cpu::options::instructions;
use crate::cpu::slots::Activations;

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
    let mut sums = vec![[[0.0; LANE_ROWS]; PANEL]; rows.len()];
    for first in tile_rows.clone().step_by(PANEL) {
        let count = PANEL.min(tile_rows.end - first);
        sums.fill([[0.0; LANE_ROWS]; PANEL]);
        multiply_panel(call, input, rows.clone(), first..first + count, &mut sums);
        for (token, sums) in sums.iter().enumerate() {
            for (place, sums) in sums[..count].iter().enumerate() {
                // SAFETY: as of this function.
                unsafe { store(&call.output, first + place, token, std::slice::from_ref(sums)) };
            }
        }
    }
}

fn multiply_panel(
    call: &Call<'_>,
    input: &Activations,
    rows: Range<usize>,
    tile_rows: Range<usize>,
    sums: &mut [PanelSums],
) {
    #[cfg(target_arch = "x86_64")]
    if instructions::avx512() {
        // SAFETY: the instructions are there.
        return unsafe { with_avx512(call, input, rows, tile_rows, sums) };
    } else if instructions::avx2() {
        // SAFETY: the instructions are there.
        return unsafe { with_avx2(call, input, rows, tile_rows, sums) };
    }
    portable(call, input, rows, tile_rows, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn with_avx512(
    call: &Call<'_>,
    input: &Activations,
    rows: Range<usize>,
    tile_rows: Range<usize>,
    sums: &mut [PanelSums],
) {
    portable(call, input, rows, tile_rows, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(
    call: &Call<'_>,
    input: &Activations,
    rows: Range<usize>,
    tile_rows: Range<usize>,
    sums: &mut [PanelSums],
) {
    portable(call, input, rows, tile_rows, sums);
}

#[inline(always)]
fn portable(
    call: &Call<'_>,
    input: &Activations,
    rows: Range<usize>,
    tile_rows: Range<usize>,
    sums: &mut [PanelSums],
) {
    let tile_cols = call.tiles.grid().tile_cols();
    let mut tiles: Box<[Tile; PANEL]> = Box::new([[[0.0; LANE_ROWS]; GROUP_SIZE]; PANEL]);
    for group in 0..tile_cols {
        for (tile, tile_row) in tiles.iter_mut().zip(tile_rows.clone()) {
            let index = tile_row * tile_cols + group;
            call.tiles.decode_tile(index, call.precision, call.reconstruction, tile);
        }
        for (row, sums) in rows.clone().zip(sums.iter_mut()) {
            let x = &input.values[row * input.stride + group * GROUP_SIZE..][..GROUP_SIZE];
            let mut totals = *sums;
            for (k, x) in x.iter().enumerate() {
                for (tile, totals) in tiles.iter().zip(&mut totals) {
                    for lane in 0..LANE_ROWS {
                        totals[lane] += tile[k][lane] * x;
                    }
                }
            }
            *sums = totals;
        }
    }
}
