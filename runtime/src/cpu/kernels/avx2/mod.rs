//! The kernels for AVX2.
//!
//! As for AVX-512, with vectors of half a tile's rows. `vpmaddubsw` multiplies bytes and adds two
//! products in 16 bits, which must hold them: codes of E5M6 and below fit as they are, and the
//! smaller they are, the more products are added up before the sum is widened to 32 bits. Of the
//! codes of E5M7 and E5M8, those of E5M6 that they begin with are multiplied, and apart from them
//! the one or two bits that follow.

mod codes;

use std::arch::x86_64::*;

use sefp::{GROUP_SIZE, LANE_ROWS, MAX_SCALE_CODE, Reconstruction};

use self::codes::{code, extra_nibbles};
use super::{
    driver::{COLUMNS, InstructionSet, PANEL, Panel, PanelInput, PanelSums, STEPS, TileRow, precision},
    int8::Numbers,
    quantised::Quantised,
    x86::{TILES_AHEAD, prefetch},
};

/// Steps of half a tile: the columns that lie in one word of a bit plane.
const HALF: usize = STEPS / 2;
/// Rows of a vector, and vectors of a tile's rows.
const LANES: usize = 8;
const VECTORS: usize = LANE_ROWS / LANES;
/// Tokens of a block that passes over a panel.
const BLOCK: usize = 4;

pub(super) struct Avx2;

/// Products of bytes that 16 bits hold: twice these, each of a code and an activation up to 127.
const fn terms<const M: u32>() -> usize {
    match M {
        3 => 8,
        4 => 4,
        5 => 2,
        _ => 1,
    }
}

