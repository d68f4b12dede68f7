//! Where everything lies: a pure function of the architecture and the blobs. The writer follows
//! it; the reader accepts any file that keeps its promises (order, alignment, shapes).

use safetensors::{Dtype, tensor::TensorInfo};
use sefp::TileGrid;

use super::Section;
use crate::{Architecture, Norm, WeightMatrix};

/// Sections start at multiples of this: the largest page of the platforms we run on, so that a
/// section can be mapped, dropped and hashed alone.
pub(super) const SECTION_ALIGNMENT: u64 = 16 * 1024;
/// Tensors start at multiples of this: a cache line, and the widest SIMD register.
pub(super) const TENSOR_ALIGNMENT: u64 = 64;

/// A named range of the data and how safetensors describes it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) begin: u64,
}

impl Entry {
    pub(super) fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * (self.dtype.bitsize() / 8) as u64
    }

    pub(super) fn end(&self) -> u64 {
        self.begin + self.bytes()
    }

    pub(super) fn info(&self) -> TensorInfo {
        TensorInfo {
            dtype: self.dtype,
            shape: self.shape.clone(),
            data_offsets: (self.begin as usize, self.end() as usize),
        }
    }
}

/// All entries of a file, padding included, and the bounds of its sections.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) entries: Vec<Entry>,
    /// Begin and end of each section, in the order of [`Section::ALL`].
    pub(super) sections: Vec<(u64, u64)>,
    paddings: usize,
}

impl Layout {
    /// The layout of a model with these blobs, given as name and length.
    pub(super) fn new(architecture: &Architecture, blobs: &[(&str, usize)]) -> Self {
        let mut layout = Self::default();
        for section in Section::ALL {
            layout.pad_to(SECTION_ALIGNMENT);
            let begin = layout.end();
            match section {
                Section::Blobs => {
                    for &(name, bytes) in blobs {
                        layout.push(name.to_string(), Dtype::U8, vec![bytes]);
                    }
                }
                Section::Norms => {
                    for norm in Norm::all(architecture) {
                        layout.push(norm.to_string(), Dtype::F32, vec![architecture.hidden_size]);
                    }
                }
                plane => {
                    for matrix in WeightMatrix::all(architecture) {
                        let (dtype, shape) = plane_shape(plane, matrix.grid(architecture));
                        layout.push(plane_name(matrix, plane), dtype, shape);
                    }
                }
            }
            layout.sections.push((begin, layout.end()));
        }
        layout
    }

    /// Bytes of data so far.
    pub(super) fn end(&self) -> u64 {
        self.entries.last().map_or(0, Entry::end)
    }

    fn push(&mut self, name: String, dtype: Dtype, shape: Vec<usize>) {
        self.pad_to(TENSOR_ALIGNMENT);
        self.entries.push(Entry { name, dtype, shape, begin: self.end() });
    }

    /// safetensors allows no holes, so padding is an entry of its own.
    fn pad_to(&mut self, alignment: u64) {
        let begin = self.end();
        let bytes = begin.next_multiple_of(alignment) - begin;
        if bytes > 0 {
            let name = format!("padding.{}", self.paddings);
            self.paddings += 1;
            self.entries.push(Entry { name, dtype: Dtype::U8, shape: vec![bytes as usize], begin });
        }
    }
}

/// The name of a plane of a matrix: the matrix, then the section it lies in.
pub(super) fn plane_name(matrix: WeightMatrix, plane: Section) -> String {
    format!("{matrix}.{plane}")
}

/// Type and shape of a plane of a matrix of this grid.
pub(super) fn plane_shape(plane: Section, grid: TileGrid) -> (Dtype, Vec<usize>) {
    let tiles = grid.tiles();
    match plane {
        Section::Scales => (Dtype::U8, vec![tiles, sefp::LANE_ROWS]),
        Section::Base => (Dtype::U32, vec![tiles, sefp::BASE_WORDS]),
        _ => (Dtype::U32, vec![tiles, sefp::BIT_WORDS]),
    }
}
