//! The parameters of a dispatch: the `Params` structure of each shader as 32-bit words.

use bytemuck::cast_slice;
use sefp::{Precision, Reconstruction};

use super::weights::Chunk;

/// Room for the largest `Params`.
pub(super) const PARAMS_BYTES: usize = 64;

/// The words of a `Params`, in the order of its fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Params {
    words: [u32; PARAMS_BYTES / 4],
    len: usize,
}

impl Params {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Appends a `u32`. Everything that is passed is a shape, checked when the model was opened.
    pub(super) fn u32(mut self, value: usize) -> Self {
        self.words[self.len] = value as u32;
        self.len += 1;
        self
    }

    /// Appends an `f32`.
    pub(super) fn f32(self, value: f32) -> Self {
        self.u32(value.to_bits() as usize)
    }

    /// Appends a `Chunk` of `tiles.wgsl`: eight words.
    pub(super) fn chunk(self, chunk: &Chunk, precision: Precision, reconstruction: Reconstruction) -> Self {
        // 2^(7 - m): what a unit of the last bit read is to the bytes of `sefp.wgsl`.
        let unit = 128.0 / f32::from(1_u16 << precision.mantissa_bits());
        let (half_unit, negative) = match reconstruction {
            Reconstruction::Midpoint => (unit / 2.0, 0),
            Reconstruction::Truncate => (0.0, 0x0101_0101),
        };
        self.u32(chunk.rows)
            .u32(chunk.first_row)
            .u32(chunk.tile_cols)
            .u32(chunk.scales_vector())
            .u32(precision.mantissa_bits() as usize)
            .f32(unit)
            .f32(half_unit)
            .u32(negative)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        cast_slice(&self.words)
    }
}
