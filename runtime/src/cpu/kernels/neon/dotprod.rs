//! The kernels for processors with `sdot` (the extension `dotprod`: phones since about 2018).
//!
//! `sdot` takes signed bytes, so 128 is taken off the codes, with which the top bit of each is
//! flipped, and the centre is so much smaller.

use std::arch::aarch64::*;

use sefp::{GROUP_SIZE, LANE_ROWS, Precision};

use super::{Dot, LANES, VECTORS, WORDS, add_scaled, few, offset, prefetch, signed_dot, steps, unpack};
use crate::cpu::kernels::{
    driver::{COLUMNS, InstructionSet, PANEL, Panel, PanelInput, PanelSums, TileRow},
    quantised::Quantised,
};

/// Tokens of a block that passes over a panel: 4 * 4 sums leave room for codes and activations.
const BLOCK: usize = 4;

pub(in crate::cpu::kernels) struct NeonDotprod;

impl Dot for NeonDotprod {
    const SIGNED: bool = true;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn dot<const WORD: i32>(sums: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: as of this function.
        unsafe { signed_dot::<WORD>(sums, codes, x) }
    }
}

impl InstructionSet for NeonDotprod {
    fn offset(precision: Precision) -> f32 {
        offset(precision.mantissa_bits())
    }

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
                    let codes = unpack::codes::<M, TRUNCATE>(row, tile, half, vector, true);
                    let first = half * unpack::HALF;
                    for (code, words) in codes.into_iter().zip(&mut panel.high[first..]) {
                        vst1q_u8(words[place][lane..].as_mut_ptr().cast(), code);
                    }
                    if M == 8 {
                        let codes = unpack::ninth_bits::<TRUNCATE>(row, tile, half, vector, &codes, true);
                        for (code, words) in codes.into_iter().zip(&mut panel.low[first..]) {
                            let code = vnegq_s8(vreinterpretq_s8_u8(code));
                            vst1q_s8(words[place][lane..].as_mut_ptr().cast(), code);
                        }
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
            let tokens = BLOCK.min(sums.len() - first);
            let sums = &mut sums[first..first + tokens];
            // SAFETY: as of this function.
            unsafe {
                match tokens {
                    1 => block::<M, 1>(panel, input, first, sums),
                    2 => block::<M, 2>(panel, input, first, sums),
                    3 => block::<M, 3>(panel, input, first, sums),
                    _ => block::<M, BLOCK>(panel, input, first, sums),
                }
            }
            first += tokens;
        }
    }
}

/// Some tokens times a panel.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn block<const M: u32, const TOKENS: usize>(
    panel: &Panel,
    input: &PanelInput<'_>,
    first: usize,
    sums: &mut [PanelSums],
) {
    let x = &input.codes[first * GROUP_SIZE..][..TOKENS * GROUP_SIZE];
    for place in 0..PANEL {
        let mut dots = [[vdupq_n_s32(0); VECTORS]; TOKENS];
        // SAFETY: as of this function.
        unsafe { add_products(&panel.high, place, x, &mut dots) };
        if M == 8 {
            for dot in dots.as_flattened_mut() {
                *dot = vaddq_s32(*dot, *dot);
            }
            // SAFETY: as of this function.
            unsafe { add_products(&panel.low, place, x, &mut dots) };
        }
        for (i, (dots, sums)) in dots.iter().zip(sums.iter_mut()).enumerate() {
            let numbers = (input.corrections[first + i], input.scales[first + i]);
            for (vector, &dot) in dots.iter().enumerate() {
                let dot = if M == 3 { vshlq_n_s32::<4>(dot) } else { dot };
                let lane = vector * LANES;
                add_scaled(dot, numbers, &panel.steps[place][lane..], &mut sums[place][lane..]);
            }
        }
    }
}

/// Adds the products of one part of the codes in a place of a panel, and some tokens.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_products<const TOKENS: usize>(
    codes: &[[[u32; LANE_ROWS]; PANEL]],
    place: usize,
    x: &[i8],
    dots: &mut [[int32x4_t; VECTORS]; TOKENS],
) {
    assert_eq!(x.len(), TOKENS * GROUP_SIZE);
    for (part, codes) in codes.as_chunks::<WORDS>().0.iter().enumerate() {
        let mut vectors = [vdupq_n_s8(0); TOKENS];
        for (token, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: a group has as many vectors as there are parts of the codes.
            *vector = unsafe { vld1q_s8(x.as_ptr().add(token * GROUP_SIZE + part * WORDS * COLUMNS)) };
        }
        // SAFETY: as of this function.
        unsafe {
            add_step::<0, TOKENS>(&codes[0][place], &vectors, dots);
            add_step::<1, TOKENS>(&codes[1][place], &vectors, dots);
            add_step::<2, TOKENS>(&codes[2][place], &vectors, dots);
            add_step::<3, TOKENS>(&codes[3][place], &vectors, dots);
        }
    }
}

/// The products of one step.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_step<const WORD: i32, const TOKENS: usize>(
    codes: &[u32; LANE_ROWS],
    x: &[int8x16_t; TOKENS],
    dots: &mut [[int32x4_t; VECTORS]; TOKENS],
) {
    for (vector, codes) in codes.as_chunks::<LANES>().0.iter().enumerate() {
        // SAFETY: four words.
        let codes = unsafe { vld1q_u8(codes.as_ptr().cast()) };
        for (dots, &x) in dots.iter_mut().zip(x) {
            // SAFETY: as of this function.
            dots[vector] = unsafe { signed_dot::<WORD>(dots[vector], codes, x) };
        }
    }
}
