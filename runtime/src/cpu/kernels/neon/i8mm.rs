//! The kernels for processors with products of matrices of bytes (the extension `i8mm`: phones since
//! about 2022).
//!
//! `usdot` takes codes as they are. With many tokens, `usmmla` multiplies eight columns of two rows
//! with those of two tokens, four sums at once: in a panel, the words of two steps are interleaved
//! so that a vector is two rows, and so are the activations of two tokens.

use std::arch::{aarch64::*, asm};

use sefp::{GROUP_SIZE, LANE_ROWS};

use super::{Dot, GROUP_VECTORS, LANES, VECTORS, add_scaled, few, prefetch, steps, unpack};
use crate::cpu::kernels::{
    driver::{InstructionSet, PANEL, Panel, PanelInput, PanelSums, STEPS, TileRow},
    quantised::Quantised,
};

/// Pairs of tokens of a block that passes over a panel.
const PAIRS: usize = 4;
/// Vectors of rows that a block is multiplied with at once: eight rows and eight tokens are 16
/// vectors of sums, beside 4 of codes and 4 of activations.
const STRIP: usize = 2;
/// Columns that a multiplication takes are those of two steps.
const CHUNKS: usize = STEPS / 2;

/// The activations of two tokens, eight columns of each to a vector.
type Pair = [int8x16_t; CHUNKS];

pub(in crate::cpu::kernels) struct NeonI8mm;

