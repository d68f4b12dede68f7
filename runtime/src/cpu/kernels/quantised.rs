//! Activations in 8 bits: one scale and one sum for every group of 64.
//!
//! ```text
//! scale = max |x| / 127
//! code  = x / scale, rounded to the nearest whole number, ties to even     -127..=127
//! sum   = the codes of the group, added up
//! ```
//!
//! A group that holds NaN or infinity gets NaN for its scale, so what is computed from it is NaN. A
//! group below 2^-100 counts as zeros.

use std::ops::Range;

use sefp::GROUP_SIZE;

use crate::cpu::{pool::Pool, slots::Activations};

/// Bits of the `f32` from which on a group is not zeros: 2^-100.
const SMALLEST: u32 = 27 << 23;
/// Bits of infinity: NaN lies above.
const INFINITY: u32 = 0xff << 23;

/// Rows of activations in 8 bits. Groups come first, so that what a tile is multiplied with lies
/// together.
#[derive(Debug, Default)]
pub(crate) struct Quantised {
    pub(super) tokens: usize,
    groups: usize,
    /// `[groups, tokens, 64]`
    pub(super) codes: Vec<i8>,
    /// `[groups, tokens]`
    pub(super) scales: Vec<f32>,
    /// `[groups, tokens]`, whole numbers.
    pub(super) sums: Vec<f32>,
}

impl Quantised {
    /// Quantises some rows.
    pub(crate) fn new(pool: &Pool, input: &Activations, rows: Range<usize>) -> Self {
        let mut quantised = Self::default();
        quantised.fill(pool, input, rows);
        quantised
    }

    /// Quantises some rows in place of what was here.
    pub(crate) fn fill(&mut self, pool: &Pool, input: &Activations, rows: Range<usize>) {
        self.resize(rows.len(), input.stride / GROUP_SIZE);
        let first = rows.start;
        let writer = self.writer();
        let quantise = |token: usize| {
            let row = &input.values[(first + token) * input.stride..][..input.stride];
            // SAFETY: no other task has this token.
            unsafe { writer.row(token, row) };
        };
        match rows.len() {
            1 => quantise(0),
            tokens => pool.run(tokens, quantise),
        }
    }

    /// Makes room for rows that a [`writer`](Self::writer) is to fill.
    pub(crate) fn resize(&mut self, tokens: usize, groups: usize) {
        (self.tokens, self.groups) = (tokens, groups);
        self.codes.resize(groups * tokens * GROUP_SIZE, 0);
        self.scales.resize(groups * tokens, 0.0);
        self.sums.resize(groups * tokens, 0.0);
    }

    /// The rows, to be written by several threads.
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        Writer {
            codes: self.codes.as_mut_ptr().cast(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            tokens: self.tokens,
            groups: self.groups,
            borrow: std::marker::PhantomData,
        }
    }

    /// Groups of a row.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }
}

/// Rows of which several threads write one each.
pub(crate) struct Writer<'a> {
    codes: *mut [i8; GROUP_SIZE],
    scales: *mut f32,
    sums: *mut f32,
    tokens: usize,
    groups: usize,
    borrow: std::marker::PhantomData<&'a mut Quantised>,
}

// SAFETY: it is a mutable borrow of the rows, which whoever calls `row` divides among threads.
unsafe impl Sync for Writer<'_> {}

impl Writer<'_> {
    /// Quantises a row, padding included.
    ///
    /// # Safety
    /// No other thread may write this row at the same time.
    pub(crate) unsafe fn row(&self, token: usize, values: &[f32]) {
        let (groups, rest) = values.as_chunks::<GROUP_SIZE>();
        assert!(token < self.tokens && groups.len() == self.groups && rest.is_empty());
        for (group, values) in groups.iter().enumerate() {
            let index = group * self.tokens + token;
            // SAFETY: inside of the borrowed rows, by the assertion; the caller shares none of this.
            unsafe {
                let (scale, sum) = quantise_group(values, &mut *self.codes.add(index));
                *self.scales.add(index) = scale;
                *self.sums.add(index) = sum;
            }
        }
    }
}

/// Writes the codes of a group and returns its scale and the sum of its codes.
fn quantise_group(values: &[f32; GROUP_SIZE], codes: &mut [i8; GROUP_SIZE]) -> (f32, f32) {
    // As whole numbers, the bits of magnitudes are in the order of the magnitudes, with NaN on top.
    let max = values.iter().fold(0, |max, value| (value.to_bits() & !(1 << 31)).max(max));
    if !(SMALLEST..INFINITY).contains(&max) {
        codes.fill(0);
        return (if max < SMALLEST { 0.0 } else { f32::NAN }, 0.0);
    }
    let max = f32::from_bits(max);
    let inverse = 127.0 / max;
    let mut sum = 0;
    for (code, value) in codes.iter_mut().zip(values) {
        // At this size, the last bit of an `f32` counts ones: the addition rounds.
        const ROUND: f32 = (3 << 22) as f32;
        let rounded = (value * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32;
        *code = rounded as i8;
        sum += rounded;
    }
    (max / 127.0, sum as f32)
}
