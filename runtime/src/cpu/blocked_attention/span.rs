//! Attention over one span: two small matrix products for each block of the cache, and between them
//! the weights.

use super::{
    Part, SPAN_POSITIONS, Work,
    record::{self, State},
    scratch::{LINE, Scratch},
};
use crate::cpu::{
    kv_cache::BLOCK_POSITIONS,
    simd::{Simd, exp, simd_function},
};

simd_function! {
    /// Reduces the positions of a span to a record of each row.
    pub(super) fn reduce_span(work: &Work<'_>, part: &Part, span: usize, scratch: &mut Scratch<'_>)
        = reduce_span_with
}

#[inline(always)]
fn reduce_span_with<S: Simd>(work: &Work<'_>, part: &Part, span: usize, scratch: &mut Scratch<'_>) {
    let (dim, padded, length) = (work.heads.dim, work.padded_dim(), work.record());
    let rows = part.tokens.len() * work.group();
    scratch.records.chunks_mut(length).for_each(record::reset);
    let end = (work.position + part.tokens.end).min((span + 1) * SPAN_POSITIONS);
    for first in (span * SPAN_POSITIONS..end).step_by(BLOCK_POSITIONS) {
        let positions = (end - first).min(BLOCK_POSITIONS);
        let block = first / BLOCK_POSITIONS;
        work.keys.head(part.kv_head).load_block::<S>(block, positions, scratch.keys);
        scratch.scores.fill(0.0);
        let queries = Rows { values: scratch.queries, stride: padded, length: dim };
        let scores = Sums { values: scratch.scores, stride: BLOCK_POSITIONS, width: BLOCK_POSITIONS };
        add_product::<S>(rows, queries, scratch.keys, scores);

        let scores = scratch.scores.chunks_mut(BLOCK_POSITIONS);
        for (row, (scores, record)) in scores.zip(scratch.records.chunks_mut(length)).enumerate() {
            let position = work.position + part.tokens.start + row / work.group();
            let visible = (position + 1).saturating_sub(first).min(BLOCK_POSITIONS);
            weigh::<S>(scores, visible, record);
        }

        work.values.head(part.kv_head).load_block::<S>(block, positions, scratch.values);
        let weights = Rows { values: scratch.scores, stride: BLOCK_POSITIONS, length: positions };
        let sums = Sums { values: scratch.records, stride: length, width: padded };
        add_product::<S>(rows, weights, scratch.values, sums);
    }
}

/// Turns the scores of a row into weights, of which only the first `visible` are not zero, and brings
/// its record to the new maximum.
#[inline(always)]
fn weigh<S: Simd>(scores: &mut [f32], visible: usize, record: &mut [f32]) {
    if visible == 0 {
        return scores.fill(0.0);
    }
    scores[visible..].fill(f32::NEG_INFINITY);
    let (values, state) = record::state_mut(record);
    let [before, sum] = *state;
    let mut maxima = [before; LINE];
    for scores in scores.chunks_exact(LINE) {
        for (maximum, &score) in maxima.iter_mut().zip(scores) {
            *maximum = if score > *maximum { score } else { *maximum };
        }
    }
    let maximum = maxima.into_iter().fold(before, f32::max);

    let mut sums = [0.0; LINE];
    scores.iter_mut().for_each(|score| *score = exp::<S>(*score - maximum));
    scores[visible..].fill(0.0);
    for scores in scores.chunks_exact(LINE) {
        sums.iter_mut().zip(scores).for_each(|(sum, weight)| *sum += weight);
    }
    let factor = exp::<S>(before - maximum);
    if maximum > before {
        values.iter_mut().for_each(|value| *value *= factor);
    }
    *state = State { maximum, sum: sum * factor + sums.into_iter().sum::<f32>() }.into();
}

/// Rows of a matrix.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    length: usize,
}

/// Rows of sums: `width` values, whole lines, from `stride` to `stride`.
struct Sums<'a> {
    values: &'a mut [f32],
    stride: usize,
    width: usize,
}

