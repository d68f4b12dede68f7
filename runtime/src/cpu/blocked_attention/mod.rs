//! The fast way to compute what `attention.rs` does: block by block over the cache, with the running
//! maximum and sum of FlashAttention (Dao et al., arXiv 2205.14135).
//!
//! - The query heads that share a key and value head are rows of one small matrix, with those of the
//!   tokens beside: a block of the cache is converted to f32 once for all of them.
//! - The context is cut into spans of [`SPAN_POSITIONS`], each reduced by itself and then merged in
//!   order. One task may walk all spans, or each may be a task: the numbers are the same.
//! - What is computed for one head of one token depends on its position and on the cache alone, not on
//!   the rows beside it: neither threads nor batches change a result.

mod record;
mod scratch;
mod span;

#[cfg(test)]
mod tests;

use std::ops::Range;

use self::{
    record::{finish, merge},
    scratch::{LINE, with_scratch},
    span::reduce_span,
};
use super::{
    attention::Heads,
    kv_cache::{BLOCK_POSITIONS, KvRows},
    pool::Pool,
    slots::{Activations, Columns},
};

/// Positions that are reduced one after the other; whole blocks of the cache.
const SPAN_POSITIONS: usize = 8 * BLOCK_POSITIONS;
/// Rows of queries that are worked on at once, unless one token has more heads.
const MAX_ROWS: usize = 64;

/// [`attention`](super::attention::attention) with sums in another order.
pub(crate) fn blocked_attention(
    pool: &Pool,
    heads: Heads,
    query: &Activations,
    (keys, values): (&KvRows, &KvRows),
    position: usize,
    rows: usize,
    output: &mut Activations,
) {
    let work = Work { heads, query, keys, values, position };
    let output = output.columns_mut(rows);
    let blocks = TokenBlocks { rows, size: (MAX_ROWS / work.group()).max(1) };
    let spans = (position + rows).div_ceil(SPAN_POSITIONS);
    // Few tasks for the threads, as when one token is decoded: the spans become tasks too.
    match spans > 1 && blocks.count() * heads.kv < 4 * pool.threads() {
        false => walk_spans(pool, &work, blocks, &output),
        true => split_spans(pool, &work, blocks, spans, &output),
    }
}

/// What attention is computed from.
#[derive(Clone, Copy)]
struct Work<'a> {
    heads: Heads,
    query: &'a Activations,
    keys: &'a KvRows,
    values: &'a KvRows,
    /// That of the first row of queries.
    position: usize,
}

impl Work<'_> {
    /// Query heads that share a key and value head.
    fn group(&self) -> usize {
        self.heads.query / self.heads.kv
    }

    /// Values of a head with padding.
    fn padded_dim(&self) -> usize {
        self.heads.dim.next_multiple_of(LINE)
    }

    /// Values of a [record](record).
    fn record(&self) -> usize {
        self.padded_dim() + LINE
    }
}

/// Some of the tokens, and a key and value head: what one task has.
#[derive(Clone)]
struct Part {
    kv_head: usize,
    tokens: Range<usize>,
}

impl Part {
    /// Each row of the part: its token and its query head.
    fn rows(&self, work: &Work<'_>) -> impl Iterator<Item = (usize, usize)> + use<> {
        let group = work.group();
        let query_heads = self.kv_head * group..(self.kv_head + 1) * group;
        self.tokens.clone().flat_map(move |token| query_heads.clone().map(move |head| (token, head)))
    }
}

/// The tokens of a batch, cut into blocks.
#[derive(Clone, Copy)]
struct TokenBlocks {
    rows: usize,
    size: usize,
}

impl TokenBlocks {
    fn count(self) -> usize {
        self.rows.div_ceil(self.size)
    }

    /// The part of a task. Late tokens, which see most positions, come first.
    fn part(self, task: usize) -> Part {
        let (kv_head, block) = (task / self.count(), self.count() - 1 - task % self.count());
        Part { kv_head, tokens: block * self.size..self.rows.min((block + 1) * self.size) }
    }
}

/// One task for a head and a block of tokens.
fn walk_spans(pool: &Pool, work: &Work<'_>, blocks: TokenBlocks, output: &Columns<'_>) {
    pool.run(blocks.count() * work.heads.kv, |task| {
        let part = blocks.part(task);
        with_scratch(work, &part, |scratch| {
            for span in 0..(work.position + part.tokens.end).div_ceil(SPAN_POSITIONS) {
                reduce_span(work, &part, span, scratch);
                let records =
                    scratch.totals.chunks_mut(work.record()).zip(scratch.records.chunks(work.record()));
                records.for_each(|(total, record)| merge(total, record));
            }
            for ((token, head), total) in part.rows(work).zip(scratch.totals.chunks(work.record())) {
                let dim = work.heads.dim;
                // SAFETY: no other task has this head of this token.
                finish(total, unsafe { output.get(token, head * dim..(head + 1) * dim) });
            }
        });
    });
}

/// One task for a head, a block of tokens and a span; then the spans are merged.
fn split_spans(pool: &Pool, work: &Work<'_>, blocks: TokenBlocks, spans: usize, output: &Columns<'_>) {
    let mut records = Activations::new(work.heads.query * work.record());
    records.grow(spans * blocks.rows);
    let place = |head: usize| head * work.record()..(head + 1) * work.record();
    let columns = records.columns_mut(spans * blocks.rows);
    pool.run(blocks.count() * work.heads.kv * spans, |task| {
        let (part, span) = (blocks.part(task / spans), task % spans);
        with_scratch(work, &part, |scratch| {
            reduce_span(work, &part, span, scratch);
            for ((token, head), record) in part.rows(work).zip(scratch.records.chunks(work.record())) {
                // SAFETY: no other task has this head of this token in this span.
                unsafe { columns.get(span * blocks.rows + token, place(head)) }.copy_from_slice(record);
            }
        });
    });
    pool.run(blocks.rows * work.heads.query, |task| {
        let (token, head) = (task / work.heads.query, task % work.heads.query);
        let mut total = record::empty(work.record());
        for span in 0..spans {
            merge(&mut total, &records.row(span * blocks.rows + token)[place(head)]);
        }
        let dim = work.heads.dim;
        // SAFETY: no other task has this head of this token.
        finish(&total, unsafe { output.get(token, head * dim..(head + 1) * dim) });
    });
}
