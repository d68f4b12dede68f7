//! Causal attention with rotary positions and shared key heads.

use std::sync::Arc;

use super::{
    Kernel, exp,
    matrix::{Store, View, multiply},
    vector::{maximum, sum, sum_pairs, vectorized},
};

/// Queries that are computed at a time: keys beyond the last of them are not looked at.
const BLOCK: usize = 64;

/// Causal attention of queries, `[batch * length, heads * head_dim]`, to keys and values,
/// `[batch * length, kv_heads * head_dim]`; queries and keys are rotated by their positions first.
///
/// Only the scores of a block of queries of one head exist at a time. The backward pass computes them
/// again from the queries, the keys and the normaliser of each row.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Positions of a window.
    pub length: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// `cos` and `sin` of the rotary angles, `[length, head_dim / 2]`.
    pub angles: Arc<[[f32; 2]]>,
}

/// A direction of rotation.
#[derive(Clone, Copy)]
enum Turn {
    Forward,
    Back,
}

impl Kernel<3> for Attention {
    /// The normaliser of the scores of every query, `[batch, heads, length]`.
    type Saved = Vec<f32>;

    fn forward(&self, [query, key, value]: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        let (d, stride) = (self.head_dim, self.heads * self.head_dim);
        let mut output = vec![0.0; query.len()];
        let mut normalizers = vec![0.0; query.len() / d];
        let mut scratch = Scratch::new(self);
        for ((head, kv), normalizers) in
            self.heads(query.len()).zip(normalizers.chunks_exact_mut(self.length))
        {
            let value = self.kv_view(value, kv);
            self.load(&mut scratch, &query[head..], &key[kv..]);
            for start in (0..self.length).step_by(BLOCK) {
                let (end, shares) = scratch.scores(self, start);
                let normalizers = &mut normalizers[start..end];
                vectorized(|| {
                    for (index, (row, normalizer)) in
                        shares.chunks_exact_mut(end).zip(normalizers).enumerate()
                    {
                        *normalizer = softmax(row, start + index + 1);
                    }
                });
                let shares = View::new(shares, end - start, end, end);
                let output = &mut output[head + start * stride..];
                multiply(output, stride, Store::Replace, shares, value.top(end));
            }
        }
        (output, normalizers)
    }

    fn backward(
        &self,
        [query, key, value]: [&[f32]; 3],
        normalizers: &Vec<f32>,
        gradient: &[f32],
    ) -> [Vec<f32>; 3] {
        let stride = self.heads * self.head_dim;
        let mut results = [query, key, value].map(|input| vec![0.0; input.len()]);
        let mut scratch = Scratch::new(self);
        for ((head, kv), normalizers) in self.heads(query.len()).zip(normalizers.chunks_exact(self.length)) {
            let value = self.kv_view(value, kv);
            self.load(&mut scratch, &query[head..], &key[kv..]);
            let gradient = View::new(&gradient[head..], self.length, self.head_dim, stride);
            for start in (0..self.length).step_by(BLOCK) {
                self.backward_block(&mut scratch, start, normalizers, value, gradient, &mut results[2][kv..]);
            }
            self.turn(&mut scratch.of_query, Turn::Back);
            self.turn(&mut scratch.of_key, Turn::Back);
            self.add(&mut results[0][head..], self.heads, &scratch.of_query);
            self.add(&mut results[1][kv..], self.kv_heads, &scratch.of_key);
        }
        results
    }
}

impl Attention {
    /// Where each head begins among the queries, and its keys among the keys, window by window.
    fn heads(&self, queries: usize) -> impl Iterator<Item = (usize, usize)> {
        let (d, length, heads, kv_heads) = (self.head_dim, self.length, self.heads, self.kv_heads);
        (0..queries / (length * heads * d)).flat_map(move |window| {
            (0..heads).map(move |head| {
                let kv = head / (heads / kv_heads);
                ((window * length * heads + head) * d, (window * length * kv_heads + kv) * d)
            })
        })
    }

