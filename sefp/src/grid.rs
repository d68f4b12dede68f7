//! How a matrix is cut into tiles, and where in a plane each weight lies.

use crate::{GROUP_SIZE, LANE_ROWS};

/// Words of a tile's base plane.
pub const BASE_WORDS: usize = 128;
/// Words of each of a tile's bit planes.
pub const BIT_WORDS: usize = 32;

/// The tiles of a matrix `[rows, cols]`: 16 rows by 64 columns each, padded at the lower and right
/// edge, numbered row of tiles by row of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileGrid {
    /// Rows of the matrix (outputs).
    pub rows: usize,
    /// Columns of the matrix (inputs).
    pub cols: usize,
}

impl TileGrid {
    /// The grid of a matrix `[rows, cols]`.
    pub const fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols }
    }

    /// Rows of tiles.
    pub const fn tile_rows(self) -> usize {
        self.rows.div_ceil(LANE_ROWS)
    }

    /// Columns of tiles: the groups of a row.
    pub const fn tile_cols(self) -> usize {
        self.cols.div_ceil(GROUP_SIZE)
    }

    /// Tiles in all.
    pub const fn tiles(self) -> usize {
        self.tile_rows() * self.tile_cols()
    }

    /// Columns with the padding counted in: a multiple of 64.
    pub const fn padded_cols(self) -> usize {
        self.tile_cols() * GROUP_SIZE
    }

    /// Bytes of the scale plane.
    pub const fn scale_bytes(self) -> usize {
        self.tiles() * LANE_ROWS
    }

    /// 32-bit words of the base plane.
    pub const fn base_words(self) -> usize {
        self.tiles() * BASE_WORDS
    }

    /// 32-bit words of one bit plane.
    pub const fn bit_words(self) -> usize {
        self.tiles() * BIT_WORDS
    }

    /// Bytes read when the whole matrix is used at a precision: scales, base and bit planes.
    pub const fn bytes(self, precision: crate::Precision) -> usize {
        self.scale_bytes() + 4 * (self.base_words() + precision.bit_planes() * self.bit_words())
    }

    /// Number of the tile that holds a weight.
    pub(crate) const fn tile_index(self, row: usize, col: usize) -> usize {
        (row / LANE_ROWS) * self.tile_cols() + col / GROUP_SIZE
    }
}

/// Where the weight of row `row` and column `col` lies inside its tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Word of the base plane, within the tile.
    pub(crate) base_word: usize,
    /// Lowest of its four bits in that word.
    pub(crate) base_shift: u32,
    /// Word of every bit plane, within the tile.
    pub(crate) bit_word: usize,
    /// Its bit in that word.
    pub(crate) bit_shift: u32,
}

impl Place {
    pub(crate) const fn new(row: usize, col: usize) -> Self {
        let (l, h, i) = (row % LANE_ROWS, (col / 32) & 1, col % 32);
        let (p, b) = (i / 4, (i % 4) as u32);
        Self {
            base_word: h * 64 + (p / 2) * 16 + l,
            base_shift: 8 * b + 4 * (p as u32 & 1),
            bit_word: h * 16 + l,
            bit_shift: 8 * b + p as u32,
        }
    }
}