impl InstructionSet for Avx2 {
    #[target_feature(enable = "avx2,fma")]
    unsafe fn few<const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
        row: &TileRow,
        input: &Quantised,
        tokens: [usize; TOKENS],
    ) -> [[f32; LANE_ROWS]; TOKENS] {
        let reconstruction = if TRUNCATE { Reconstruction::Truncate } else { Reconstruction::Midpoint };
        let centre = _mm256_set1_ps(Numbers::new(precision::<M>(), reconstruction).centre);
        let mut sums = [[_mm256_setzero_ps(); VECTORS]; TOKENS];
        for tile in 0..row.tiles {
            prefetch::<M>(row, tile + TILES_AHEAD);
            // SAFETY: `tile` is one of the row's, the groups and the tokens are those of the input.
            unsafe {
                let group = tile * input.tokens;
                let mut codes = [input.codes.as_ptr(); TOKENS];
                for (codes, token) in codes.iter_mut().zip(tokens) {
                    *codes = codes.add((group + token) * GROUP_SIZE);
                }
                for vector in 0..VECTORS {
                    let dots = dot::<M, TRUNCATE, TOKENS>(row, tile, vector, codes);
                    let steps = steps::<M>(row, tile, vector);
                    for ((&token, dot), sums) in tokens.iter().zip(dots).zip(&mut sums) {
                        let sum = _mm256_set1_ps(*input.sums.as_ptr().add(group + token));
                        let bracket = _mm256_fnmadd_ps(centre, sum, _mm256_cvtepi32_ps(dot));
                        let scale = _mm256_set1_ps(*input.scales.as_ptr().add(group + token));
                        let factor = _mm256_mul_ps(steps, scale);
                        sums[vector] = _mm256_fmadd_ps(bracket, factor, sums[vector]);
                    }
                }
            }
        }
        let mut values = [[0.0; LANE_ROWS]; TOKENS];
        for (values, sums) in values.iter_mut().zip(sums) {
            for (values, sums) in values.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
                // SAFETY: eight values.
                unsafe { _mm256_storeu_ps(values.as_mut_ptr(), sums) };
            }
        }
        values
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn unpack<const M: u32, const TRUNCATE: bool>(
        row: &TileRow,
        tile: usize,
        panel: &mut Panel,
        place: usize,
    ) {
        prefetch::<M>(row, tile + 1);
        for vector in 0..VECTORS {
            let lane = vector * LANES;
            for half in 0..2 {
                // SAFETY: the caller gives a tile of the row; the panel has room for all 16 steps.
                unsafe {
                    let extra = extra_nibbles::<M>(row, tile, half, vector);
                    for i in 0..HALF {
                        let (high, low) = code::<M, TRUNCATE>(row, tile, half, vector, &extra, i);
                        let step = half * HALF + i;
                        _mm256_storeu_si256(panel.high[step][place][lane..].as_mut_ptr().cast(), high);
                        if M > 6 {
                            _mm256_storeu_si256(panel.low[step][place][lane..].as_mut_ptr().cast(), low);
                        }
                    }
                }
            }
            // SAFETY: as above.
            unsafe {
                _mm256_storeu_ps(panel.steps[place][lane..].as_mut_ptr(), steps::<M>(row, tile, vector))
            };
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply<const M: u32>(panel: &Panel, input: &PanelInput<'_>, sums: &mut [PanelSums]) {
        let mut first = 0;
        while first < sums.len() {
            let tokens = BLOCK.min(sums.len() - first);
            let sums = &mut sums[first..first + tokens];
            match tokens {
                1 => block::<M, 1>(panel, input, first, sums),
                2 => block::<M, 2>(panel, input, first, sums),
                3 => block::<M, 3>(panel, input, first, sums),
                _ => block::<M, BLOCK>(panel, input, first, sums),
            }
            first += tokens;
        }
    }
}

/// Some tokens times a panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn block<const M: u32, const TOKENS: usize>(
    panel: &Panel,
    input: &PanelInput<'_>,
    first: usize,
    sums: &mut [PanelSums],
) {
    let codes = &input.codes[first * GROUP_SIZE..][..TOKENS * GROUP_SIZE];
    for place in 0..PANEL {
        for vector in 0..VECTORS {
            let lane = vector * LANES;
            let mut totals = Totals::<M, TOKENS>::new();
            for chunk in 0..STEPS / terms::<M>() {
                for i in 0..terms::<M>() {
                    let step = chunk * terms::<M>() + i;
                    // SAFETY: eight words; step and token are inside of the codes.
                    unsafe {
                        let high = _mm256_loadu_si256(panel.high[step][place][lane..].as_ptr().cast());
                        let low = _mm256_loadu_si256(panel.low[step][place][lane..].as_ptr().cast());
                        for token in 0..TOKENS {
                            let x = broadcast(codes.as_ptr().add(token * GROUP_SIZE), step);
                            totals.add(token, high, low, x);
                        }
                    }
                }
                totals.widen();
            }
            let dots = totals.finish();
            for (i, (dot, sums)) in dots.into_iter().zip(sums.iter_mut()).enumerate() {
                let correction = _mm256_set1_ps(input.corrections[first + i]);
                let scale = _mm256_set1_ps(input.scales[first + i]);
                let bracket = _mm256_sub_ps(_mm256_cvtepi32_ps(dot), correction);
                let sums = &mut sums[place][lane..lane + LANES];
                // SAFETY: eight values each.
                unsafe {
                    let steps = _mm256_loadu_ps(panel.steps[place][lane..].as_ptr());
                    let factor = _mm256_mul_ps(steps, scale);
                    let sum = _mm256_fmadd_ps(bracket, factor, _mm256_loadu_ps(sums.as_ptr()));
                    _mm256_storeu_ps(sums.as_mut_ptr(), sum);
                }
            }
        }
    }
}

/// Sums of products for some tokens: in 16 bits until they are widened, in 32 bits after.
struct Totals<const M: u32, const TOKENS: usize> {
    high: [__m256i; TOKENS],
    low: [__m256i; TOKENS],
    wide: [__m256i; TOKENS],
}

