//! Keys and values of the tokens so far, grown in blocks: memory follows the context in use.
//!
//! Each head has blocks of its own, in the order in which attention consumes them: of the keys one
//! value of all positions, then the next (a query is multiplied with many positions at once), of the
//! values one position after the other. `KvRows::store` is the twin of `store_kv.wgsl`.

use half::f16;

use super::{
    kv_format::KvFormat,
    simd::{Native, Simd},
    slots::Activations,
};

/// Positions of a block.
pub(crate) const BLOCK_POSITIONS: usize = 64;

/// What is cached, and with it the order within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvKind {
    /// `[dim][position]`
    Keys,
    /// `[position][dim]`
    Values,
}

/// The keys or the values of one layer.
#[derive(Debug)]
pub(crate) struct KvRows {
    dim: usize,
    heads: Vec<KvHead>,
}

impl KvRows {
    pub(crate) fn new(kind: KvKind, heads: usize, dim: usize, format: KvFormat) -> Self {
        let head = || KvHead { kind, dim, format, blocks: Vec::new() };
        Self { dim, heads: (0..heads).map(|_| head()).collect() }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.heads.iter().map(KvHead::bytes).sum()
    }

    /// Makes room for positions `0..positions`.
    pub(crate) fn grow(&mut self, positions: usize) {
        self.heads.iter_mut().for_each(|head| head.grow(positions));
    }

    /// Writes the first rows of `source` to the positions from `first` on.
    pub(crate) fn store(&mut self, source: &Activations, first: usize, rows: usize) {
        for row in 0..rows {
            for (head, values) in self.heads.iter_mut().zip(source.row(row).chunks(self.dim)) {
                head.store(first + row, values);
            }
        }
    }

    pub(crate) fn head(&self, head: usize) -> &KvHead {
        &self.heads[head]
    }

    pub(crate) fn heads_mut(&mut self) -> &mut [KvHead] {
        &mut self.heads
    }
}

/// The keys or the values of one head of a layer.
#[derive(Debug)]
pub(crate) struct KvHead {
    kind: KvKind,
    dim: usize,
    format: KvFormat,
    blocks: Vec<Block>,
}

/// [`BLOCK_POSITIONS`] positions of a head.
#[derive(Debug)]
enum Block {
    F16(Box<[f16]>),
    F32(Box<[f32]>),
    Int8 {
        values: Box<[i8]>,
        /// That of each position.
        scales: Box<[f32]>,
    },
}

impl Block {
    fn new(format: KvFormat, dim: usize) -> Self {
        let values = BLOCK_POSITIONS * dim;
        match format {
            KvFormat::F16 => Self::F16(vec![f16::ZERO; values].into()),
            KvFormat::F32 => Self::F32(vec![0.0; values].into()),
            KvFormat::Int8 => {
                Self::Int8 { values: vec![0; values].into(), scales: vec![0.0; BLOCK_POSITIONS].into() }
            }
        }
    }
}

impl KvHead {
    fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_POSITIONS * self.format.head_bytes(self.dim)
    }

    fn grow(&mut self, positions: usize) {
        while self.blocks.len() * BLOCK_POSITIONS < positions {
            self.blocks.push(Block::new(self.format, self.dim));
        }
    }

    /// Writes a position.
    pub(crate) fn store(&mut self, position: usize, source: &[f32]) {
        let (first, step) = self.place(position);
        match &mut self.blocks[position / BLOCK_POSITIONS] {
            Block::F16(values) => {
                let mut places = values[first..].iter_mut().step_by(step);
                // Several at once, as half precision has instructions of its own.
                let mut halves = [f16::ZERO; 64];
                for source in source.chunks(halves.len()) {
                    let halves = &mut halves[..source.len()];
                    Native::narrow(source, halves);
                    halves.iter().zip(&mut places).for_each(|(&value, place)| *place = value);
                }
            }
            Block::F32(values) => {
                let places = values[first..].iter_mut().step_by(step);
                places.zip(source).for_each(|(place, &value)| *place = value);
            }
            Block::Int8 { values, scales } => {
                let largest = source.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let scale = largest / f32::from(i8::MAX);
                scales[position % BLOCK_POSITIONS] = scale;
                let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
                let places = values[first..].iter_mut().step_by(step);
                places.zip(source).for_each(|(place, value)| *place = (value * inverse).round() as i8);
            }
        }
    }

    /// Where in its block the values of a position are: the first, and the step to the next.
    fn place(&self, position: usize) -> (usize, usize) {
        let position = position % BLOCK_POSITIONS;
        match self.kind {
            KvKind::Keys => (position, BLOCK_POSITIONS),
            KvKind::Values => (position * self.dim, 1),
        }
    }

    /// Reads a position.
    pub(crate) fn load(&self, position: usize, out: &mut [f32]) {
        let (first, step) = self.place(position);
        let places = (first..).step_by(step);
        match &self.blocks[position / BLOCK_POSITIONS] {
            Block::F16(values) => out.iter_mut().zip(places).for_each(|(out, i)| *out = values[i].to_f32()),
            Block::F32(values) => out.iter_mut().zip(places).for_each(|(out, i)| *out = values[i]),
            Block::Int8 { values, scales } => {
                let scale = scales[position % BLOCK_POSITIONS];
                out.iter_mut().zip(places).for_each(|(out, i)| *out = f32::from(values[i]) * scale);
            }
        }
    }

    /// Reads a whole block, in its order; of values only the first `positions`, each padded with
    /// zeros to `out.len() / BLOCK_POSITIONS`.
    #[inline(always)]
    pub(crate) fn load_block<S: Simd>(&self, block: usize, positions: usize, out: &mut [f32]) {
        let (from, to) = match self.kind {
            KvKind::Keys => (BLOCK_POSITIONS, BLOCK_POSITIONS),
            KvKind::Values => (self.dim, out.len() / BLOCK_POSITIONS),
        };
        let rows = if self.kind == KvKind::Keys { self.dim } else { positions };
        match &self.blocks[block] {
            Block::F16(values) if from == to => {
                S::widen(&values[..rows * from], &mut out[..rows * to]);
            }
            Block::F16(values) => {
                for (row, out) in values.chunks(from).zip(out.chunks_mut(to)).take(rows) {
                    S::widen(row, &mut out[..from]);
                    out[from..].fill(0.0);
                }
            }
            Block::F32(values) => {
                for (row, out) in values.chunks(from).zip(out.chunks_mut(to)).take(rows) {
                    out[..from].copy_from_slice(row);
                    out[from..].fill(0.0);
                }
            }
            Block::Int8 { values, scales } => {
                let rows = values.chunks(from).zip(out.chunks_mut(to)).take(rows);
                // Loops, not closures, so that they are compiled for the processor of the caller.
                for (index, (row, out)) in rows.enumerate() {
                    match self.kind {
                        KvKind::Keys => scale_each(row, scales, out),
                        KvKind::Values => scale_all(row, scales[index], out),
                    }
                }
            }
        }
    }
}

/// One value of several positions.
#[inline(always)]
fn scale_each(values: &[i8], scales: &[f32], out: &mut [f32]) {
    for ((out, &value), scale) in out.iter_mut().zip(values).zip(scales) {
        *out = f32::from(value) * scale;
    }
}

/// The values of one position; the rest of `out` is padding.
#[inline(always)]
fn scale_all(values: &[i8], scale: f32, out: &mut [f32]) {
    let (out, padding) = out.split_at_mut(values.len());
    for (out, &value) in out.iter_mut().zip(values) {
        *out = f32::from(value) * scale;
    }
    padding.fill(0.0);
}