    fn kv_view<'a>(&self, values: &'a [f32], start: usize) -> View<'a> {
        View::new(&values[start..], self.length, self.head_dim, self.kv_heads * self.head_dim)
    }

    /// Copies and rotates a head of queries, scaled, and its keys; clears their gradients.
    fn load(&self, scratch: &mut Scratch, query: &[f32], key: &[f32]) {
        let d = self.head_dim;
        let copy = |to: &mut [f32], from: &[f32], heads: usize| {
            for (to, from) in to.chunks_exact_mut(d).zip(from.chunks(heads * d)) {
                to.copy_from_slice(&from[..d]);
            }
        };
        copy(&mut scratch.query, query, self.heads);
        copy(&mut scratch.key, key, self.kv_heads);
        self.turn(&mut scratch.query, Turn::Forward);
        self.turn(&mut scratch.key, Turn::Forward);
        let scale = self.scale();
        scratch.query.iter_mut().for_each(|x| *x *= scale);
        scratch.of_key.fill(0.0);
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }

    /// Rotates the rows of a head by their positions.
    fn turn(&self, head: &mut [f32], turn: Turn) {
        let half = self.head_dim / 2;
        for (row, angles) in head.chunks_exact_mut(self.head_dim).zip(self.angles.chunks_exact(half)) {
            let (first, second) = row.split_at_mut(half);
            for ((a, b), &[cos, sin]) in first.iter_mut().zip(second).zip(angles) {
                let sin = match turn {
                    Turn::Forward => sin,
                    Turn::Back => -sin,
                };
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }

    /// Adds a head to its place among all.
    fn add(&self, to: &mut [f32], heads: usize, head: &[f32]) {
        for (to, from) in to.chunks_mut(heads * self.head_dim).zip(head.chunks_exact(self.head_dim)) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
        }
    }

    /// The gradients of a block of queries and of what they look at.
    fn backward_block(
        &self,
        scratch: &mut Scratch,
        start: usize,
        normalizers: &[f32],
        value: View<'_>,
        gradient: View<'_>,
        of_value: &mut [f32],
    ) {
        let (d, scale) = (self.head_dim, self.scale());
        let (end, _) = scratch.scores(self, start);
        let Scratch { query, key, of_query, of_key, scores, of_scores } = scratch;
        let gradient = gradient.rows(start, end);
        multiply(of_scores, end, Store::Replace, gradient, value.top(end).transposed());
        vectorized(|| {
            let rows = scores.chunks_exact_mut(end).zip(of_scores.chunks_exact_mut(end));
            for (index, ((shares, of_scores), &normalizer)) in rows.zip(&normalizers[start..end]).enumerate()
            {
                softmax_gradient(shares, of_scores, start + index + 1, normalizer);
            }
        });
        let shares = View::new(scores, end - start, end, end);
        let of_scores = View::new(of_scores, end - start, end, end);
        multiply(of_value, self.kv_heads * d, Store::Add, shares.transposed(), gradient);
        // The queries are scaled already, their gradient is not yet.
        multiply(
            of_key,
            d,
            Store::Add,
            of_scores.transposed(),
            View::new(query, self.length, d, d).rows(start, end),
        );
        let of_query = &mut of_query[start * d..end * d];
        multiply(of_query, d, Store::Replace, of_scores, View::new(key, self.length, d, d).top(end));
        of_query.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Memory for one head.
struct Scratch {
    query: Vec<f32>,
    key: Vec<f32>,
    of_query: Vec<f32>,
    of_key: Vec<f32>,
    /// Of a block of queries; soon turned into shares.
    scores: Vec<f32>,
    of_scores: Vec<f32>,
}

impl Scratch {
    fn new(attention: &Attention) -> Self {
        let head = || vec![0.0; attention.length * attention.head_dim];
        let block = || vec![0.0; attention.length * BLOCK.min(attention.length)];
        Self {
            query: head(),
            key: head(),
            of_query: head(),
            of_key: head(),
            scores: block(),
            of_scores: block(),
        }
    }

    /// The scores of the queries from `start` on with all keys up to the last of them: the end of the
    /// block, which is the length of a row as well, and the rows.
    fn scores(&mut self, attention: &Attention, start: usize) -> (usize, &mut [f32]) {
        let (length, d) = (attention.length, attention.head_dim);
        let end = length.min(start + BLOCK);
        let query = View::new(&self.query, length, d, d).rows(start, end);
        let key = View::new(&self.key, length, d, d).top(end);
        multiply(&mut self.scores, end, Store::Replace, query, key.transposed());
        (end, &mut self.scores[..(end - start) * end])
    }
}

/// Turns the scores of the first `visible` keys into shares, clears the others, and returns the
/// normaliser: the logarithm of the sum of the exponentials.
#[inline(always)]
fn softmax(row: &mut [f32], visible: usize) -> f32 {
    let (row, future) = row.split_at_mut(visible);
    let highest = maximum(row);
    row.iter_mut().for_each(|score| *score = exp(*score - highest));
    let sum = sum(row, |share| share);
    let factor = sum.recip();
    row.iter_mut().for_each(|share| *share *= factor);
    future.fill(0.0);
    highest + sum.ln()
}

/// Turns scores into shares and the gradient of the shares into that of the scores.
#[inline(always)]
fn softmax_gradient(scores: &mut [f32], gradient: &mut [f32], visible: usize, normalizer: f32) {
    let (shares, hidden) = scores.split_at_mut(visible);
    let (gradient, of_hidden) = gradient.split_at_mut(visible);
    shares.iter_mut().for_each(|score| *score = exp(*score - normalizer));
    let mean = sum_pairs(shares, gradient, |share, gradient| share * gradient);
    gradient.iter_mut().zip(&*shares).for_each(|(gradient, share)| *gradient = share * (*gradient - mean));
    hidden.fill(0.0);
    of_hidden.fill(0.0);
}
