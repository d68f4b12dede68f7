//! Planes to weights: reads codes and values from borrowed planes, of a file or of a
//! [`PackedMatrix`](crate::PackedMatrix).

use crate::grid::{BASE_WORDS, BIT_WORDS, Place};
use crate::{BIT_PLANES, GROUP_SIZE, LANE_ROWS, Offset, Precision, Reconstruction, TileGrid, step};

/// The weights of one tile, `[64 columns][16 rows]`: the order in which kernels consume them.
pub type Tile = [[f32; LANE_ROWS]; GROUP_SIZE];

/// Borrowed planes of one matrix. The planes above some precision may be absent.
#[derive(Clone, Copy, Debug)]
pub struct TileView<'a> {
    grid: TileGrid,
    scales: &'a [u8],
    base: &'a [u32],
    bits: [&'a [u32]; BIT_PLANES],
    available: Precision,
}

impl<'a> TileView<'a> {
    /// Puts planes together; `bits` holds `bit4`, `bit5`, ... as far as they are there.
    ///
    /// Returns `None` when a plane is not of the size that `grid` asks for, or there are more than
    /// five bit planes.
    pub fn new(grid: TileGrid, scales: &'a [u8], base: &'a [u32], bits: &[&'a [u32]]) -> Option<Self> {
        let fits = scales.len() == grid.scale_bytes()
            && base.len() == grid.base_words()
            && bits.iter().all(|plane| plane.len() == grid.bit_words());
        let available = *Precision::ALL.get(bits.len())?;
        let mut planes: [&[u32]; BIT_PLANES] = [&[]; BIT_PLANES];
        planes[..bits.len()].copy_from_slice(bits);
        fits.then_some(Self { grid, scales, base, bits: planes, available })
    }

    /// The tiles of the matrix.
    pub fn grid(&self) -> TileGrid {
        self.grid
    }

    /// The highest precision that the planes complete.
    pub fn available(&self) -> Precision {
        self.available
    }

    /// The scale plane, `[tiles, 16]` bytes.
    pub fn scales(&self) -> &'a [u8] {
        self.scales
    }

    /// The base plane, `[tiles, 128]` words.
    pub fn base(&self) -> &'a [u32] {
        self.base
    }

    /// The bit planes, `bit4` first, `[tiles, 32]` words each; empty where they are not
    /// [`available`](Self::available).
    pub fn bits(&self) -> [&'a [u32]; BIT_PLANES] {
        self.bits
    }

    /// The code `u_m` of one weight.
    ///
    /// # Panics
    /// If the row, the column or the precision is outside of what the view holds.
    pub fn code(&self, row: usize, col: usize, precision: Precision) -> u16 {
        assert!(precision <= self.available, "{precision} needs planes that are not here");
        let tile = self.grid.tile_index(row, col);
        let place = Place::new(row, col);
        let base = (self.base[tile * BASE_WORDS + place.base_word] >> place.base_shift) & 0xf;
        let code = self.bits[..precision.bit_planes()].iter().fold(base, |code, plane| {
            code << 1 | (plane[tile * BIT_WORDS + place.bit_word] >> place.bit_shift) & 1
        });
        code as u16
    }

    /// The scale code of the group that holds a weight.
    pub fn scale(&self, row: usize, col: usize) -> u8 {
        self.scales[self.grid.tile_index(row, col) * LANE_ROWS + row % LANE_ROWS]
    }

    /// Decodes one row, `grid.cols` values, into the front of `out`. Bit-exact with
    /// [`decode`](crate::decode).
    ///
    /// # Panics
    /// If `out` is too short or `row` or `precision` is outside of what the view holds.
    pub fn decode_row(
        &self,
        row: usize,
        precision: Precision,
        reconstruction: Reconstruction,
        out: &mut [f32],
    ) {
        assert!(precision <= self.available, "{precision} needs planes that are not here");
        assert!(row < self.grid.rows, "row {row} is not there");
        let offset = Offset::new(precision, reconstruction);
        for (group, values) in out[..self.grid.cols].chunks_mut(GROUP_SIZE).enumerate() {
            let tile = self.grid.tile_index(row, group * GROUP_SIZE);
            let step = step(self.scales[tile * LANE_ROWS + row % LANE_ROWS], precision);
            let base = &self.base[tile * BASE_WORDS..][..BASE_WORDS];
            let mut codes = [0; GROUP_SIZE];
            for (col, code) in codes.iter_mut().enumerate() {
                let place = Place::new(row, col);
                *code = (base[place.base_word] >> place.base_shift) & 0xf;
            }
            for plane in &self.bits[..precision.bit_planes()] {
                let words = &plane[tile * BIT_WORDS..][..BIT_WORDS];
                for (col, code) in codes.iter_mut().enumerate() {
                    let place = Place::new(row, col);
                    *code = *code << 1 | (words[place.bit_word] >> place.bit_shift) & 1;
                }
            }
            for (value, code) in values.iter_mut().zip(codes) {
                *value = offset.value(code as i32 as f32, step);
            }
        }
    }

    /// Decodes a whole tile, padding included. Bit-exact with [`decode`](crate::decode), but walks words instead
    /// of weights: lane by lane in the inner loop, which a compiler turns into SIMD.
    ///
    /// # Panics
    /// If `tile` or `precision` is outside of what the view holds.
    pub fn decode_tile(
        &self,
        tile: usize,
        precision: Precision,
        reconstruction: Reconstruction,
        out: &mut Tile,
    ) {
        assert!(precision <= self.available, "{precision} needs planes that are not here");
        let offset = Offset::new(precision, reconstruction);
        let scales = &self.scales[tile * LANE_ROWS..][..LANE_ROWS];
        let steps: [f32; LANE_ROWS] = std::array::from_fn(|lane| step(scales[lane], precision));
        let base = &self.base[tile * BASE_WORDS..][..BASE_WORDS];
        for (col, weights) in out.iter_mut().enumerate() {
            let place = Place::new(0, col);
            let words = &base[place.base_word..][..LANE_ROWS];
            let mut codes: [u32; LANE_ROWS] =
                std::array::from_fn(|lane| (words[lane] >> place.base_shift) & 0xf);
            for plane in &self.bits[..precision.bit_planes()] {
                let words = &plane[tile * BIT_WORDS + place.bit_word..][..LANE_ROWS];
                for lane in 0..LANE_ROWS {
                    codes[lane] = codes[lane] << 1 | (words[lane] >> place.bit_shift) & 1;
                }
            }
            for lane in 0..LANE_ROWS {
                weights[lane] = offset.value(codes[lane] as i32 as f32, steps[lane]);
            }
        }
    }
}
