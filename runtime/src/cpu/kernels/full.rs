//! The kernel of unquantised weights: `f32` times `f32`, with fused multiply-add where the processor
//! has it.
//!
//! Weights lie in tiles, as they do in the planes of a file, so that a lane of a vector is a row of the
//! matrix and each sum is taken in the order of the columns. A block of vectors and tokens stays in
//! registers over all columns: a weight is loaded once for [`TOKENS`] tokens.

use std::ops::Range;

use sefp::{LANE_ROWS, Tile, TileGrid};

use super::{driver::store, tasks};
use crate::cpu::{
    pool::Pool,
    simd::{Simd, simd_function},
    slots::{Activations, Columns},
};

/// Tokens of a block.
const TOKENS: usize = 4;

/// One product of unquantised weights: `output = weight * input`.
pub(crate) struct FullCall<'a> {
    pub(crate) grid: TileGrid,
    /// `[tile rows, tile columns]`; what lies outside of the matrix is zero.
    pub(crate) tiles: &'a [Tile],
    pub(crate) output: Columns<'a>,
}

/// Computes some products of some rows of a buffer, as one piece of work.
pub(crate) fn multiply_full(pool: &Pool, input: &Activations, rows: Range<usize>, calls: &[FullCall<'_>]) {
    let tasks = tasks::divide(calls.iter().map(|call| call.grid), rows.len(), pool.threads());
    let input = &input.values[rows.start * input.stride..rows.end * input.stride];
    pool.run(tasks.len(), |task| {
        let (number, tile_rows) = &tasks[task];
        let FullCall { grid, tiles, output } = &calls[*number];
        let tiles = &tiles[tile_rows.start * grid.tile_cols()..tile_rows.end * grid.tile_cols()];
        let mut sums = vec![[0.0; LANE_ROWS]; tile_rows.len() * rows.len()];
        multiply(tiles.as_flattened(), input, grid.padded_cols(), &mut sums);
        for (tile_row, sums) in tile_rows.clone().zip(sums.chunks(rows.len().max(1))) {
            // SAFETY: no other task has this row of tiles of this call.
            unsafe { store(output, tile_row, 0, sums) };
        }
    });
}

simd_function! {
    /// Rows of tiles `[tile rows][columns][16]` times the rows of `input`, `[tokens][columns]`, into `sums`,
    /// `[tile rows][tokens][16]`.
    fn multiply(
        tiles: &[[f32; LANE_ROWS]], input: &[f32], columns: usize, sums: &mut [[f32; LANE_ROWS]],
    ) = multiply_with
}

#[inline(always)]
fn multiply_with<S: Simd>(
    tiles: &[[f32; LANE_ROWS]],
    input: &[f32],
    columns: usize,
    sums: &mut [[f32; LANE_ROWS]],
) {
    match S::LANES {
        // As many vectors as leave registers for the weights: of 16 registers, or of 32.
        8 => multiply_blocks::<S, 2>(tiles, input, columns, sums),
        _ => multiply_blocks::<S, 4>(tiles, input, columns, sums),
    }
}

#[inline(always)]
fn multiply_blocks<S: Simd, const VECTORS: usize>(
    tiles: &[[f32; LANE_ROWS]],
    input: &[f32],
    columns: usize,
    sums: &mut [[f32; LANE_ROWS]],
) {
    let (tile_rows, tokens) = (tiles.len() / columns, input.len() / columns);
    assert!(tiles.len() == tile_rows * columns && input.len() == tokens * columns);
    assert_eq!(sums.len(), tile_rows * tokens);
    let vectors = tile_rows * LANE_ROWS / S::LANES;
    let mut first = 0;
    while first < vectors {
        let block = Block { tiles, input, columns, tokens, first };
        if first + VECTORS <= vectors {
            block.every_token::<S, VECTORS>(sums);
            first += VECTORS;
        } else {
            block.every_token::<S, 1>(sums);
            first += 1;
        }
    }
}

/// Vectors of rows, from `first` on, that every token passes over.
struct Block<'a> {
    tiles: &'a [[f32; LANE_ROWS]],
    input: &'a [f32],
    columns: usize,
    tokens: usize,
    first: usize,
}

