//! Twin of `matmul.wgsl` and `matvec.wgsl`: packed weights times activations.
//!
//! A tile is decoded once and used for every token. A lane of a tile is a row of the matrix, so
//! nothing is summed across lanes and the order of every sum is that of the columns: the result for
//! a token does not depend on the tokens beside it.

use std::ops::Range;

use sefp::{GROUP_SIZE, LANE_ROWS};

use super::{pool::Pool, slots::Activations, weights::Matrix};

/// `output[r] = weight * input[rows.start + r]`.
pub(crate) fn matmul(
    pool: &Pool,
    weight: &Matrix<'_>,
    input: &Activations,
    rows: Range<usize>,
    output: &mut Activations,
) {
    let columns = output.columns_mut(rows.len());
    pool.run(weight.grid().tile_rows(), |tile_row| {
        let sums = multiply_tile_row(weight, tile_row, input, rows.clone());
        let first = tile_row * LANE_ROWS;
        for (r, sums) in sums.iter().enumerate() {
            // SAFETY: no other task has this row of tiles, and with it these columns.
            let out = unsafe { columns.get(r, first..(first + LANE_ROWS).min(columns.width)) };
            out.copy_from_slice(&sums[..out.len()]);
        }
    });
}

/// Sixteen rows of the matrix times every token: `[tokens][16]`.
fn multiply_tile_row(
    weight: &Matrix<'_>,
    tile_row: usize,
    input: &Activations,
    rows: Range<usize>,
) -> Vec<[f32; LANE_ROWS]> {
    let tile_cols = weight.grid().tile_cols();
    let mut sums = vec![[0.0; LANE_ROWS]; rows.len()];
    let mut tile = [[0.0; LANE_ROWS]; GROUP_SIZE];
    for tile_col in 0..tile_cols {
        weight.decode_tile(tile_row * tile_cols + tile_col, &mut tile);
        for (t, sums) in rows.clone().zip(&mut sums) {
            let x = &input.values[t * input.stride + tile_col * GROUP_SIZE..][..GROUP_SIZE];
            for (weights, x) in tile.iter().zip(x) {
                for lane in 0..LANE_ROWS {
                    sums[lane] += weights[lane] * x;
                }
            }
        }
    }
    sums
}