impl<const M: u32, const TOKENS: usize> Totals<M, TOKENS> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        let zero = [_mm256_setzero_si256(); TOKENS];
        Self { high: zero, low: zero, wide: zero }
    }

    /// The products of two parts of four codes and four activations.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(&mut self, token: usize, high: __m256i, low: __m256i, x: __m256i) {
        self.high[token] = _mm256_add_epi16(self.high[token], _mm256_maddubs_epi16(high, x));
        if M > 6 {
            self.low[token] = _mm256_add_epi16(self.low[token], _mm256_maddubs_epi16(low, x));
        }
    }

    /// To be called before 16 bits overflow. The lower parts never fill them within a tile.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen(&mut self) {
        for (wide, high) in self.wide.iter_mut().zip(&mut self.high) {
            *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(*high, _mm256_set1_epi16(1)));
            *high = _mm256_setzero_si256();
        }
    }

    /// The sums, left-aligned.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn finish(mut self) -> [__m256i; TOKENS] {
        for (wide, low) in self.wide.iter_mut().zip(&mut self.low) {
            *wide = match M {
                3 => _mm256_slli_epi32::<4>(*wide),
                4 => _mm256_slli_epi32::<3>(*wide),
                5 => _mm256_slli_epi32::<2>(*wide),
                6 | 7 => _mm256_slli_epi32::<1>(*wide),
                _ => _mm256_slli_epi32::<2>(*wide),
            };
            if M > 6 {
                *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(*low, _mm256_set1_epi16(1)));
            }
        }
        self.wide
    }
}

/// The sums of the codes of half a tile's rows times the activations, left-aligned.
///
/// # Safety
/// `tile` is one of the row's; each pointer leads to the activations of a group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dot<const M: u32, const TRUNCATE: bool, const TOKENS: usize>(
    row: &TileRow,
    tile: usize,
    vector: usize,
    x: [*const i8; TOKENS],
) -> [__m256i; TOKENS] {
    let mut totals = Totals::<M, TOKENS>::new();
    for half in 0..2 {
        // SAFETY: as of this function.
        unsafe {
            let extra = extra_nibbles::<M>(row, tile, half, vector);
            for chunk in 0..HALF / terms::<M>() {
                for i in 0..terms::<M>() {
                    let step = chunk * terms::<M>() + i;
                    let (high, low) = code::<M, TRUNCATE>(row, tile, half, vector, &extra, step);
                    for (token, &x) in x.iter().enumerate() {
                        totals.add(token, high, low, broadcast(x, half * HALF + step));
                    }
                }
                totals.widen();
            }
        }
    }
    totals.finish()
}

/// Four activations, the same for every row.
///
/// # Safety
/// `codes` leads to a group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn broadcast(codes: *const i8, step: usize) -> __m256i {
    // SAFETY: as of this function.
    _mm256_set1_epi32(unsafe { codes.add(step * COLUMNS).cast::<i32>().read_unaligned() })
}

/// The steps of half a tile's rows: their scale codes become `f32` as in [`sefp::step`].
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn steps<const M: u32>(row: &TileRow, tile: usize, vector: usize) -> __m256 {
    // SAFETY: as of this function.
    let codes = unsafe { _mm_loadl_epi64(row.scales.add(tile * LANE_ROWS + vector * LANES).cast()) };
    let codes = _mm256_cvtepu8_epi32(_mm_min_epu8(codes, _mm_set1_epi8(MAX_SCALE_CODE as i8)));
    let bias = _mm256_set1_epi32(Numbers::new(precision::<M>(), Reconstruction::Midpoint).step_bias());
    let steps = _mm256_slli_epi32::<20>(_mm256_add_epi32(codes, bias));
    // The step of a group of zeros is zero.
    let nonzero = _mm256_cmpgt_epi32(codes, _mm256_setzero_si256());
    _mm256_castsi256_ps(_mm256_and_si256(steps, nonzero))
}