impl Block<'_> {
    #[inline(always)]
    fn every_token<S: Simd, const VECTORS: usize>(&self, sums: &mut [[f32; LANE_ROWS]]) {
        let mut token = 0;
        while token < self.tokens {
            if token + TOKENS <= self.tokens {
                self.multiply::<S, VECTORS, TOKENS>(token, sums);
                token += TOKENS;
            } else {
                self.multiply::<S, VECTORS, 1>(token, sums);
                token += 1;
            }
        }
    }

    #[inline(always)]
    fn multiply<S: Simd, const VECTORS: usize, const COUNT: usize>(
        &self,
        token: usize,
        sums: &mut [[f32; LANE_ROWS]],
    ) {
        // Loops instead of closures, which would not be compiled for the instructions of the caller.
        let mut weights = [std::ptr::null::<f32>(); VECTORS];
        for (vector, weights) in weights.iter_mut().enumerate() {
            let (tile_row, lane) = self.place::<S>(vector);
            let rows = &self.tiles[tile_row * self.columns..][..self.columns];
            *weights = rows.as_flattened()[lane..].as_ptr();
        }
        let mut inputs = [std::ptr::null::<f32>(); COUNT];
        for (i, input) in inputs.iter_mut().enumerate() {
            *input = self.input[(token + i) * self.columns..][..self.columns].as_ptr();
        }
        let mut totals = [[S::splat(0.0); VECTORS]; COUNT];
        for column in 0..self.columns {
            let mut vectors = [S::splat(0.0); VECTORS];
            for (vector, weights) in vectors.iter_mut().zip(&weights) {
                // SAFETY: a row of tiles has 16 weights for each column, among which these lanes lie.
                *vector = unsafe { S::load(weights.add(column * LANE_ROWS)) };
            }
            for (totals, input) in totals.iter_mut().zip(&inputs) {
                // SAFETY: a row of the input has this column.
                let x = S::splat(unsafe { *input.add(column) });
                for (total, &vector) in totals.iter_mut().zip(&vectors) {
                    *total = S::multiply_add_lanes(vector, x, *total);
                }
            }
        }
        for (i, totals) in totals.iter().enumerate() {
            for (vector, &total) in totals.iter().enumerate() {
                let (tile_row, lane) = self.place::<S>(vector);
                let sums = &mut sums[tile_row * self.tokens + token + i][lane..][..S::LANES];
                // SAFETY: there is room for a vector.
                unsafe { S::store(total, sums.as_mut_ptr()) };
            }
        }
    }

    /// The row of tiles of a vector of this block, and its first lane there.
    #[inline(always)]
    fn place<S: Simd>(&self, vector: usize) -> (usize, usize) {
        let vectors_of_a_tile = LANE_ROWS / S::LANES;
        let number = self.first + vector;
        (number / vectors_of_a_tile, number % vectors_of_a_tile * S::LANES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{matmul::matmul, simd::Native, weights::Matrix};

    /// Rows and columns that end inside of a tile, of a block and of a task.
    const SHAPES: [(usize, usize); 4] = [(1, 1), (37, 70), (150, 192), (530, 130)];

    fn tiles_of(grid: TileGrid) -> Vec<Tile> {
        let weight = |row: usize, col: usize| ((row * 7919 + col * 104_729) % 1999) as f32 / 1000.0 - 1.0;
        let mut tiles = Vec::new();
        crate::cpu::weights::push_tiles(
            &(0..grid.rows * grid.cols).map(|i| weight(i / grid.cols, i % grid.cols)).collect::<Vec<_>>(),
            grid.cols,
            &mut tiles,
        );
        tiles
    }

    fn input_of(width: usize, rows: usize) -> Activations {
        let mut input = Activations::new(width);
        input.grow(rows);
        input.rows_mut(rows).flatten().enumerate().for_each(|(i, x)| *x = (i % 77) as f32 * 0.3 - 11.0);
        input
    }

    #[test]
    fn products_are_those_of_the_twin() {
        for threads in [1, 3] {
            let pool = Pool::new(threads.try_into().expect("not zero")).expect("threads");
            for (rows, cols) in SHAPES {
                let grid = TileGrid::new(rows, cols);
                let tiles = tiles_of(grid);
                let matrix = Matrix::Full { grid, tiles: &tiles };
                for tokens in [0, 1, 3, 4, 9] {
                    let input = input_of(cols, tokens + 2);
                    let (mut expected, mut found) = (Activations::new(rows), Activations::new(rows));
                    [&mut expected, &mut found].into_iter().for_each(|output| output.grow(tokens));
                    matmul(&pool, &matrix, &input, 1..1 + tokens, &mut expected);
                    let call = FullCall { grid, tiles: &tiles, output: found.columns_mut(tokens) };
                    multiply_full(&pool, &input, 1..1 + tokens, &[call]);
                    for (found, expected) in found.values.iter().zip(&expected.values) {
                        // Rounding once or twice a column, of terms up to 12.
                        let bound = cols as f32 * 12.0 * f32::EPSILON;
                        assert!((found - expected).abs() <= bound, "{rows}x{cols}: {found} {expected}");
                    }
                }
            }
        }
    }

    /// Each sum is taken in the order of its columns, whatever the width of the vectors.
    #[test]
    fn vectors_of_any_width_take_the_same_sums() {
        let grid = TileGrid::new(100, 130);
        let (tiles, input) = (tiles_of(grid), input_of(130, 7));
        let mut sums = vec![[0.0; LANE_ROWS]; grid.tile_rows() * 7];
        let mut native = sums.clone();
        multiply(tiles.as_flattened(), &input.values, grid.padded_cols(), &mut sums);
        multiply_with::<Native>(tiles.as_flattened(), &input.values, grid.padded_cols(), &mut native);
        let fused = |tile_row: usize, token: usize, lane: usize, multiply_add: fn(f32, f32, f32) -> f32| {
            let weights = &tiles.as_flattened()[tile_row * grid.padded_cols()..];
            let x = &input.values[token * input.stride..][..input.stride];
            x.iter().zip(weights).fold(0.0, |sum, (x, weights)| multiply_add(weights[lane], *x, sum))
        };
        for (place, (sums, native)) in sums.iter().zip(&native).enumerate() {
            for lane in 0..LANE_ROWS {
                let of = |multiply_add| fused(place / 7, place % 7, lane, multiply_add).to_bits();
                let (once, twice) = (of(f32::mul_add), of(|a, b, c| a * b + c));
                assert!([once, twice].contains(&sums[lane].to_bits()), "place {place}, lane {lane}");
                assert!([once, twice].contains(&native[lane].to_bits()), "place {place}, lane {lane}");
            }
        }
    }
}
