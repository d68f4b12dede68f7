//! What the kernels of x86-64 share whatever the width of their vectors.

use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use sefp::{BASE_WORDS, BIT_WORDS, LANE_ROWS};

use super::driver::TileRow;

/// Tiles that the planes are to be asked for ahead.
pub(super) const TILES_AHEAD: usize = 8;
const LINE: usize = 64 / size_of::<u32>();

/// Asks for the planes of a tile, which may be one behind the end of the row: into the second-level
/// cache, as the first has too few requests under way to hide the memory. Of scales a line has
/// those of four tiles.
#[inline(always)]
pub(super) fn prefetch<const M: u32>(row: &TileRow, tile: usize) {
    ask(row.scales.wrapping_add((tile + 4 * TILES_AHEAD) * LANE_ROWS));
    for i in 0..BASE_WORDS / LINE {
        ask(row.base.wrapping_add(tile * BASE_WORDS + i * LINE));
    }
    for plane in &row.bits[..M as usize - 3] {
        for i in 0..BIT_WORDS / LINE {
            ask(plane.wrapping_add(tile * BIT_WORDS + i * LINE));
        }
    }
}

#[inline(always)]
fn ask<T>(address: *const T) {
    // SAFETY: every processor of x86-64 has the instruction, and it faults at no address.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) };
}
