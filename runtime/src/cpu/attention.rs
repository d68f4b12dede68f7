//! Twin of `attention.wgsl`: causal attention with grouped queries over the KV cache.

use super::{kv_cache::KvRows, pool::Pool, slots::Activations};

/// The shape of an attention block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) query: usize,
    /// Key and value heads; each serves `query / kv` query heads.
    pub(crate) kv: usize,
    /// Values of a head.
    pub(crate) dim: usize,
}

/// `output[t, h] = softmax(query[t, h] * keys^T / sqrt(dim)) * values` over the positions up to and
/// including that of token `t`, which is `position + t`.
pub(crate) fn attention(
    pool: &Pool,
    heads: Heads,
    query: &Activations,
    (keys, values): (&KvRows, &KvRows),
    position: usize,
    rows: usize,
    output: &mut Activations,
) {
    let columns = output.columns_mut(rows);
    pool.run(rows * heads.query, |task| {
        let (t, head) = (task / heads.query, task % heads.query);
        let range = head * heads.dim..(head + 1) * heads.dim;
        // SAFETY: no other task has this head of this token.
        let out = unsafe { columns.get(t, range.clone()) };
        let kv_head = head / (heads.query / heads.kv);
        attend(&query.row(t)[range], (keys, values), kv_head, position + t + 1, out);
    });
}

/// One query head over the first `positions` of its key and value head.
fn attend(
    query: &[f32],
    (keys, values): (&KvRows, &KvRows),
    kv_head: usize,
    positions: usize,
    out: &mut [f32],
) {
    let scale = 1.0 / (query.len() as f32).sqrt();
    let mut row = vec![0.0; query.len()];
    let mut weights: Vec<f32> = (0..positions)
        .map(|position| {
            keys.head(kv_head).load(position, &mut row);
            let dot: f32 = query.iter().zip(&row).map(|(q, k)| q * k).sum();
            dot * scale
        })
        .collect();
    softmax(&mut weights);
    out.fill(0.0);
    for (position, weight) in weights.iter().enumerate() {
        values.head(kv_head).load(position, &mut row);
        for (out, value) in out.iter_mut().zip(&row) {
            *out += weight * value;
        }
    }
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
    }
    let sum: f32 = scores.iter().sum();
    for score in scores.iter_mut() {
        *score /= sum;
    }
}
