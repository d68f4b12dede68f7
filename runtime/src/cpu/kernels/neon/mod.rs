//! The kernels for 64-bit ARM: what the two instruction sets share.
//!
//! A vector is four rows of a tile, four columns to a word. `sdot` and `usdot` multiply the four
//! codes of a row with four activations, which they take from one word of a vector, the same for
//! every row: a vector of 16 activations serves four steps, and nothing is broadcast.
//!
//! The intrinsics of these instructions are not stable yet, so each is a line of assembly. It names
//! its extension, so that it can stand in functions that are compiled for plain NEON.

mod dotprod;
mod i8mm;
mod unpack;

use std::arch::{aarch64::*, asm};

use sefp::{BASE_WORDS, BIT_WORDS, GROUP_SIZE, LANE_ROWS, MAX_SCALE_CODE, Reconstruction};

pub(super) use self::{dotprod::NeonDotprod, i8mm::NeonI8mm};
use super::{
    driver::{COLUMNS, TileRow, precision},
    int8::Numbers,
    quantised::Quantised,
};

/// Tiles that the planes are fetched ahead: every plane is a stream of its own, more than the small
/// cores follow by themselves.
const PREFETCH: usize = 4;
/// Rows of a vector, and vectors of a tile's rows.
const LANES: usize = 4;
const VECTORS: usize = LANE_ROWS / LANES;
/// Steps that a vector of activations serves, and vectors of a group.
const WORDS: usize = 4;
const GROUP_VECTORS: usize = GROUP_SIZE / (WORDS * COLUMNS);

/// The instruction that multiplies codes with activations.
trait Dot {
    /// Whether it takes the codes as signed bytes: those above E5M3 then have 128 taken off.
    const SIGNED: bool;

    /// Adds the products of the codes of four rows and the four activations of a word.
    ///
    /// # Safety
    /// The processor has the instruction.
    unsafe fn dot<const WORD: i32>(sums: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t;
}

/// [`Dot::dot`] of signed bytes.
///
/// # Safety
/// The processor has the instruction.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn signed_dot<const WORD: i32>(mut sums: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction is there, and touches nothing but these registers.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {codes:v}.16b, {x:v}.4b[{word}]",
            sums = inout(vreg) sums,
            codes = in(vreg) codes,
            x = in(vreg) x,
            word = const WORD,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// What was taken off the left-aligned codes of a precision, where they are signed.
const fn offset(mantissa_bits: u32) -> f32 {
    match mantissa_bits {
        3 => 0.0,
        8 => 256.0,
        _ => 128.0,
    }
}

/// One row of tiles times a few tokens.
///
/// # Safety
/// As of [`InstructionSet::few`](super::driver::InstructionSet::few).
#[inline]
#[target_feature(enable = "neon")]
unsafe fn few<D: Dot, const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
    row: &TileRow,
    input: &Quantised,
    tokens: [usize; TOKENS],
) -> [[f32; LANE_ROWS]; TOKENS] {
    let reconstruction = if TRUNCATE { Reconstruction::Truncate } else { Reconstruction::Midpoint };
    let offset = if D::SIGNED { offset(M) } else { 0.0 };
    let centre = Numbers::new(precision::<M>(), reconstruction).centre - offset;
    let mut sums = [[vdupq_n_f32(0.0); VECTORS]; TOKENS];
    for tile in 0..row.tiles {
        prefetch::<M>(row, tile + PREFETCH);
        let mut x = [[vdupq_n_s8(0); GROUP_VECTORS]; TOKENS];
        let mut corrections = [vdupq_n_f32(0.0); TOKENS];
        let mut scales = [0.0; TOKENS];
        for (i, token) in tokens.into_iter().enumerate() {
            let index = tile * input.tokens + token;
            // SAFETY: the groups and the tokens are those of the input.
            unsafe {
                let codes = input.codes.as_ptr().add(index * GROUP_SIZE);
                for (part, x) in x[i].iter_mut().enumerate() {
                    *x = vld1q_s8(codes.add(part * size_of::<int8x16_t>()));
                }
                corrections[i] = vdupq_n_f32(centre * *input.sums.as_ptr().add(index));
                scales[i] = *input.scales.as_ptr().add(index);
            }
        }
        // SAFETY: `tile` is one of the row's.
        let steps = unsafe { steps::<M>(row, tile) };
        for vector in 0..VECTORS {
            // SAFETY: as above.
            let dots = unsafe { dot::<D, M, TRUNCATE, TOKENS>(row, tile, vector, &x) };
            for (i, sums) in sums.iter_mut().enumerate() {
                let bracket = vsubq_f32(vcvtq_f32_s32(dots[i]), corrections[i]);
                let factor = vmulq_n_f32(steps[vector], scales[i]);
                sums[vector] = vfmaq_f32(sums[vector], bracket, factor);
            }
        }
    }
    let mut values = [[0.0; LANE_ROWS]; TOKENS];
    for (values, sums) in values.iter_mut().zip(sums) {
        for (values, sums) in values.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
            // SAFETY: four values.
            unsafe { vst1q_f32(values.as_mut_ptr(), sums) };
        }
    }
    values
}

