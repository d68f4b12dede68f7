//! The codes of a tile, a vector to four columns, put together from the planes.

use std::arch::x86_64::*;

use sefp::{BASE_WORDS, BIT_WORDS, LANE_ROWS};

use super::HALF;
use crate::cpu::kernels::driver::TileRow;

/// The codes of a step of half a tile. At E5M3 those of an even step need not be aligned, `UNALIGNED`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn code<const M: u32, const TRUNCATE: bool, const UNALIGNED: bool>(
    base: __m512i,
    extra: &[__m512i; 4],
    step: usize,
) -> __m512i {
    let unaligned = M == 3 && UNALIGNED && step.is_multiple_of(2);
    let upper = _mm512_set1_epi8(0xf0_u8 as i8);
    let base = if step.is_multiple_of(2) && !unaligned { _mm512_slli_epi32::<4>(base) } else { base };
    let code = if unaligned {
        _mm512_and_si512(base, _mm512_set1_epi8(0x0f))
    } else if M == 3 {
        _mm512_and_si512(base, upper)
    } else {
        let extra = extra[step % 4];
        let extra = if step < 4 { extra } else { _mm512_srli_epi32::<4>(extra) };
        select(upper, base, extra)
    };
    if !TRUNCATE || M == 8 {
        return code;
    }
    // The codes of negative weights, whose first bit is 0, count one more.
    let sign = _mm512_set1_epi8(if unaligned { 0x08 } else { 0x80_u8 as i8 });
    let negative = _mm512_andnot_si512(code, sign);
    let one = match M {
        3 => _mm512_srli_epi32::<3>(negative),
        4 => _mm512_srli_epi32::<4>(negative),
        5 => _mm512_srli_epi32::<5>(negative),
        6 => _mm512_srli_epi32::<6>(negative),
        _ => _mm512_srli_epi32::<7>(negative),
    };
    _mm512_add_epi8(code, one)
}

/// The bits of planes 4 to 7 for half a tile, as far as the precision has them: the lower nibbles of
/// the n-th vector are those of step n, the upper ones those of step n + 4.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn extra_nibbles<const M: u32>(row: &TileRow, tile: usize, half: usize) -> [__m512i; 4] {
    let none = _mm512_setzero_si512();
    if M == 3 {
        return [none; 4];
    }
    // SAFETY: as of this function; the precision has the planes.
    let [bit4, bit5, bit6, bit7] = unsafe {
        [
            bits(row, 0, tile, half),
            if M > 4 { bits(row, 1, tile, half) } else { none },
            if M > 5 { bits(row, 2, tile, half) } else { none },
            if M > 6 { bits(row, 3, tile, half) } else { none },
        ]
    };
    if M == 4 {
        let mask = _mm512_set1_epi8(0x88_u8 as i8);
        return [
            _mm512_and_si512(_mm512_slli_epi32::<3>(bit4), mask),
            _mm512_and_si512(_mm512_slli_epi32::<2>(bit4), mask),
            _mm512_and_si512(_mm512_slli_epi32::<1>(bit4), mask),
            _mm512_and_si512(bit4, mask),
        ];
    }
    // Pairs of bits of steps 0, 2, 4, 6, then of steps 1, 3, 5, 7.
    let upper = interleave_bits(bit4, bit5);
    let lower = if M == 5 { [none; 2] } else { interleave_bits(bit6, bit7) };
    let [step0, step2] = interleave_pairs(upper[0], lower[0]);
    let [step1, step3] = interleave_pairs(upper[1], lower[1]);
    [step0, step1, step2, step3]
}

/// Pairs of a bit of `upper` and one of `lower`: those of even bits, those of odd bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleave_bits(upper: __m512i, lower: __m512i) -> [__m512i; 2] {
    let mask = _mm512_set1_epi8(0xaa_u8 as i8);
    [select(mask, _mm512_add_epi32(upper, upper), lower), select(mask, upper, _mm512_srli_epi32::<1>(lower))]
}

/// Nibbles of a pair of `upper` and one of `lower`: those of even pairs, those of odd pairs.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleave_pairs(upper: __m512i, lower: __m512i) -> [__m512i; 2] {
    let mask = _mm512_set1_epi8(0xcc_u8 as i8);
    [select(mask, _mm512_slli_epi32::<2>(upper), lower), select(mask, upper, _mm512_srli_epi32::<2>(lower))]
}

/// The bits of plane 8, one to a byte; with truncate, those of negative weights count one more.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn ninth_bit<const TRUNCATE: bool>(
    row: &TileRow,
    tile: usize,
    half: usize,
    step: usize,
    code: __m512i,
) -> __m512i {
    // SAFETY: as of this function; this is called at E5M8 alone.
    let bit8 = unsafe { bits(row, 4, tile, half) };
    let one = _mm512_set1_epi8(1);
    let bit = _mm512_and_si512(_mm512_srl_epi32(bit8, _mm_cvtsi32_si128(step as i32)), one);
    if !TRUNCATE {
        return bit;
    }
    let negative = _mm512_andnot_si512(_mm512_srli_epi32::<7>(code), one);
    _mm512_add_epi8(bit, negative)
}

/// `mask ? a : b`, bit by bit.
#[inline]
#[target_feature(enable = "avx512f")]
fn select(mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
}

/// The words of the base plane that hold a step of half a tile: the lower nibbles an even one.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn base(row: &TileRow, tile: usize, half: usize, step: usize) -> __m512i {
    let word = tile * BASE_WORDS + (half * HALF / 2 + step / 2) * LANE_ROWS;
    // SAFETY: as of this function.
    unsafe { _mm512_loadu_si512(row.base.add(word).cast()) }
}

/// The words of a bit plane that hold half a tile.
///
/// # Safety
/// `tile` is one of the row's, and the plane is there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bits(row: &TileRow, plane: usize, tile: usize, half: usize) -> __m512i {
    // SAFETY: as of this function.
    unsafe { _mm512_loadu_si512(row.bits[plane].add(tile * BIT_WORDS + half * LANE_ROWS).cast()) }
}
