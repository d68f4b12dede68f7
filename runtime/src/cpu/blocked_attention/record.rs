//! Attention over some of the positions, to be merged with that over others: a *record* holds the sum
//! of the values, each weighted by `exp(score - maximum)`, then the maximum and the sum of the weights,
//! then padding.

use super::scratch::LINE;
use crate::cpu::simd::{Baseline, exp};

/// A record of no positions.
pub(super) fn empty(length: usize) -> Vec<f32> {
    let mut record = vec![0.0; length];
    reset(&mut record);
    record
}

/// Makes it a record of no positions.
pub(super) fn reset(record: &mut [f32]) {
    record.fill(0.0);
    *state_mut(record).1 = State { maximum: f32::NEG_INFINITY, sum: 0.0 }.into();
}

/// What a record says beside the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct State {
    /// The largest score.
    pub(super) maximum: f32,
    /// The sum of the weights.
    pub(super) sum: f32,
}

impl From<State> for [f32; 2] {
    fn from(state: State) -> Self {
        [state.maximum, state.sum]
    }
}

/// The values of a record and its state.
pub(super) fn state_mut(record: &mut [f32]) -> (&mut [f32], &mut [f32; 2]) {
    let (values, rest) = record.split_at_mut(record.len() - LINE);
    let (state, _) = rest.split_first_chunk_mut().expect("a record ends with a line");
    (values, state)
}

/// Adds the positions of another record, which come after those of the first.
pub(super) fn merge(total: &mut [f32], other: &[f32]) {
    let (values, rest) = other.split_at(other.len() - LINE);
    let other = State { maximum: rest[0], sum: rest[1] };
    if other.maximum == f32::NEG_INFINITY && other.sum == 0.0 {
        return;
    }
    let (totals, state) = state_mut(total);
    let [maximum, sum] = *state;
    let larger = if other.maximum > maximum { other.maximum } else { maximum };
    let (ours, theirs) = (exp::<Baseline>(maximum - larger), exp::<Baseline>(other.maximum - larger));
    for (total, value) in totals.iter_mut().zip(values) {
        *total = *total * ours + value * theirs;
    }
    *state = State { maximum: larger, sum: sum * ours + other.sum * theirs }.into();
}

/// The attention over all positions of a record.
pub(super) fn finish(record: &[f32], out: &mut [f32]) {
    let sum = record[record.len() - LINE + 1];
    out.iter_mut().zip(record).for_each(|(out, value)| *out = value / sum);
}
