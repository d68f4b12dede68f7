//! What the kernels of every instruction set share: how a product is divided into calls of the few
//! functions that an instruction set brings.
//!
//! Up to four tokens, the codes of a tile are put together in registers and used at once: what
//! counts is the reading of the planes. With more tokens, the codes of four rows of tiles are put
//! down in a [`Panel`] of first-level cache, one column of tiles after the other, and every token
//! passes over it: what counts is the multiplying.

use std::ops::Range;

use sefp::{BASE_WORDS, BIT_PLANES, BIT_WORDS, GROUP_SIZE, LANE_ROWS, Precision, Reconstruction, TileView};

use super::{int8::Numbers, quantised::Quantised};
use crate::cpu::slots::Columns;

/// Tokens up to which a tile is used straight from registers.
const FEW: usize = 4;
/// Rows of tiles of a panel.
pub(super) const PANEL: usize = 4;
/// Columns of a tile that a multiplication takes at once, and how many of these there are.
pub(super) const COLUMNS: usize = 4;
pub(super) const STEPS: usize = GROUP_SIZE / COLUMNS;

/// A product, or the part of it that is given to one kernel.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) tiles: TileView<'a>,
    pub(super) precision: Precision,
    pub(super) reconstruction: Reconstruction,
    pub(super) input: &'a Quantised,
}

/// The planes of one row of tiles.
#[derive(Clone, Copy)]
pub(super) struct TileRow {
    /// `[tiles, 16]`
    pub(super) scales: *const u8,
    /// `[tiles, 128]`
    pub(super) base: *const u32,
    /// `[tiles, 32]` each; dangling above the precision.
    pub(super) bits: [*const u32; BIT_PLANES],
    pub(super) tiles: usize,
}

impl TileRow {
    fn new(product: &Product<'_>, tile_row: usize) -> Self {
        let view = &product.tiles;
        let tiles = view.grid().tile_cols();
        let planes = view.bits();
        let words = |plane: &[u32], of_a_tile: usize| {
            plane[tile_row * tiles * of_a_tile..][..tiles * of_a_tile].as_ptr()
        };
        Self {
            scales: view.scales()[tile_row * tiles * LANE_ROWS..][..tiles * LANE_ROWS].as_ptr(),
            base: words(view.base(), BASE_WORDS),
            bits: std::array::from_fn(|plane| {
                let read = plane < product.precision.bit_planes();
                if read { words(planes[plane], BIT_WORDS) } else { std::ptr::null() }
            }),
            tiles,
        }
    }
}

/// The codes of some rows of tiles in one column of tiles: bytes for the multiplication.
#[repr(C, align(64))]
pub(super) struct Panel {
    /// `[step][row of tiles][lane]`, four columns to a word, or as an instruction set has it.
    pub(super) high: [[[u32; LANE_ROWS]; PANEL]; STEPS],
    /// What does not fit into the bytes of `high`, where an instruction set needs it.
    pub(super) low: [[[u32; LANE_ROWS]; PANEL]; STEPS],
    /// The size of a code's last bit, of each row.
    pub(super) steps: [[f32; LANE_ROWS]; PANEL],
}

impl Panel {
    fn new() -> Box<Self> {
        Box::new(Self {
            high: [[[0; LANE_ROWS]; PANEL]; STEPS],
            low: [[[0; LANE_ROWS]; PANEL]; STEPS],
            steps: [[0.0; LANE_ROWS]; PANEL],
        })
    }
}

/// The sums of a token over the rows of a panel.
pub(super) type PanelSums = [[f32; LANE_ROWS]; PANEL];

/// The tokens that pass over a panel: activations of one group.
pub(super) struct PanelInput<'a> {
    /// `[tokens, 64]`
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f32],
    /// What is taken from the product of a token before it is scaled: centre * sum.
    pub(super) corrections: &'a [f32],
}

/// What an instruction set brings. `M` is the mantissa bits, `TRUNCATE` the reconstruction.
pub(super) trait InstructionSet {
    /// What the codes that [`multiply`](Self::multiply) multiplies lack of the left-aligned ones.
    fn offset(_: Precision) -> f32 {
        0.0
    }

    /// One row of tiles times a few tokens, given by their number.
    ///
    /// # Safety
    /// The processor has the instructions, `row` is of planes that are there at this precision, and
    /// `input` has as many groups as the row has tiles, and these tokens.
    unsafe fn few<const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
        row: &TileRow,
        input: &Quantised,
        tokens: [usize; TOKENS],
    ) -> [[f32; LANE_ROWS]; TOKENS];

    /// Puts the codes of a tile down in a panel.
    ///
    /// # Safety
    /// The processor has the instructions, and `row` is of planes that are there at this precision.
    unsafe fn unpack<const M: u32, const TRUNCATE: bool>(
        row: &TileRow,
        tile: usize,
        panel: &mut Panel,
        place: usize,
    );

    /// Adds the products of a panel and every token to `sums`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn multiply<const M: u32>(panel: &Panel, input: &PanelInput<'_>, sums: &mut [PanelSums]);
}

