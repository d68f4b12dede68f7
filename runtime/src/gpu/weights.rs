//! The weights on the GPU: chunks of whole rows of tiles, their planes uploaded when a pass
//! first needs them. Sessions share them.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytemuck::cast_slice;
use sefp::{BIT_PLANES, LANE_ROWS, Precision};

use super::{
    context::GpuContext,
    upload::{Uploader, storage_buffer},
};
use crate::{Architecture, Checkpoint, Error, ErrorKind, MatrixPrecisions, Norm, Result, WeightMatrix};

/// Bytes of a tile's base plane, bit plane and scales.
const BASE_BYTES: usize = 512;
const BIT_BYTES: usize = 128;
const SCALE_BYTES: usize = 16;

/// Whole rows of tiles of one matrix: what is bound at a time.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Rows of the matrix in the chunk.
    pub(super) rows: usize,
    /// Row of the matrix at which it starts.
    pub(super) first_row: usize,
    /// Groups of a row.
    pub(super) tile_cols: usize,
    /// Tiles of the matrix.
    tiles: Range<usize>,
}

impl Chunk {
    /// Where the scales start in the base buffer, in vectors of 16 bytes.
    pub(super) fn scales_vector(&self) -> usize {
        self.tiles.len() * BASE_BYTES / 16
    }

    /// Quads: groups of four rows, the padding of the last tile included.
    pub(super) fn quads(&self) -> usize {
        self.rows.div_ceil(LANE_ROWS) * 4
    }
}

/// The planes of a chunk that are on the GPU.
#[derive(Clone, Debug)]
pub(super) struct ChunkPlanes {
    /// The base plane, then the scales.
    pub(super) base: wgpu::Buffer,
    /// The bit planes, as far as they were needed.
    pub(super) bits: [Option<wgpu::Buffer>; BIT_PLANES],
}

/// The planes that are on the GPU at some moment. Never changed, only replaced: a session keeps the
/// one it started its pass with, whatever others upload or trim meanwhile.
#[derive(Debug, Default)]
pub(super) struct Resident {
    planes: HashMap<(WeightMatrix, usize), ChunkPlanes>,
    /// The precisions whose planes are all here.
    precisions: Option<MatrixPrecisions>,
}

impl Resident {
    /// The planes of a chunk.
    pub(super) fn planes(&self, matrix: WeightMatrix, chunk: usize) -> Result<&ChunkPlanes> {
        let missing = || Error::new(ErrorKind::Device, format!("{matrix} was not uploaded before a pass"));
        self.planes.get(&(matrix, chunk)).ok_or_else(missing)
    }
}

/// All weights of a model on one context.
#[derive(Debug)]
pub(super) struct Weights {
    context: Arc<GpuContext>,
    checkpoint: Arc<Checkpoint>,
    chunks: HashMap<WeightMatrix, Vec<Chunk>>,
    norms: HashMap<Norm, wgpu::Buffer>,
    resident: Mutex<Arc<Resident>>,
}

impl Weights {
    /// Lays the matrices out in chunks of at most `chunk_bytes` a plane and uploads the norms.
    pub(super) fn new(
        context: &Arc<GpuContext>,
        checkpoint: Arc<Checkpoint>,
        chunk_bytes: usize,
    ) -> Result<Self> {
        let architecture = checkpoint.architecture();
        let chunks = WeightMatrix::all(architecture)
            .map(|matrix| Ok((matrix, cut(matrix, architecture, chunk_bytes, context)?)))
            .collect::<Result<_>>()?;
        let norms = context.guard("uploading norms", || {
            let mut uploader = Uploader::new(context);
            let norms = Norm::all(architecture)
                .map(|norm| Ok((norm, norm_buffer(context, &mut uploader, checkpoint.norm(norm)?)?)))
                .collect::<Result<_>>()?;
            uploader.flush()?;
            Ok(norms)
        })?;
        Ok(Self { context: Arc::clone(context), checkpoint, chunks, norms, resident: Mutex::default() })
    }

    pub(super) fn architecture(&self) -> &Architecture {
        self.checkpoint.architecture()
    }

    pub(super) fn chunks(&self, matrix: WeightMatrix) -> Result<&[Chunk]> {
        let missing = || Error::new(ErrorKind::InvalidArgument, format!("the model has no {matrix}"));
        self.chunks.get(&matrix).map(Vec::as_slice).ok_or_else(missing)
    }

