//! The codes of a tile in vectors of half its rows, put together from the planes.

use std::arch::x86_64::*;

use sefp::{BASE_WORDS, BIT_WORDS, LANE_ROWS};

use super::{HALF, LANES};
use crate::cpu::kernels::driver::TileRow;

/// The codes of a step of half a tile: those of the precision up to E5M6; else those of E5M6, and
/// the bits that follow.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn code<const M: u32, const TRUNCATE: bool>(
    row: &TileRow,
    tile: usize,
    half: usize,
    vector: usize,
    extra: &[__m256i; 4],
    step: usize,
) -> (__m256i, __m256i) {
    let word = tile * BASE_WORDS + (half * HALF / 2 + step / 2) * LANE_ROWS + vector * LANES;
    // SAFETY: as of this function.
    let base = unsafe { _mm256_loadu_si256(row.base.add(word).cast()) };
    let one = _mm256_set1_epi8(1);
    if M == 3 {
        let base = if step.is_multiple_of(2) { base } else { _mm256_srli_epi32::<4>(base) };
        let code = _mm256_and_si256(base, _mm256_set1_epi8(0x0f));
        return (if TRUNCATE { count_negative::<M>(code) } else { code }, one);
    }
    let base = if step.is_multiple_of(2) { _mm256_slli_epi32::<4>(base) } else { base };
    let extra = extra[step % 4];
    let extra = if step < 4 { extra } else { _mm256_srli_epi32::<4>(extra) };
    // The code of E5M7, with zeros for the bits of planes above the precision.
    let aligned = select(_mm256_set1_epi8(0xf0_u8 as i8), base, extra);
    match M {
        4 => natural::<M, TRUNCATE>(_mm256_srli_epi32::<3>(aligned), 0x1f),
        5 => natural::<M, TRUNCATE>(_mm256_srli_epi32::<2>(aligned), 0x3f),
        6 => natural::<M, TRUNCATE>(_mm256_srli_epi32::<1>(aligned), 0x7f),
        _ => {
            let high = _mm256_and_si256(_mm256_srli_epi32::<1>(aligned), _mm256_set1_epi8(0x7f));
            let mut low = _mm256_and_si256(aligned, one);
            if M == 8 {
                // SAFETY: as of this function; the precision has the plane.
                let bit8 = unsafe { bits(row, 4, tile, half, vector) };
                let bit8 = _mm256_srl_epi32(bit8, _mm_cvtsi32_si128(step as i32));
                low = _mm256_add_epi8(_mm256_add_epi8(low, low), _mm256_and_si256(bit8, one));
            }
            if TRUNCATE {
                let negative = _mm256_andnot_si256(_mm256_srli_epi32::<7>(aligned), one);
                low = _mm256_add_epi8(low, negative);
            }
            (high, low)
        }
    }
}

/// A code of E5M4 to E5M6 from one that was shifted to its place.
#[inline]
#[target_feature(enable = "avx2")]
fn natural<const M: u32, const TRUNCATE: bool>(shifted: __m256i, mask: i8) -> (__m256i, __m256i) {
    let code = _mm256_and_si256(shifted, _mm256_set1_epi8(mask));
    (if TRUNCATE { count_negative::<M>(code) } else { code }, code)
}

/// The codes of negative weights, whose first bit is 0, count one more.
#[inline]
#[target_feature(enable = "avx2")]
fn count_negative<const M: u32>(code: __m256i) -> __m256i {
    let first = match M {
        3 => _mm256_srli_epi32::<3>(code),
        4 => _mm256_srli_epi32::<4>(code),
        5 => _mm256_srli_epi32::<5>(code),
        _ => _mm256_srli_epi32::<6>(code),
    };
    _mm256_add_epi8(code, _mm256_andnot_si256(first, _mm256_set1_epi8(1)))
}

/// The bits of planes 4 to 7 for half a tile, as far as the precision has them: the lower nibbles of
/// the n-th vector are those of step n, the upper ones those of step n + 4.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn extra_nibbles<const M: u32>(
    row: &TileRow,
    tile: usize,
    half: usize,
    vector: usize,
) -> [__m256i; 4] {
    let none = _mm256_setzero_si256();
    if M == 3 {
        return [none; 4];
    }
    // SAFETY: as of this function; the precision has the planes.
    let [bit4, bit5, bit6, bit7] = unsafe {
        [
            bits(row, 0, tile, half, vector),
            if M > 4 { bits(row, 1, tile, half, vector) } else { none },
            if M > 5 { bits(row, 2, tile, half, vector) } else { none },
            if M > 6 { bits(row, 3, tile, half, vector) } else { none },
        ]
    };
    if M == 4 {
        let mask = _mm256_set1_epi8(0x88_u8 as i8);
        return [
            _mm256_and_si256(_mm256_slli_epi32::<3>(bit4), mask),
            _mm256_and_si256(_mm256_slli_epi32::<2>(bit4), mask),
            _mm256_and_si256(_mm256_slli_epi32::<1>(bit4), mask),
            _mm256_and_si256(bit4, mask),
        ];
    }
    // Pairs of bits of steps 0, 2, 4, 6, then of steps 1, 3, 5, 7; pairs of pairs.
    let bit_mask = _mm256_set1_epi8(0xaa_u8 as i8);
    let pair_mask = _mm256_set1_epi8(0xcc_u8 as i8);
    let even = select(bit_mask, _mm256_add_epi32(bit4, bit4), bit5);
    let odd = select(bit_mask, bit4, _mm256_srli_epi32::<1>(bit5));
    let (low_even, low_odd) = match M {
        5 => (none, none),
        _ => (
            select(bit_mask, _mm256_add_epi32(bit6, bit6), bit7),
            select(bit_mask, bit6, _mm256_srli_epi32::<1>(bit7)),
        ),
    };
    [
        select(pair_mask, _mm256_slli_epi32::<2>(even), low_even),
        select(pair_mask, _mm256_slli_epi32::<2>(odd), low_odd),
        select(pair_mask, even, _mm256_srli_epi32::<2>(low_even)),
        select(pair_mask, odd, _mm256_srli_epi32::<2>(low_odd)),
    ]
}

/// `mask ? a : b`, bit by bit.
#[inline]
#[target_feature(enable = "avx2")]
fn select(mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b))
}

/// The words of a bit plane that hold half a tile.
///
/// # Safety
/// `tile` is one of the row's, and the plane is there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bits(row: &TileRow, plane: usize, tile: usize, half: usize, vector: usize) -> __m256i {
    let word = tile * BIT_WORDS + half * LANE_ROWS + vector * LANES;
    // SAFETY: as of this function.
    unsafe { _mm256_loadu_si256(row.bits[plane].add(word).cast()) }
}
