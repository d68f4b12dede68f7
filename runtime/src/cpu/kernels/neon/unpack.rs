//! From planes to bytes: the codes of four rows in half a tile, one vector to a step.
//!
//! The nibbles of E5M3 are used as they are. Above, the bits of the further planes are put together
//! to nibbles by halving steps, as for AVX-512, and a nibble of the base plane is shifted in beside
//! each of them with one instruction (`sli`, `sri`, `bit`): the code aligned to the left, with zeros
//! for the bits of the planes above the precision. These instructions are written as such: of the
//! intrinsics, the compiler makes masks, shifts and alternatives, twice as many instructions.

use std::arch::{aarch64::*, asm};

use sefp::{BASE_WORDS, BIT_WORDS, LANE_ROWS};

use super::LANES;
use crate::cpu::kernels::driver::{STEPS, TileRow};

/// Steps of half a tile: the columns that lie in one word of a bit plane.
pub(super) const HALF: usize = STEPS / 2;

/// The codes of each step: at E5M3 as they are, else aligned to the left, and where `signed` less
/// 128. Those of E5M8 lack their last bit.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn codes<const M: u32, const TRUNCATE: bool>(
    row: &TileRow,
    tile: usize,
    half: usize,
    vector: usize,
    signed: bool,
) -> [uint8x16_t; HALF] {
    // SAFETY: as of this function.
    let mut base = unsafe { base(row, tile, half, vector) };
    if M == 3 {
        return nibbles::<TRUNCATE>(base);
    }
    if signed {
        // The first bit of a code is worth 128, and -128 in a signed byte.
        for base in &mut base {
            *base = veorq_u8(*base, vdupq_n_u8(0x88));
        }
    }
    // SAFETY: as of this function.
    let extra = unsafe { extra_nibbles::<M>(row, tile, half, vector) };
    // Lower nibbles of the base plane are those of even steps.
    let lower = vdupq_n_u8(0x0f);
    let mut codes = [
        insert_left(extra[0], base[0]),
        insert(base[0], extra[1], lower),
        insert_left(extra[2], base[1]),
        insert(base[1], extra[3], lower),
        insert_right(vshlq_n_u8::<4>(base[2]), extra[0]),
        insert_right(base[2], extra[1]),
        insert_right(vshlq_n_u8::<4>(base[3]), extra[2]),
        insert_right(base[3], extra[3]),
    ];
    if TRUNCATE && M < 8 {
        let one = vdupq_n_u8(1 << (7 - M));
        for code in &mut codes {
            *code = vaddq_u8(*code, vandq_u8(negative(*code, signed), one));
        }
    }
    codes
}

/// The last bits of E5M8, with truncate and one more for negative weights, as negative numbers.
///
/// # Safety
/// `tile` is one of the row's, and the plane is there.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn ninth_bits<const TRUNCATE: bool>(
    row: &TileRow,
    tile: usize,
    half: usize,
    vector: usize,
    codes: &[uint8x16_t; HALF],
    signed: bool,
) -> [uint8x16_t; HALF] {
    // SAFETY: as of this function.
    let bit8 = unsafe { bits(row, 4, tile, half, vector) };
    let mut ninths = [bit8; HALF];
    for (step, (ninth, code)) in ninths.iter_mut().zip(codes).enumerate() {
        *ninth = vtstq_u8(bit8, vdupq_n_u8(1 << step));
        if TRUNCATE {
            *ninth = vaddq_u8(*ninth, negative(*code, signed));
        }
    }
    ninths
}

/// The codes of E5M3.
#[inline]
#[target_feature(enable = "neon")]
fn nibbles<const TRUNCATE: bool>(base: [uint8x16_t; HALF / 2]) -> [uint8x16_t; HALF] {
    // The codes of negative weights, those below 8, count one more.
    const COUNTED: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut codes = [vdupq_n_u8(0); HALF];
    for (codes, base) in codes.as_chunks_mut::<2>().0.iter_mut().zip(base) {
        *codes = [vandq_u8(base, vdupq_n_u8(0x0f)), vshrq_n_u8::<4>(base)];
    }
    if TRUNCATE {
        // SAFETY: sixteen bytes.
        let counted = unsafe { vld1q_u8(COUNTED.as_ptr()) };
        for code in &mut codes {
            *code = vqtbl1q_u8(counted, *code);
        }
    }
    codes
}

/// All bits set where the weight of a left-aligned code is negative.
#[inline]
#[target_feature(enable = "neon")]
fn negative(code: uint8x16_t, signed: bool) -> uint8x16_t {
    let code = vreinterpretq_s8_u8(code);
    if signed { vcltzq_s8(code) } else { vcgezq_s8(code) }
}

