//! Keys and values of the tokens so far, grown in blocks: memory follows the context in use.
//!
//! Within a block each head lies by itself, in the order in which attention consumes it: of the keys
//! one value of all positions, then the next (a query is multiplied with many positions at once), of
//! the values one position after the other. `store` is the twin of `store_kv.wgsl`.

use half::f16;

use super::{
    kv_format::KvFormat,
    simd::{Native, Simd},
    slots::Activations,
};

/// Positions of a block.
pub(crate) const BLOCK_POSITIONS: usize = 64;

/// What is cached, and with it the order within a head of a block.
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
    kind: KvKind,
    heads: usize,
    dim: usize,
    format: KvFormat,
    blocks: Vec<Block>,
}

/// The heads of [`BLOCK_POSITIONS`] positions.
#[derive(Debug)]
enum Block {
    F16(Box<[f16]>),
    F32(Box<[f32]>),
    Int8 {
        values: Box<[i8]>,
        /// `[head][position]`
        scales: Box<[f32]>,
    },
}

/// Where in a block the values of a head at a position are: at `first`, `first + step`, ...
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    step: usize,
}

impl KvRows {
    pub(crate) fn new(kind: KvKind, heads: usize, dim: usize, format: KvFormat) -> Self {
        Self { kind, heads, dim, format, blocks: Vec::new() }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_POSITIONS * self.heads * self.format.head_bytes(self.dim)
    }

    /// Makes room for positions `0..positions`.
    pub(crate) fn grow(&mut self, positions: usize) {
        let scales = BLOCK_POSITIONS * self.heads;
        let values = scales * self.dim;
        while self.blocks.len() * BLOCK_POSITIONS < positions {
            self.blocks.push(match self.format {
                KvFormat::F16 => Block::F16(vec![f16::ZERO; values].into()),
                KvFormat::F32 => Block::F32(vec![0.0; values].into()),
                KvFormat::Int8 => {
                    Block::Int8 { values: vec![0; values].into(), scales: vec![0.0; scales].into() }
                }
            });
        }
    }

    /// Writes the first rows of `source` to the positions from `first` on.
    pub(crate) fn store(&mut self, source: &Activations, first: usize, rows: usize) {
        let mut halves = vec![f16::ZERO; source.width];
        for row in 0..rows {
            let position = first + row;
            let values = source.row(row);
            // In one go, as half precision has instructions of its own.
            if self.format == KvFormat::F16 {
                Native::narrow(values, &mut halves);
            }
            for (head, (values, halves)) in values.chunks(self.dim).zip(halves.chunks(self.dim)).enumerate() {
                self.store_head(position, head, values, halves);
            }
        }
    }

    fn store_head(&mut self, position: usize, head: usize, source: &[f32], halves: &[f16]) {
        let place = self.place(position, head);
        match &mut self.blocks[position / BLOCK_POSITIONS] {
            Block::F16(values) => {
                let places = values[place.first..].iter_mut().step_by(place.step);
                places.zip(halves).for_each(|(place, &value)| *place = value);
            }
            Block::F32(values) => {
                let places = values[place.first..].iter_mut().step_by(place.step);
                places.zip(source).for_each(|(place, &value)| *place = value);
            }
            Block::Int8 { values, scales } => {
                let largest = source.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let scale = largest / f32::from(i8::MAX);
                scales[head * BLOCK_POSITIONS + position % BLOCK_POSITIONS] = scale;
                let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
                let places = values[place.first..].iter_mut().step_by(place.step);
                places.zip(source).for_each(|(place, value)| *place = (value * inverse).round() as i8);
            }
        }
    }

    fn place(&self, position: usize, head: usize) -> Place {
        let (head, position) = (head * self.dim * BLOCK_POSITIONS, position % BLOCK_POSITIONS);
        match self.kind {
            KvKind::Keys => Place { first: head + position, step: BLOCK_POSITIONS },
            KvKind::Values => Place { first: head + position * self.dim, step: 1 },
        }
    }

    /// Reads a head of a position.
    pub(crate) fn load(&self, position: usize, head: usize, out: &mut [f32]) {
        let Place { first, step } = self.place(position, head);
        let places = (first..).step_by(step);
        match &self.blocks[position / BLOCK_POSITIONS] {
            Block::F16(values) => out.iter_mut().zip(places).for_each(|(out, i)| *out = values[i].to_f32()),
            Block::F32(values) => out.iter_mut().zip(places).for_each(|(out, i)| *out = values[i]),
            Block::Int8 { values, scales } => {
                let scale = scales[head * BLOCK_POSITIONS + position % BLOCK_POSITIONS];
                out.iter_mut().zip(places).for_each(|(out, i)| *out = f32::from(values[i]) * scale);
            }
        }
    }

    /// Reads a head of a whole block, in the order of the block; of values only the first
    /// `positions`, each padded with zeros to `out.len() / BLOCK_POSITIONS`.
    #[inline(always)]
    pub(crate) fn load_block<S: Simd>(&self, block: usize, head: usize, positions: usize, out: &mut [f32]) {
        let values = self.dim * BLOCK_POSITIONS;
        let range = head * values..(head + 1) * values;
        let (from, to) = match self.kind {
            KvKind::Keys => (BLOCK_POSITIONS, BLOCK_POSITIONS),
            KvKind::Values => (self.dim, out.len() / BLOCK_POSITIONS),
        };
        let rows = if self.kind == KvKind::Keys { self.dim } else { positions };
        match &self.blocks[block] {
            Block::F16(values) if from == to => {
                S::widen(&values[range][..rows * from], &mut out[..rows * to]);
            }
            Block::F16(values) => {
                for (row, out) in values[range].chunks(from).zip(out.chunks_mut(to)).take(rows) {
                    S::widen(row, &mut out[..from]);
                    out[from..].fill(0.0);
                }
            }
            Block::F32(values) => {
                for (row, out) in values[range].chunks(from).zip(out.chunks_mut(to)).take(rows) {
                    out[..from].copy_from_slice(row);
                    out[from..].fill(0.0);
                }
            }
            Block::Int8 { values, scales } => {
                let scales = &scales[head * BLOCK_POSITIONS..][..BLOCK_POSITIONS];
                let rows = values[range].chunks(from).zip(out.chunks_mut(to)).take(rows);
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