    pub(super) fn norm(&self, norm: Norm) -> Result<&wgpu::Buffer> {
        let missing = || Error::new(ErrorKind::InvalidArgument, format!("the model has no {norm}"));
        self.norms.get(&norm).ok_or_else(missing)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Resident>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of planes on the GPU.
    pub(super) fn resident_bytes(&self) -> u64 {
        let bytes = |planes: &ChunkPlanes| {
            planes.base.size() + planes.bits.iter().flatten().map(wgpu::Buffer::size).sum::<u64>()
        };
        self.lock().planes.values().map(bytes).sum()
    }

    /// The planes on the GPU, after those of these precisions that were not there have been uploaded.
    pub(super) fn ensure(&self, precisions: &MatrixPrecisions) -> Result<Arc<Resident>> {
        let mut resident = self.lock();
        let precisions = match &resident.precisions {
            Some(there) if there.covers(precisions) => return Ok(Arc::clone(&resident)),
            Some(there) => there.union(precisions),
            None => precisions.clone(),
        };
        // What is there already stays as it is unless everything goes well.
        let planes = self.context.guard("uploading weights", || {
            let mut uploader = Uploader::new(&self.context);
            let mut complete = HashMap::new();
            for matrix in WeightMatrix::all(self.checkpoint.architecture()) {
                for (index, chunk) in self.chunks(matrix)?.iter().enumerate() {
                    let planes = resident.planes.get(&(matrix, index)).cloned();
                    let planes =
                        self.upload(&mut uploader, matrix, chunk, planes, precisions.planes(matrix))?;
                    complete.insert((matrix, index), planes);
                }
            }
            uploader.flush()?;
            Ok(complete)
        })?;
        *resident = Arc::new(Resident { planes, precisions: Some(precisions) });
        Ok(Arc::clone(&resident))
    }

    /// Gives back the planes above these precisions. A session keeps those of its last pass until it
    /// starts the next one.
    pub(super) fn trim(&self, precisions: &MatrixPrecisions) {
        let mut resident = self.lock();
        let Some(there) = resident.precisions.as_ref().filter(|there| !precisions.covers(there)) else {
            return;
        };
        let kept = there.intersection(precisions);
        let mut planes = resident.planes.clone();
        for ((matrix, _), planes) in &mut planes {
            planes.bits[kept.planes(*matrix).bit_planes()..].fill(None);
        }
        *resident = Arc::new(Resident { planes, precisions: Some(kept) });
    }

    /// Completes the planes of a chunk.
    fn upload(
        &self,
        uploader: &mut Uploader<'_>,
        matrix: WeightMatrix,
        chunk: &Chunk,
        planes: Option<ChunkPlanes>,
        precision: Precision,
    ) -> Result<ChunkPlanes> {
        let tiles = &chunk.tiles;
        let buffer = |bytes: usize| storage_buffer(&self.context, &matrix.to_string(), bytes as u64);
        let mut planes = match planes {
            Some(planes) => planes,
            None => {
                let base: &[u8] = cast_slice(self.checkpoint.base(matrix)?);
                let scales = self.checkpoint.scales(matrix)?;
                let both = buffer(tiles.len() * (BASE_BYTES + SCALE_BYTES));
                uploader.write(&both, 0, &base[tiles.start * BASE_BYTES..tiles.end * BASE_BYTES])?;
                let scales = &scales[tiles.start * SCALE_BYTES..tiles.end * SCALE_BYTES];
                uploader.write(&both, (tiles.len() * BASE_BYTES) as u64, scales)?;
                ChunkPlanes { base: both, bits: Default::default() }
            }
        };
        for (index, slot) in planes.bits.iter_mut().enumerate().take(precision.bit_planes()) {
            if slot.is_none() {
                let words: &[u8] = cast_slice(self.checkpoint.bit_plane(matrix, index)?);
                let plane = buffer(tiles.len() * BIT_BYTES);
                uploader.write(&plane, 0, &words[tiles.start * BIT_BYTES..tiles.end * BIT_BYTES])?;
                *slot = Some(plane);
            }
        }
        Ok(planes)
    }
}

/// Cuts a matrix so that no plane of a chunk takes more than `chunk_bytes`, one row of tiles at least.
fn cut(
    matrix: WeightMatrix,
    architecture: &Architecture,
    chunk_bytes: usize,
    context: &GpuContext,
) -> Result<Vec<Chunk>> {
    let grid = matrix.grid(architecture);
    let tile_row_bytes = grid.tile_cols() * (BASE_BYTES + SCALE_BYTES);
    if tile_row_bytes as u64 > context.max_binding_bytes() {
        let what = format!("{matrix} has {} columns, too many for {}", grid.cols, context.info().name);
        return Err(Error::new(ErrorKind::UnsupportedModel, what));
    }
    let tile_rows = (chunk_bytes.min(context.max_binding_bytes() as usize) / tile_row_bytes).max(1);
    let chunk = |first: usize| {
        let last = (first + tile_rows).min(grid.tile_rows());
        Chunk {
            rows: (last * LANE_ROWS).min(grid.rows) - first * LANE_ROWS,
            first_row: first * LANE_ROWS,
            tile_cols: grid.tile_cols(),
            tiles: first * grid.tile_cols()..last * grid.tile_cols(),
        }
    };
    Ok((0..grid.tile_rows()).step_by(tile_rows).map(chunk).collect())
}

/// A norm, padded with zeros to whole groups as slots are.
fn norm_buffer(context: &GpuContext, uploader: &mut Uploader<'_>, norm: &[f32]) -> Result<wgpu::Buffer> {
    let padded = norm.len().next_multiple_of(sefp::GROUP_SIZE);
    let buffer = storage_buffer(context, "norm", (padded * 4) as u64);
    uploader.write(&buffer, 0, cast_slice(norm))?;
    Ok(buffer)
}