/// The sums of the codes of four rows of a tile times the activations of some tokens, left-aligned.
///
/// # Safety
/// The processor has the instruction; `tile` is one of the row's.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn dot<D: Dot, const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
    row: &TileRow,
    tile: usize,
    vector: usize,
    x: &[[int8x16_t; GROUP_VECTORS]; TOKENS],
) -> [int32x4_t; TOKENS] {
    // Two chains of additions for the codes, and one for the ninth bits.
    let mut chains = [[vdupq_n_s32(0); 2]; TOKENS];
    let mut ninths = [vdupq_n_s32(0); TOKENS];
    for half in 0..2 {
        // SAFETY: as of this function.
        unsafe {
            let codes = unpack::codes::<M, TRUNCATE>(row, tile, half, vector, D::SIGNED);
            for (token, [even, odd]) in chains.iter_mut().enumerate() {
                for (part, codes) in codes.as_chunks::<WORDS>().0.iter().enumerate() {
                    let x = x[token][half * 2 + part];
                    *even = D::dot::<0>(*even, codes[0], x);
                    *odd = D::dot::<1>(*odd, codes[1], x);
                    *even = D::dot::<2>(*even, codes[2], x);
                    *odd = D::dot::<3>(*odd, codes[3], x);
                }
            }
            if M == 8 {
                let codes = unpack::ninth_bits::<TRUNCATE>(row, tile, half, vector, &codes, D::SIGNED);
                for (token, sum) in ninths.iter_mut().enumerate() {
                    for (part, codes) in codes.as_chunks::<WORDS>().0.iter().enumerate() {
                        let x = x[token][half * 2 + part];
                        *sum = signed_dot::<0>(*sum, codes[0], x);
                        *sum = signed_dot::<1>(*sum, codes[1], x);
                        *sum = signed_dot::<2>(*sum, codes[2], x);
                        *sum = signed_dot::<3>(*sum, codes[3], x);
                    }
                }
            }
        }
    }
    let mut dots = [vdupq_n_s32(0); TOKENS];
    for (token, dot) in dots.iter_mut().enumerate() {
        *dot = vaddq_s32(chains[token][0], chains[token][1]);
        *dot = match M {
            3 => vshlq_n_s32::<4>(*dot),
            8 => vsubq_s32(vaddq_s32(*dot, *dot), ninths[token]),
            _ => *dot,
        };
    }
    dots
}

/// Adds products of four rows and a token, scaled and corrected, to their sums.
#[inline]
#[target_feature(enable = "neon")]
fn add_scaled(dot: int32x4_t, (correction, scale): (f32, f32), steps: &[f32], sums: &mut [f32]) {
    let (steps, sums) = (&steps[..LANES], &mut sums[..LANES]);
    let bracket = vsubq_f32(vcvtq_f32_s32(dot), vdupq_n_f32(correction));
    // SAFETY: four values each.
    unsafe {
        let factor = vmulq_n_f32(vld1q_f32(steps.as_ptr()), scale);
        vst1q_f32(sums.as_mut_ptr(), vfmaq_f32(vld1q_f32(sums.as_ptr()), bracket, factor));
    }
}

/// The steps of a tile's rows: their scale codes become `f32` as in [`sefp::step`].
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn steps<const M: u32>(row: &TileRow, tile: usize) -> [float32x4_t; VECTORS] {
    // SAFETY: as of this function.
    let codes = unsafe { vld1q_u8(row.scales.add(tile * LANE_ROWS)) };
    let bias = vdupq_n_u16(Numbers::new(precision::<M>(), Reconstruction::Midpoint).step_bias() as u16);
    let codes = vminq_u8(codes, vdupq_n_u8(MAX_SCALE_CODE));
    // By 4 bits as 16-bit halves, then by 16: the halves below them are zero.
    let half = |codes: uint16x8_t| {
        // The step of a group of zeros is zero.
        let steps = vandq_u16(vaddq_u16(codes, bias), vtstq_u16(codes, codes));
        vshlq_n_u16::<4>(steps)
    };
    let (lower, upper) = (half(vmovl_u8(vget_low_u8(codes))), half(vmovl_high_u8(codes)));
    let zero = vdupq_n_u16(0);
    [
        vreinterpretq_f32_u16(vzip1q_u16(zero, lower)),
        vreinterpretq_f32_u16(vzip2q_u16(zero, lower)),
        vreinterpretq_f32_u16(vzip1q_u16(zero, upper)),
        vreinterpretq_f32_u16(vzip2q_u16(zero, upper)),
    ]
}

/// Asks for the planes of a tile, which may be one behind the end of the row.
#[inline]
fn prefetch<const M: u32>(row: &TileRow, tile: usize) {
    let base = row.base.wrapping_add(tile * BASE_WORDS);
    // SAFETY: these are hints, which read nothing.
    unsafe {
        asm!(
            "prfm pldl1strm, [{0}]",
            "prfm pldl1strm, [{0}, #64]",
            "prfm pldl1strm, [{0}, #128]",
            "prfm pldl1strm, [{0}, #192]",
            "prfm pldl1strm, [{0}, #256]",
            "prfm pldl1strm, [{0}, #320]",
            "prfm pldl1strm, [{0}, #384]",
            "prfm pldl1strm, [{0}, #448]",
            in(reg) base,
            options(readonly, nostack, preserves_flags),
        );
    }
    for plane in &row.bits[..M as usize - 3] {
        let bits = plane.wrapping_add(tile * BIT_WORDS);
        // SAFETY: as above.
        unsafe {
            asm!(
                "prfm pldl1strm, [{0}]",
                "prfm pldl1strm, [{0}, #64]",
                in(reg) bits,
                options(readonly, nostack, preserves_flags),
            );
        }
    }
}
