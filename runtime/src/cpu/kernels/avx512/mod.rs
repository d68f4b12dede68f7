//! The kernels for AVX-512 with its instructions for neural networks.
//!
//! A vector of 16 words is the 16 rows of a tile, four columns to a word. `vpdpbusd` multiplies the
//! four codes of a row with four activations, which are the same for every row, and adds the
//! products to the row's sum: a tile takes 16 of these, and nothing is summed across lanes.
//!
//! The codes of E5M3 are nibbles of the base plane, ready to be used. The further bits lie in one
//! plane each, eight columns to a byte; the bits of all planes are first put together to nibbles by
//! halving steps (a bit matrix transposed, four by four), then a nibble of the base plane and one of
//! these are the byte of a code, aligned to the left: 0 stands for the bits of the planes above the
//! precision. The ninth bit of E5M8 is multiplied on its own.

mod codes;

use std::arch::x86_64::*;

use sefp::{GROUP_SIZE, LANE_ROWS, Reconstruction};

use self::codes::{base, code, extra_nibbles, ninth_bit};
use super::{
    driver::{COLUMNS, InstructionSet, PANEL, Panel, PanelInput, PanelSums, STEPS, TileRow, precision},
    int8::Numbers,
    quantised::Quantised,
    x86::{TILES_AHEAD, prefetch},
};

/// Steps of half a tile: the columns that lie in one vector of a bit plane.
const HALF: usize = STEPS / 2;
/// Tokens of a block that passes over a panel: 6 * 4 sums leave room for the codes.
const BLOCK: usize = 6;

pub(super) struct Avx512Vnni;