/// `sums[r] += left[r] * right`, where the rows of `right` are as wide as those of `sums`. Each sum
/// is in the order of the rows of `right`, whatever the tile.
#[inline(always)]
fn add_product<S: Simd>(rows: usize, left: Rows<'_>, right: &[f32], mut sums: Sums<'_>) {
    let mut row = 0;
    // Tiles of as many sums as fit into registers beside what they are made of.
    while row < rows {
        row += match (rows - row, S::LANES) {
            (8.., 16) => add_rows::<S, 8, 1, 1>(row, left, right, &mut sums),
            (4.., 16) => add_rows::<S, 4, 2, 1>(row, left, right, &mut sums),
            (2.., 16) => add_rows::<S, 2, 4, 1>(row, left, right, &mut sums),
            (1, 16) => add_rows::<S, 1, 4, 1>(row, left, right, &mut sums),
            (4.., 8) => add_rows::<S, 4, 2, 2>(row, left, right, &mut sums),
            (2.., 8) => add_rows::<S, 2, 4, 2>(row, left, right, &mut sums),
            (1, 8) => add_rows::<S, 1, 8, 2>(row, left, right, &mut sums),
            (4.., _) => add_rows::<S, 4, 4, 4>(row, left, right, &mut sums),
            _ => add_rows::<S, 1, 4, 4>(row, left, right, &mut sums),
        };
    }
}

/// `ROWS` rows of the product, from `row` on, in tiles of `VECTORS`, then of `LINE_VECTORS`, which
/// make a line; returns how many rows they are.
#[inline(always)]
fn add_rows<S: Simd, const ROWS: usize, const VECTORS: usize, const LINE_VECTORS: usize>(
    row: usize,
    left: Rows<'_>,
    right: &[f32],
    sums: &mut Sums<'_>,
) -> usize {
    let mut column = 0;
    while column < sums.width {
        column += match sums.width - column >= VECTORS * S::LANES {
            true => add_tile::<S, ROWS, VECTORS>((row, column), left, right, sums),
            false => add_tile::<S, ROWS, LINE_VECTORS>((row, column), left, right, sums),
        };
    }
    ROWS
}

/// `VECTORS` vectors of them, from `column` on; returns how many columns they are.
#[inline(always)]
fn add_tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    (row, column): (usize, usize),
    left: Rows<'_>,
    right: &[f32],
    sums: &mut Sums<'_>,
) -> usize {
    let columns = VECTORS * S::LANES;
    let left_values = &left.values[row * left.stride..];
    let sum_values = &mut sums.values[row * sums.stride + column..];
    assert!(left_values.len() >= (ROWS - 1) * left.stride + left.length);
    assert!(sum_values.len() >= (ROWS - 1) * sums.stride + columns);
    assert!(right.len() >= left.length * sums.width && sums.width >= column + columns);
    // SAFETY: row `ROWS - 1` of both, row `left.length - 1` of `right` and the last vector of each are
    // inside, by the assertions.
    unsafe {
        let mut tile = [[S::splat(0.0); VECTORS]; ROWS];
        for (r, tile) in tile.iter_mut().enumerate() {
            for (v, sum) in tile.iter_mut().enumerate() {
                *sum = S::load(sum_values.as_ptr().add(r * sums.stride + v * S::LANES));
            }
        }
        for k in 0..left.length {
            let right = right.as_ptr().add(k * sums.width + column);
            let mut vectors = [S::splat(0.0); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(right.add(v * S::LANES));
            }
            for (r, tile) in tile.iter_mut().enumerate() {
                let left = S::splat(*left_values.as_ptr().add(r * left.stride + k));
                for (sum, vector) in tile.iter_mut().zip(vectors) {
                    *sum = S::multiply_add_lanes(left, vector, *sum);
                }
            }
        }
        for (r, tile) in tile.iter().enumerate() {
            for (v, sum) in tile.iter().enumerate() {
                S::store(*sum, sum_values.as_mut_ptr().add(r * sums.stride + v * S::LANES));
            }
        }
    }
    columns
}