/// The bits of planes 4 to 7 for half a tile, as far as the precision has them: the lower nibbles of
/// the n-th vector are those of step n, the upper ones those of step n + 4.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn extra_nibbles<const M: u32>(
    row: &TileRow,
    tile: usize,
    half: usize,
    vector: usize,
) -> [uint8x16_t; 4] {
    let none = vdupq_n_u8(0);
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
        let mask = vdupq_n_u8(0x88);
        return [
            vandq_u8(vshlq_n_u8::<3>(bit4), mask),
            vandq_u8(vshlq_n_u8::<2>(bit4), mask),
            vandq_u8(vaddq_u8(bit4, bit4), mask),
            vandq_u8(bit4, mask),
        ];
    }
    // Pairs of bits of steps 0, 2, 4, 6, then of steps 1, 3, 5, 7; pairs of pairs.
    let upper = interleave_bits(bit4, bit5);
    if M == 5 {
        let mask = vdupq_n_u8(0xcc);
        return [
            vandq_u8(vshlq_n_u8::<2>(upper[0]), mask),
            vandq_u8(vshlq_n_u8::<2>(upper[1]), mask),
            vandq_u8(upper[0], mask),
            vandq_u8(upper[1], mask),
        ];
    }
    let lower = interleave_bits(bit6, bit7);
    let [step0, step2] = interleave_pairs(upper[0], lower[0]);
    let [step1, step3] = interleave_pairs(upper[1], lower[1]);
    [step0, step1, step2, step3]
}

/// Pairs of a bit of `upper` and one of `lower`: those of even bits, those of odd bits.
#[inline]
#[target_feature(enable = "neon")]
fn interleave_bits(upper: uint8x16_t, lower: uint8x16_t) -> [uint8x16_t; 2] {
    [
        insert(vaddq_u8(upper, upper), lower, vdupq_n_u8(0x55)),
        insert(vshrq_n_u8::<1>(lower), upper, vdupq_n_u8(0xaa)),
    ]
}

/// Nibbles of a pair of `upper` and one of `lower`: those of even pairs, those of odd pairs.
#[inline]
#[target_feature(enable = "neon")]
fn interleave_pairs(upper: uint8x16_t, lower: uint8x16_t) -> [uint8x16_t; 2] {
    [
        insert(vshlq_n_u8::<2>(upper), lower, vdupq_n_u8(0x33)),
        insert(vshrq_n_u8::<2>(lower), upper, vdupq_n_u8(0xcc)),
    ]
}

/// `into` with the bits of `from` where `mask` has ones.
#[inline]
#[target_feature(enable = "neon")]
fn insert(mut into: uint8x16_t, from: uint8x16_t, mask: uint8x16_t) -> uint8x16_t {
    // SAFETY: it touches nothing but these registers.
    unsafe {
        asm!(
            "bit {into:v}.16b, {from:v}.16b, {mask:v}.16b",
            into = inout(vreg) into,
            from = in(vreg) from,
            mask = in(vreg) mask,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    into
}

/// The lower nibbles of `into`, below the lower nibbles of `from`.
#[inline]
#[target_feature(enable = "neon")]
fn insert_left(mut into: uint8x16_t, from: uint8x16_t) -> uint8x16_t {
    // SAFETY: it touches nothing but these registers.
    unsafe {
        asm!(
            "sli {into:v}.16b, {from:v}.16b, #4",
            into = inout(vreg) into,
            from = in(vreg) from,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    into
}

/// The upper nibbles of `into`, above the upper nibbles of `from`.
#[inline]
#[target_feature(enable = "neon")]
fn insert_right(mut into: uint8x16_t, from: uint8x16_t) -> uint8x16_t {
    // SAFETY: it touches nothing but these registers.
    unsafe {
        asm!(
            "sri {into:v}.16b, {from:v}.16b, #4",
            into = inout(vreg) into,
            from = in(vreg) from,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    into
}

/// The words of the base plane that hold half a tile: two steps to a vector, the even one in the lower
/// nibbles.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn base(row: &TileRow, tile: usize, half: usize, vector: usize) -> [uint8x16_t; HALF / 2] {
    let first = tile * BASE_WORDS + half * (HALF / 2) * LANE_ROWS + vector * LANES;
    let mut base = [vdupq_n_u8(0); HALF / 2];
    for (i, base) in base.iter_mut().enumerate() {
        // SAFETY: as of this function.
        *base = unsafe { vld1q_u8(row.base.add(first + i * LANE_ROWS).cast()) };
    }
    base
}

/// The words of a bit plane that hold half a tile.
///
/// # Safety
/// `tile` is one of the row's, and the plane is there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn bits(row: &TileRow, plane: usize, tile: usize, half: usize, vector: usize) -> uint8x16_t {
    let word = tile * BIT_WORDS + half * LANE_ROWS + vector * LANES;
    // SAFETY: as of this function.
    unsafe { vld1q_u8(row.bits[plane].add(word).cast()) }
}
