//! Weights to planes: quantises a matrix and scatters its codes over tiles.

use crate::grid::{BASE_WORDS, BIT_WORDS, Place};
use crate::{BIT_PLANES, GROUP_SIZE, LANE_ROWS, QuantizeError, Scale, TileGrid, TileView, quantize_group};

/// A matrix quantised and packed, with all its planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedMatrix {
    grid: TileGrid,
    scales: Vec<u8>,
    base: Vec<u32>,
    bits: [Vec<u32>; BIT_PLANES],
}

impl PackedMatrix {
    /// Quantises and packs `weights`, row-major `[rows, cols]`. Padding rows and columns are zero
    /// weights.
    ///
    /// # Errors
    /// [`QuantizeError`] with the row-major index of the first weight that SEFP cannot hold.
    ///
    /// # Panics
    /// If `weights` does not hold `rows * cols` values.
    pub fn pack(weights: &[f32], rows: usize, cols: usize, scale: Scale) -> Result<Self, QuantizeError> {
        assert_eq!(weights.len(), rows * cols, "a matrix of {rows} x {cols}");
        let mut packed = Self::zeros(TileGrid::new(rows, cols));
        let mut codes = [0; GROUP_SIZE];
        for row in 0..packed.grid.tile_rows() * LANE_ROWS {
            for col in (0..cols).step_by(GROUP_SIZE) {
                let mut group = [0.0; GROUP_SIZE];
                let start = row * cols + col;
                if row < rows {
                    let len = GROUP_SIZE.min(cols - col);
                    group[..len].copy_from_slice(&weights[start..start + len]);
                }
                let scale_code = quantize_group(&group, &mut codes, scale)
                    .map_err(|error| QuantizeError { index: start + error.index, ..error })?;
                packed.put_group(row, col, scale_code, &codes);
            }
        }
        Ok(packed)
    }

    /// Every code 0 and every scale the one of a group of zeros.
    fn zeros(grid: TileGrid) -> Self {
        Self {
            grid,
            scales: vec![0; grid.scale_bytes()],
            base: vec![0; grid.base_words()],
            bits: std::array::from_fn(|_| vec![0; grid.bit_words()]),
        }
    }

    fn put_group(&mut self, row: usize, col: usize, scale_code: u8, codes: &[u16; GROUP_SIZE]) {
        let tile = self.grid.tile_index(row, col);
        self.scales[tile * LANE_ROWS + row % LANE_ROWS] = scale_code;
        for (i, &code) in codes.iter().enumerate() {
            let place = Place::new(row, i);
            self.base[tile * BASE_WORDS + place.base_word] |= u32::from(code >> 5) << place.base_shift;
            for (plane, words) in self.bits.iter_mut().enumerate() {
                let bit = u32::from(code >> (4 - plane)) & 1;
                words[tile * BIT_WORDS + place.bit_word] |= bit << place.bit_shift;
            }
        }
    }

    /// The tiles of the matrix.
    pub fn grid(&self) -> TileGrid {
        self.grid
    }

    /// Scale codes, one byte per group: `[tiles, 16]`.
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    /// The base plane, four bits per weight: `[tiles, 128]` words.
    pub fn base(&self) -> &[u32] {
        &self.base
    }

    /// The bit planes `bit4` to `bit8`: `[tiles, 32]` words each.
    pub fn bits(&self) -> &[Vec<u32>; BIT_PLANES] {
        &self.bits
    }

    /// A view of all planes.
    pub fn view(&self) -> TileView<'_> {
        let bits: [&[u32]; BIT_PLANES] = std::array::from_fn(|plane| self.bits[plane].as_slice());
        TileView::new(self.grid, &self.scales, &self.base, &bits).expect("planes of the grid's own size")
    }
}