/// Some rows of tiles times every token.
///
/// # Safety
/// The processor has the instructions of `I`, and no other thread uses these columns of `output`.
pub(super) unsafe fn multiply<I: InstructionSet>(
    product: &Product<'_>,
    tile_rows: Range<usize>,
    output: &Columns<'_>,
) {
    assert!(product.precision <= product.tiles.available(), "planes that are not here");
    assert_eq!(product.tiles.grid().tile_cols(), product.input.groups());
    // SAFETY: as of this function; the assertions stand for the planes and the groups.
    unsafe {
        match product.precision {
            Precision::E5M3 => with_precision::<I, 3>(product, tile_rows, output),
            Precision::E5M4 => with_precision::<I, 4>(product, tile_rows, output),
            Precision::E5M5 => with_precision::<I, 5>(product, tile_rows, output),
            Precision::E5M6 => with_precision::<I, 6>(product, tile_rows, output),
            Precision::E5M7 => with_precision::<I, 7>(product, tile_rows, output),
            Precision::E5M8 => with_precision::<I, 8>(product, tile_rows, output),
        }
    }
}

/// # Safety
/// As [`multiply`], whose assertions hold.
unsafe fn with_precision<I: InstructionSet, const M: u32>(
    product: &Product<'_>,
    tile_rows: Range<usize>,
    output: &Columns<'_>,
) {
    // SAFETY: as of this function.
    unsafe {
        match (product.input.tokens <= FEW, product.reconstruction) {
            (true, Reconstruction::Midpoint) => few_tokens::<I, M, false>(product, tile_rows, output),
            (true, Reconstruction::Truncate) => few_tokens::<I, M, true>(product, tile_rows, output),
            (false, Reconstruction::Midpoint) => many_tokens::<I, M, false>(product, tile_rows, output),
            (false, Reconstruction::Truncate) => many_tokens::<I, M, true>(product, tile_rows, output),
        }
    }
}

/// # Safety
/// As [`multiply`], whose assertions hold.
unsafe fn few_tokens<I: InstructionSet, const M: u32, const TRUNCATE: bool>(
    product: &Product<'_>,
    tile_rows: Range<usize>,
    output: &Columns<'_>,
) {
    for tile_row in tile_rows {
        let row = TileRow::new(product, tile_row);
        // SAFETY: as of this function; the tokens are those of the input.
        unsafe {
            match product.input.tokens {
                0 => {}
                1 => store(output, tile_row, 0, &I::few::<M, TRUNCATE, 1>(&row, product.input, [0])),
                2 => store(output, tile_row, 0, &I::few::<M, TRUNCATE, 2>(&row, product.input, [0, 1])),
                tokens => {
                    // The last token stands in for one that is not there.
                    let numbers = std::array::from_fn(|i| i.min(tokens - 1));
                    let sums = I::few::<M, TRUNCATE, FEW>(&row, product.input, numbers);
                    store(output, tile_row, 0, &sums[..tokens]);
                }
            }
        }
    }
}

/// # Safety
/// As [`multiply`], whose assertions hold.
unsafe fn many_tokens<I: InstructionSet, const M: u32, const TRUNCATE: bool>(
    product: &Product<'_>,
    tile_rows: Range<usize>,
    output: &Columns<'_>,
) {
    let input = product.input;
    let tokens = input.tokens;
    let numbers = Numbers::new(product.precision, product.reconstruction);
    let centre = numbers.centre - I::offset(product.precision);
    let mut panel = Panel::new();
    let mut corrections = vec![0.0; tokens];
    let mut sums: Vec<PanelSums> = vec![[[0.0; LANE_ROWS]; PANEL]; tokens];
    for first in tile_rows.clone().step_by(PANEL) {
        let count = PANEL.min(tile_rows.end - first);
        let rows: [_; PANEL] =
            std::array::from_fn(|place| TileRow::new(product, first + place.min(count - 1)));
        sums.fill([[0.0; LANE_ROWS]; PANEL]);
        for tile in 0..product.tiles.grid().tile_cols() {
            let part = tile * tokens..(tile + 1) * tokens;
            for (correction, sum) in corrections.iter_mut().zip(&input.sums[part.clone()]) {
                *correction = centre * sum;
            }
            let input = PanelInput {
                codes: &input.codes[part.start * GROUP_SIZE..part.end * GROUP_SIZE],
                scales: &input.scales[part],
                corrections: &corrections,
            };
            // SAFETY: as of this function.
            unsafe {
                for (place, row) in rows[..count].iter().enumerate() {
                    I::unpack::<M, TRUNCATE>(row, tile, &mut panel, place);
                }
                I::multiply::<M>(&panel, &input, &mut sums);
            }
        }
        for (token, sums) in sums.iter().enumerate() {
            for (place, sums) in sums[..count].iter().enumerate() {
                // SAFETY: as of this function.
                unsafe { store(output, first + place, token, std::slice::from_ref(sums)) };
            }
        }
    }
}

/// The precision of a number of mantissa bits that is known to the compiler.
pub(super) const fn precision<const M: u32>() -> Precision {
    match M {
        3 => Precision::E5M3,
        4 => Precision::E5M4,
        5 => Precision::E5M5,
        6 => Precision::E5M6,
        7 => Precision::E5M7,
        _ => Precision::E5M8,
    }
}

/// Writes the sums of a row of tiles, of some tokens from `first` on.
///
/// # Safety
/// No other thread uses these columns.
pub(super) unsafe fn store(output: &Columns<'_>, tile_row: usize, first: usize, sums: &[[f32; LANE_ROWS]]) {
    let column = tile_row * LANE_ROWS;
    for (i, sums) in sums.iter().enumerate() {
        // SAFETY: as of this function.
        let out = unsafe { output.get(first + i, column..(column + LANE_ROWS).min(output.width)) };
        out.copy_from_slice(&sums[..out.len()]);
    }
}