impl InstructionSet for Avx512Vnni {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn few<const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
        row: &TileRow,
        input: &Quantised,
        tokens: [usize; TOKENS],
    ) -> [[f32; LANE_ROWS]; TOKENS] {
        let reconstruction = if TRUNCATE { Reconstruction::Truncate } else { Reconstruction::Midpoint };
        let centre = _mm512_set1_ps(Numbers::new(precision::<M>(), reconstruction).centre);
        let mut sums = [_mm512_setzero_ps(); TOKENS];
        for tile in 0..row.tiles {
            prefetch::<M>(row, tile + TILES_AHEAD);
            // SAFETY: `tile` is one of the row's, the groups and the tokens are those of the input.
            unsafe {
                let group = tile * input.tokens;
                let mut codes = [input.codes.as_ptr(); TOKENS];
                for (codes, token) in codes.iter_mut().zip(tokens) {
                    *codes = codes.add((group + token) * GROUP_SIZE);
                }
                let dots = dot::<M, TRUNCATE, TOKENS>(row, tile, codes);
                let steps = steps::<M>(row, tile);
                for (i, &token) in tokens.iter().enumerate() {
                    let sum = _mm512_set1_ps(*input.sums.as_ptr().add(group + token));
                    let bracket = _mm512_fnmadd_ps(centre, sum, _mm512_cvtepi32_ps(dots[i]));
                    let scale = _mm512_set1_ps(*input.scales.as_ptr().add(group + token));
                    sums[i] = _mm512_fmadd_ps(bracket, _mm512_mul_ps(steps, scale), sums[i]);
                }
            }
        }
        let mut values = [[0.0; LANE_ROWS]; TOKENS];
        for (values, sums) in values.iter_mut().zip(sums) {
            // SAFETY: sixteen values.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sums) };
        }
        values
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn unpack<const M: u32, const TRUNCATE: bool>(
        row: &TileRow,
        tile: usize,
        panel: &mut Panel,
        place: usize,
    ) {
        prefetch::<M>(row, tile + 1);
        // SAFETY: the caller gives a tile of the row; the panel has room for all 16 steps.
        unsafe {
            for half in 0..2 {
                let extra = extra_nibbles::<M>(row, tile, half);
                for i in 0..HALF {
                    let step = half * HALF + i;
                    let code = code::<M, TRUNCATE, false>(base(row, tile, half, i), &extra, i);
                    _mm512_storeu_si512(panel.high[step][place].as_mut_ptr().cast(), code);
                    if M == 8 {
                        let ninth = ninth_bit::<TRUNCATE>(row, tile, half, i, code);
                        _mm512_storeu_si512(panel.low[step][place].as_mut_ptr().cast(), ninth);
                    }
                }
            }
            _mm512_storeu_ps(panel.steps[place].as_mut_ptr(), steps::<M>(row, tile));
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn multiply<const M: u32>(panel: &Panel, input: &PanelInput<'_>, sums: &mut [PanelSums]) {
        let mut first = 0;
        while first < sums.len() {
            // The last tokens are divided evenly: 7 are 4 and 3, not 6 and 1.
            let blocks = (sums.len() - first).div_ceil(BLOCK);
            let tokens = (sums.len() - first).div_ceil(blocks);
            let sums = &mut sums[first..first + tokens];
            match tokens {
                1 => block::<M, 1>(panel, input, first, sums),
                2 => block::<M, 2>(panel, input, first, sums),
                3 => block::<M, 3>(panel, input, first, sums),
                4 => block::<M, 4>(panel, input, first, sums),
                5 => block::<M, 5>(panel, input, first, sums),
                _ => block::<M, BLOCK>(panel, input, first, sums),
            }
            first += tokens;
        }
    }
}

/// Some tokens times a panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn block<const M: u32, const TOKENS: usize>(
    panel: &Panel,
    input: &PanelInput<'_>,
    first: usize,
    sums: &mut [PanelSums],
) {
    let codes = &input.codes[first * GROUP_SIZE..][..TOKENS * GROUP_SIZE];
    let mut dots = [[_mm512_setzero_si512(); PANEL]; TOKENS];
    for (part, bytes) in [&panel.high, &panel.low].into_iter().enumerate().take(if M == 8 { 2 } else { 1 }) {
        if part == 1 {
            for dot in dots.as_flattened_mut() {
                *dot = _mm512_add_epi32(*dot, *dot);
            }
        }
        for (step, bytes) in bytes.iter().enumerate() {
            let mut vectors = [_mm512_setzero_si512(); PANEL];
            for (vector, lanes) in vectors.iter_mut().zip(bytes) {
                // SAFETY: sixteen words.
                *vector = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
            }
            for (token, dots) in dots.iter_mut().enumerate() {
                // SAFETY: step and token are inside of the codes.
                let x = unsafe { broadcast(codes.as_ptr().add(token * GROUP_SIZE), step) };
                for (dot, vector) in dots.iter_mut().zip(vectors) {
                    *dot = _mm512_dpbusd_epi32(*dot, vector, x);
                }
            }
        }
    }
    let dots = dots;
    add_scaled(&dots, panel, input, first, sums);
}

/// Adds products, scaled and corrected, to the sums of some tokens.
///
/// It stands on its own so that the loop over the products keeps them in registers.
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn add_scaled(
    dots: &[[__m512i; PANEL]],
    panel: &Panel,
    input: &PanelInput<'_>,
    first: usize,
    sums: &mut [PanelSums],
) {
    for (i, (dots, sums)) in dots.iter().zip(sums).enumerate() {
        let correction = _mm512_set1_ps(input.corrections[first + i]);
        let scale = _mm512_set1_ps(input.scales[first + i]);
        for place in 0..PANEL {
            let bracket = _mm512_sub_ps(_mm512_cvtepi32_ps(dots[place]), correction);
            // SAFETY: sixteen values each.
            unsafe {
                let factor = _mm512_mul_ps(_mm512_loadu_ps(panel.steps[place].as_ptr()), scale);
                let sum = _mm512_fmadd_ps(bracket, factor, _mm512_loadu_ps(sums[place].as_ptr()));
                _mm512_storeu_ps(sums[place].as_mut_ptr(), sum);
            }
        }
    }
}

/// The sums of a tile's codes times the activations, left-aligned.
///
/// # Safety
/// `tile` is one of the row's; each pointer leads to the activations of a group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dot<const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
    row: &TileRow,
    tile: usize,
    x: [*const i8; TOKENS],
) -> [__m512i; TOKENS] {
    // Two chains of additions, for codes of even and of odd steps, and one for the ninth bits.
    let mut even = [_mm512_setzero_si512(); TOKENS];
    let mut odd = [_mm512_setzero_si512(); TOKENS];
    let mut ninths = [_mm512_setzero_si512(); TOKENS];
    for half in 0..2 {
        // SAFETY: as of this function.
        unsafe {
            let extra = extra_nibbles::<M>(row, tile, half);
            for i in 0..HALF {
                let code = code::<M, TRUNCATE, true>(base(row, tile, half, i), &extra, i);
                let sums = if i % 2 == 0 { &mut even } else { &mut odd };
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = _mm512_dpbusd_epi32(*sum, code, broadcast(x, half * HALF + i));
                }
                if M == 8 {
                    let ninth = ninth_bit::<TRUNCATE>(row, tile, half, i, code);
                    for (sum, x) in ninths.iter_mut().zip(x) {
                        *sum = _mm512_dpbusd_epi32(*sum, ninth, broadcast(x, half * HALF + i));
                    }
                }
            }
        }
    }
    for ((even, odd), ninths) in even.iter_mut().zip(odd).zip(ninths) {
        // Codes of E5M3 at even steps are the lower nibbles as they are.
        let aligned = if M == 3 { _mm512_slli_epi32::<4>(*even) } else { *even };
        *even = _mm512_add_epi32(aligned, odd);
        if M == 8 {
            *even = _mm512_add_epi32(_mm512_add_epi32(*even, *even), ninths);
        }
    }
    even
}

/// Four activations, the same for every row.
///
/// # Safety
/// `codes` leads to a group.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn broadcast(codes: *const i8, step: usize) -> __m512i {
    // SAFETY: as of this function.
    _mm512_set1_epi32(unsafe { codes.add(step * COLUMNS).cast::<i32>().read_unaligned() })
}

/// The steps of a tile's rows: their scale codes become `f32` as in [`sefp::step`].
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn steps<const M: u32>(row: &TileRow, tile: usize) -> __m512 {
    // SAFETY: as of this function.
    let codes = unsafe { _mm_loadu_si128(row.scales.add(tile * LANE_ROWS).cast()) };
    // The step of a group of zeros is zero. Codes above the largest are refused when a file is opened.
    let nonzero = _mm_test_epi8_mask(codes, codes);
    let bias = _mm512_set1_epi32(Numbers::new(precision::<M>(), Reconstruction::Midpoint).step_bias());
    let steps = _mm512_add_epi32(_mm512_cvtepu8_epi32(codes), bias);
    _mm512_castsi512_ps(_mm512_maskz_slli_epi32::<20>(nonzero, steps))
}