impl Dot for NeonI8mm {
    const SIGNED: bool = false;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn dot<const WORD: i32>(mut sums: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: the instruction is there, and touches nothing but these registers.
        unsafe {
            asm!(
                ".arch_extension i8mm",
                "usdot {sums:v}.4s, {codes:v}.16b, {x:v}.4b[{word}]",
                sums = inout(vreg) sums,
                codes = in(vreg) codes,
                x = in(vreg) x,
                word = const WORD,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

/// Adds the products of two rows and two tokens: `[row 0: token 0, token 1; row 1: token 0, token 1]`.
///
/// # Safety
/// The processor has the instruction.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_rows(mut sums: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction is there, and touches nothing but these registers.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usmmla {sums:v}.4s, {codes:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums,
            codes = in(vreg) codes,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

impl InstructionSet for NeonI8mm {
    #[target_feature(enable = "neon")]
    unsafe fn few<const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
        row: &TileRow,
        input: &Quantised,
        tokens: [usize; TOKENS],
    ) -> [[f32; LANE_ROWS]; TOKENS] {
        // SAFETY: as of this function.
        unsafe { few::<Self, M, TRUNCATE, TOKENS>(row, input, tokens) }
    }

    #[target_feature(enable = "neon")]
    unsafe fn unpack<const M: u32, const TRUNCATE: bool>(
        row: &TileRow,
        tile: usize,
        panel: &mut Panel,
        place: usize,
    ) {
        prefetch::<M>(row, tile + 1);
        // SAFETY: the caller gives a tile of the row; the panel has room for all 16 steps.
        unsafe {
            let steps = steps::<M>(row, tile);
            for vector in 0..VECTORS {
                let lane = vector * LANES;
                for half in 0..2 {
                    let codes = unpack::codes::<M, TRUNCATE>(row, tile, half, vector, false);
                    let first = half * unpack::HALF;
                    store_pairs(&codes, &mut panel.high[first..], place, lane);
                    if M == 8 {
                        let codes = unpack::ninth_bits::<TRUNCATE>(row, tile, half, vector, &codes, false);
                        let mut ninths = codes;
                        for (ninth, code) in ninths.iter_mut().zip(codes) {
                            *ninth = vreinterpretq_u8_s8(vnegq_s8(vreinterpretq_s8_u8(code)));
                        }
                        store_pairs(&ninths, &mut panel.low[first..], place, lane);
                    }
                }
                vst1q_f32(panel.steps[place][lane..].as_mut_ptr(), steps[vector]);
            }
        }
    }

    #[target_feature(enable = "neon")]
    unsafe fn multiply<const M: u32>(panel: &Panel, input: &PanelInput<'_>, sums: &mut [PanelSums]) {
        let mut first = 0;
        while first < sums.len() {
            let tokens = (2 * PAIRS).min(sums.len() - first);
            let sums = &mut sums[first..first + tokens];
            // SAFETY: as of this function.
            unsafe {
                match tokens.div_ceil(2) {
                    1 => block::<M, 1>(panel, input, first, sums),
                    2 => block::<M, 2>(panel, input, first, sums),
                    3 => block::<M, 3>(panel, input, first, sums),
                    _ => block::<M, PAIRS>(panel, input, first, sums),
                }
            }
            first += tokens;
        }
    }
}

/// Puts the codes of four rows down two by two: where an even step would be the first two rows in
/// the columns of both steps, where the odd one would be the others.
#[inline]
#[target_feature(enable = "neon")]
fn store_pairs(
    codes: &[uint8x16_t; unpack::HALF],
    words: &mut [[[u32; LANE_ROWS]; PANEL]],
    place: usize,
    lane: usize,
) {
    for (codes, words) in codes.as_chunks::<2>().0.iter().zip(words.as_chunks_mut::<2>().0) {
        let even = vreinterpretq_u32_u8(codes[0]);
        let odd = vreinterpretq_u32_u8(codes[1]);
        let pairs = [vzip1q_u32(even, odd), vzip2q_u32(even, odd)];
        for (pair, words) in pairs.into_iter().zip(words) {
            // SAFETY: four words.
            unsafe { vst1q_u32(words[place][lane..lane + LANES].as_mut_ptr(), pair) };
        }
    }
}

/// Some pairs of tokens times a panel; the last token may lack a second.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn block<const M: u32, const COUNT: usize>(
    panel: &Panel,
    input: &PanelInput<'_>,
    first: usize,
    sums: &mut [PanelSums],
) {
    let mut pairs = [[vdupq_n_s8(0); CHUNKS]; COUNT];
    for (i, pair) in pairs.iter_mut().enumerate() {
        let second = (2 * i + 1).min(sums.len() - 1);
        *pair = interleave(activations(input, first + 2 * i), activations(input, first + second));
    }
    for place in 0..PANEL {
        for strip in 0..VECTORS / STRIP {
            let lane = strip * STRIP * LANES;
            let mut dots = [[[vdupq_n_s32(0); COUNT]; 2]; STRIP];
            // SAFETY: as of this function.
            unsafe { add_products(&panel.high, place, lane, &pairs, &mut dots) };
            if M == 8 {
                for dot in dots.as_flattened_mut().as_flattened_mut() {
                    *dot = vaddq_s32(*dot, *dot);
                }
                // SAFETY: as of this function.
                unsafe { add_products(&panel.low, place, lane, &pairs, &mut dots) };
            }
            for (vector, [upper, lower]) in dots.into_iter().enumerate() {
                let lane = lane + vector * LANES;
                for (i, (upper, lower)) in upper.into_iter().zip(lower).enumerate() {
                    let dots = [vuzp1q_s32(upper, lower), vuzp2q_s32(upper, lower)];
                    for (token, dot) in (2 * i..sums.len()).zip(dots) {
                        let dot = if M == 3 { vshlq_n_s32::<4>(dot) } else { dot };
                        let numbers = (input.corrections[first + token], input.scales[first + token]);
                        add_scaled(
                            dot,
                            numbers,
                            &panel.steps[place][lane..],
                            &mut sums[token][place][lane..],
                        );
                    }
                }
            }
        }
    }
}

/// Adds the products of one part of the codes in a place of a panel, from a lane on, and some tokens.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_products<const COUNT: usize>(
    codes: &[[[u32; LANE_ROWS]; PANEL]; STEPS],
    place: usize,
    lane: usize,
    pairs: &[Pair; COUNT],
    dots: &mut [[[int32x4_t; COUNT]; 2]; STRIP],
) {
    for (chunk, codes) in codes.as_chunks::<2>().0.iter().enumerate() {
        for (vector, dots) in dots.iter_mut().enumerate() {
            for (words, dots) in codes.iter().zip(dots) {
                let words = &words[place][lane + vector * LANES..][..LANES];
                // SAFETY: four words.
                let codes = unsafe { vld1q_u8(words.as_ptr().cast()) };
                for (dot, pair) in dots.iter_mut().zip(pairs) {
                    // SAFETY: as of this function.
                    *dot = unsafe { multiply_rows(*dot, codes, pair[chunk]) };
                }
            }
        }
    }
}

/// The activations of a token.
#[inline]
#[target_feature(enable = "neon")]
fn activations(input: &PanelInput<'_>, token: usize) -> [int8x16_t; GROUP_VECTORS] {
    let mut vectors = [vdupq_n_s8(0); GROUP_VECTORS];
    let codes = &input.codes[token * GROUP_SIZE..][..GROUP_SIZE];
    for (vector, codes) in vectors.iter_mut().zip(codes.as_chunks::<16>().0) {
        // SAFETY: sixteen bytes.
        *vector = unsafe { vld1q_s8(codes.as_ptr()) };
    }
    vectors
}

#[inline]
#[target_feature(enable = "neon")]
fn interleave(first: [int8x16_t; GROUP_VECTORS], second: [int8x16_t; GROUP_VECTORS]) -> Pair {
    let mut pair = [vdupq_n_s8(0); CHUNKS];
    for (i, chunks) in pair.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let (first, second) = (vreinterpretq_s64_s8(first[i]), vreinterpretq_s64_s8(second[i]));
        let halves = [vzip1q_s64(first, second), vzip2q_s64(first, second)];
        *chunks = [vreinterpretq_s8_s64(halves[0]), vreinterpretq_s8_s64(halves[1])];
    }
    pair
}
