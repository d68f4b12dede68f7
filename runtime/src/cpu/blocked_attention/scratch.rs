//! Buffers of one thread, kept between tasks.

use std::cell::RefCell;

use super::{Part, Work, record};
use crate::cpu::kv_cache::BLOCK_POSITIONS;

/// Values of a cache line: rows start at multiples of it.
pub(super) const LINE: usize = 16;

/// What a task works with; all but the queries is written before it is read.
pub(super) struct Scratch<'a> {
    /// `[rows][padded_dim]`, divided by the square root of the dimension.
    pub(super) queries: &'a mut [f32],
    /// `[dim][BLOCK_POSITIONS]`
    pub(super) keys: &'a mut [f32],
    /// `[BLOCK_POSITIONS][padded_dim]`
    pub(super) values: &'a mut [f32],
    /// `[rows][BLOCK_POSITIONS]`
    pub(super) scores: &'a mut [f32],
    /// A record of each row, of one span.
    pub(super) records: &'a mut [f32],
    /// A record of each row, of all spans so far.
    pub(super) totals: &'a mut [f32],
}

thread_local! {
    static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `task` with the queries of a part in place and empty totals.
pub(super) fn with_scratch(work: &Work<'_>, part: &Part, task: impl FnOnce(&mut Scratch<'_>)) {
    let rows = part.tokens.len() * work.group();
    let (padded, record) = (work.padded_dim(), work.record());
    let lengths = [
        rows * padded,
        work.heads.dim * BLOCK_POSITIONS,
        BLOCK_POSITIONS * padded,
        rows * BLOCK_POSITIONS,
        rows * record,
        rows * record,
    ];
    BUFFER.with_borrow_mut(|buffer| {
        let length = lengths.iter().sum::<usize>();
        if buffer.len() < length + LINE {
            buffer.resize(length + LINE, 0.0);
        }
        let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        let mut rest = &mut buffer[start..];
        let [queries, keys, values, scores, records, totals] = lengths.map(|length| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            part
        });
        let mut scratch = Scratch { queries, keys, values, scores, records, totals };
        load_queries(work, part, scratch.queries);
        scratch.totals.chunks_mut(record).for_each(record::reset);
        task(&mut scratch);
    });
}

fn load_queries(work: &Work<'_>, part: &Part, queries: &mut [f32]) {
    let dim = work.heads.dim;
    let scale = 1.0 / (dim as f32).sqrt();
    for ((token, head), row) in part.rows(work).zip(queries.chunks_mut(work.padded_dim())) {
        let query = &work.query.row(token)[head * dim..][..dim];
        row.iter_mut().zip(query).for_each(|(scaled, value)| *scaled = value * scale);
    }
}
