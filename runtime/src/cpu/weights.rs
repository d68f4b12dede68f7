//! The weights as the CPU kernels see them: tiles, decoded one at a time.

use std::{collections::HashMap, sync::Arc};

use sefp::{GROUP_SIZE, LANE_ROWS, Precision, Reconstruction, Tile, TileGrid, TileView};

use crate::{
    Architecture, Checkpoint, Error, ErrorKind, MatrixPrecisions, Norm, Result, WeightMatrix,
    checkpoint::WeightSource, profile::norm_bytes,
};

/// Where a CPU backend has its weights.
#[derive(Debug)]
pub(crate) enum Weights {
    /// Planes of a checkpoint, straight from the memory map.
    Packed { checkpoint: Arc<Checkpoint>, reconstruction: Reconstruction },
    /// Unquantised weights in memory.
    Full(Box<FullWeights>),
}

impl Weights {
    pub(crate) fn architecture(&self) -> &Architecture {
        match self {
            Self::Packed { checkpoint, .. } => checkpoint.architecture(),
            Self::Full(full) => &full.architecture,
        }
    }

    /// Bytes of all weights, as these precisions read them.
    pub(crate) fn bytes(&self, precisions: &MatrixPrecisions) -> u64 {
        let architecture = self.architecture();
        match self {
            Self::Packed { .. } => precisions.weight_bytes(architecture),
            Self::Full(_) => {
                let weights = architecture.packed_weights() * size_of::<f32>();
                (weights + norm_bytes(architecture)) as u64
            }
        }
    }

    pub(crate) fn norm(&self, norm: Norm) -> Result<&[f32]> {
        match self {
            Self::Packed { checkpoint, .. } => checkpoint.norm(norm),
            Self::Full(full) => full.get(&full.norms, &norm),
        }
    }

    pub(crate) fn matrix(&self, matrix: WeightMatrix, precision: Precision) -> Result<Matrix<'_>> {
        match self {
            Self::Packed { checkpoint, reconstruction } => {
                let tiles = checkpoint.tiles(matrix, precision)?;
                Ok(Matrix::Packed { tiles, precision, reconstruction: *reconstruction })
            }
            Self::Full(full) => {
                let grid = matrix.grid(&full.architecture);
                Ok(Matrix::Full { grid, weights: full.get(&full.matrices, &matrix)? })
            }
        }
    }
}

/// A matrix of a forward pass.
pub(crate) enum Matrix<'a> {
    Packed { tiles: TileView<'a>, precision: Precision, reconstruction: Reconstruction },
    Full { grid: TileGrid, weights: &'a [f32] },
}

impl Matrix<'_> {
    pub(crate) fn grid(&self) -> TileGrid {
        match self {
            Self::Packed { tiles, .. } => tiles.grid(),
            Self::Full { grid, .. } => *grid,
        }
    }

    /// The weights of a tile, `[64 columns][16 rows]`.
    pub(crate) fn decode_tile(&self, tile: usize, out: &mut Tile) {
        match self {
            Self::Packed { tiles, precision, reconstruction } => {
                tiles.decode_tile(tile, *precision, *reconstruction, out);
            }
            Self::Full { grid, weights } => copy_tile(*grid, weights, tile, out),
        }
    }

    /// The weights of a row.
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Packed { tiles, precision, reconstruction } => {
                tiles.decode_row(row, *precision, *reconstruction, out);
            }
            Self::Full { grid, weights } => {
                out[..grid.cols].copy_from_slice(&weights[row * grid.cols..][..grid.cols]);
            }
        }
    }
}

/// Copies a tile out of a row-major matrix; it is zero beyond the edges.
pub(crate) fn copy_tile(grid: TileGrid, weights: &[f32], tile: usize, out: &mut Tile) {
    let first_row = tile / grid.tile_cols() * LANE_ROWS;
    let first_col = tile % grid.tile_cols() * GROUP_SIZE;
    let cols = first_col..grid.cols.min(first_col + GROUP_SIZE);
    *out = [[0.0; LANE_ROWS]; GROUP_SIZE];
    for (lane, row) in (first_row..grid.rows.min(first_row + LANE_ROWS)).enumerate() {
        let row = &weights[row * grid.cols..][cols.clone()];
        for (column, &weight) in out.iter_mut().zip(row) {
            column[lane] = weight;
        }
    }
}

/// A whole model in f32, for reference: the same forward pass without quantisation. Takes four
/// bytes of memory a weight.
#[derive(Debug)]
pub struct FullWeights {
    architecture: Architecture,
    matrices: HashMap<WeightMatrix, Vec<f32>>,
    norms: HashMap<Norm, Vec<f32>>,
}

impl FullWeights {
    /// Reads every tensor of a source.
    ///
    /// # Errors
    /// What the source returns.
    pub fn load(architecture: &Architecture, source: &mut dyn WeightSource) -> Result<Self> {
        let matrices = WeightMatrix::all(architecture)
            .map(|matrix| Ok((matrix, source.rows(matrix, 0..matrix.grid(architecture).rows)?)))
            .collect::<Result<_>>()?;
        let norms =
            Norm::all(architecture).map(|norm| Ok((norm, source.norm(norm)?))).collect::<Result<_>>()?;
        Ok(Self { architecture: architecture.clone(), matrices, norms })
    }

    fn get<'a, K: std::hash::Hash + Eq + std::fmt::Display>(
        &self,
        tensors: &'a HashMap<K, Vec<f32>>,
        key: &K,
    ) -> Result<&'a [f32]> {
        tensors
            .get(key)
            .map(Vec::as_slice)
            .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, format!("the model has no tensor {key}")))
    }
}
