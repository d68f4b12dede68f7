//! Keys and values of the tokens so far, grown in blocks: memory follows the context in use.
//!
//! `store` is the twin of `store_kv.wgsl`.

use half::{f16, slice::HalfFloatSliceExt};

use super::slots::Activations;

/// Positions of a block.
const BLOCK_POSITIONS: usize = 64;

/// The number format of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// Half precision, as on the GPU.
    #[default]
    F16,
    /// Single precision, for comparison with a reference.
    F32,
}

/// The rows of one layer, keys or values: `[positions, kv_width]` in blocks.
#[derive(Debug)]
pub(crate) struct KvRows {
    width: usize,
    format: KvFormat,
    blocks: Vec<Block>,
}

#[derive(Debug)]
enum Block {
    F16(Box<[f16]>),
    F32(Box<[f32]>),
}

impl KvRows {
    pub(crate) fn new(width: usize, format: KvFormat) -> Self {
        Self { width, format, blocks: Vec::new() }
    }

    /// Makes room for positions `0..positions`.
    pub(crate) fn grow(&mut self, positions: usize) {
        let values = BLOCK_POSITIONS * self.width;
        while self.blocks.len() * BLOCK_POSITIONS < positions {
            self.blocks.push(match self.format {
                KvFormat::F16 => Block::F16(vec![f16::ZERO; values].into()),
                KvFormat::F32 => Block::F32(vec![0.0; values].into()),
            });
        }
    }

    /// Writes the first rows of `source` to the positions from `first` on.
    pub(crate) fn store(&mut self, source: &Activations, first: usize, rows: usize) {
        for row in 0..rows {
            let position = first + row;
            let begin = position % BLOCK_POSITIONS * self.width;
            match &mut self.blocks[position / BLOCK_POSITIONS] {
                Block::F16(values) => values[begin..][..self.width].convert_from_f32_slice(source.row(row)),
                Block::F32(values) => values[begin..][..self.width].copy_from_slice(source.row(row)),
            }
        }
    }

    /// Reads values `first..first + out.len()` of a position.
    pub(crate) fn load(&self, position: usize, first: usize, out: &mut [f32]) {
        let begin = position % BLOCK_POSITIONS * self.width + first;
        match &self.blocks[position / BLOCK_POSITIONS] {
            Block::F16(values) => values[begin..][..out.len()].convert_to_f32_slice(out),
            Block::F32(values) => out.copy_from_slice(&values[begin..][..out.len()]),
        }
    }
}
