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
                Ok(Matrix::Full { grid, tiles: full.get(&full.matrices, &matrix)? })
            }
        }
    }
}

/// A matrix of a forward pass.
pub(crate) enum Matrix<'a> {
    Packed { tiles: TileView<'a>, precision: Precision, reconstruction: Reconstruction },
    Full { grid: TileGrid, tiles: &'a [Tile] },
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
            Self::Full { tiles, .. } => *out = tiles[tile],
        }
    }

    /// The weights of a row.
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Packed { tiles, precision, reconstruction } => {
                tiles.decode_row(row, *precision, *reconstruction, out);
            }
            Self::Full { grid, tiles } => {
                let (tile_row, lane) = (row / LANE_ROWS, row % LANE_ROWS);
                let tiles = &tiles[tile_row * grid.tile_cols()..][..grid.tile_cols()];
                for (weight, lanes) in out[..grid.cols].iter_mut().zip(tiles.as_flattened()) {
                    *weight = lanes[lane];
                }
            }
        }
    }
}

/// A whole model in f32, for reference: the same forward pass without quantisation. Takes four
/// bytes of memory a weight.
#[derive(Debug)]
pub struct FullWeights {
    architecture: Architecture,
    /// `[tile rows, tile columns]` each, zero outside of the matrix.
    matrices: HashMap<WeightMatrix, Vec<Tile>>,
    norms: HashMap<Norm, Vec<f32>>,
}

impl FullWeights {
    /// Reads every tensor of a source.
    ///
    /// # Errors
    /// What the source returns.
    pub fn load(architecture: &Architecture, source: &mut dyn WeightSource) -> Result<Self> {
        let matrices = WeightMatrix::all(architecture)
            .map(|matrix| Ok((matrix, load_tiles(source, matrix, matrix.grid(architecture))?)))
            .collect::<Result<_>>()?;
        let norms =
            Norm::all(architecture).map(|norm| Ok((norm, source.norm(norm)?))).collect::<Result<_>>()?;
        Ok(Self { architecture: architecture.clone(), matrices, norms })
    }

    fn get<'a, K: std::hash::Hash + Eq + std::fmt::Display, T>(
        &self,
        tensors: &'a HashMap<K, Vec<T>>,
        key: &K,
    ) -> Result<&'a [T]> {
        tensors
            .get(key)
            .map(Vec::as_slice)
            .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, format!("the model has no tensor {key}")))
    }
}

/// Rows that are read from a source at a time: a whole number of rows of tiles.
const ROWS_AT_A_TIME: usize = 64 * LANE_ROWS;

fn load_tiles(source: &mut dyn WeightSource, matrix: WeightMatrix, grid: TileGrid) -> Result<Vec<Tile>> {
    let mut tiles = Vec::with_capacity(grid.tiles());
    for first in (0..grid.rows).step_by(ROWS_AT_A_TIME) {
        let rows = source.rows(matrix, first..grid.rows.min(first + ROWS_AT_A_TIME))?;
        push_tiles(&rows, grid.cols, &mut tiles);
    }
    Ok(tiles)
}

/// Adds rows of a matrix, `[rows, cols]`, as tiles; only the last rows of a matrix end inside of a tile.
pub(crate) fn push_tiles(rows: &[f32], cols: usize, tiles: &mut Vec<Tile>) {
    for rows in rows.chunks(LANE_ROWS * cols) {
        let first = tiles.len();
        tiles.resize(first + cols.div_ceil(GROUP_SIZE), [[0.0; LANE_ROWS]; GROUP_SIZE]);
        for (lane, row) in rows.chunks(cols).enumerate() {
            for (lanes, &weight) in tiles[first..].as_flattened_mut().iter_mut().zip(row) {
                lanes[lane] = weight;
            }
        }
    }
}
