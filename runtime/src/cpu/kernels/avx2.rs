//! The kernels for AVX2.
//!
//! As for AVX-512, with vectors of half a tile's rows. `vpmaddubsw` multiplies bytes and adds two
//! products in 16 bits, which must hold them: codes of E5M6 and below fit as they are, and the
//! smaller they are, the more products are added up before the sum is widened to 32 bits. Of the
//! codes of E5M7 and E5M8, those of E5M6 that they begin with are multiplied, and apart from them
//! the one or two bits that follow.

use std::arch::x86_64::*;

use sefp::{BASE_WORDS, BIT_WORDS, GROUP_SIZE, LANE_ROWS, MAX_EXPONENT_CODE, Reconstruction};

use super::{
    driver::{COLUMNS, InstructionSet, PANEL, Panel, PanelInput, PanelSums, STEPS, TileRow, precision},
    int8::Numbers,
    quantised::Quantised,
};

/// Tiles that the planes are fetched ahead.
const PREFETCH: usize = 8;
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
            prefetch::<M>(row, tile + PREFETCH);
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

/// The codes of a step of half a tile: those of the precision up to E5M6; else those of E5M6, and
/// the bits that follow.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn code<const M: u32, const TRUNCATE: bool>(
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
unsafe fn extra_nibbles<const M: u32>(
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

/// The steps of half a tile's rows, whose exponents become those of `f32`.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn steps<const M: u32>(row: &TileRow, tile: usize, vector: usize) -> __m256 {
    // SAFETY: as of this function.
    let codes = unsafe { _mm_loadl_epi64(row.exponents.add(tile * LANE_ROWS + vector * LANES).cast()) };
    let codes = _mm256_cvtepu8_epi32(_mm_min_epu8(codes, _mm_set1_epi8(MAX_EXPONENT_CODE as i8)));
    let aligned = Numbers::new(precision::<M>(), Reconstruction::Midpoint).aligned;
    let bias = _mm256_set1_epi32((sefp::step(1, aligned).to_bits() >> 23) as i32 - 1);
    let steps = _mm256_slli_epi32::<23>(_mm256_add_epi32(codes, bias));
    let nonzero = _mm256_cmpgt_epi32(codes, _mm256_setzero_si256());
    _mm256_castsi256_ps(_mm256_and_si256(steps, nonzero))
}

/// Asks for the planes of a tile, which may be one behind the end of the row.
#[inline]
#[target_feature(enable = "avx2")]
fn prefetch<const M: u32>(row: &TileRow, tile: usize) {
    const LINE: usize = 64 / size_of::<u32>();
    for i in 0..BASE_WORDS / LINE {
        _mm_prefetch::<_MM_HINT_T1>(row.base.wrapping_add(tile * BASE_WORDS + i * LINE).cast());
    }
    for plane in &row.bits[..M as usize - 3] {
        for i in 0..BIT_WORDS / LINE {
            _mm_prefetch::<_MM_HINT_T1>(plane.wrapping_add(tile * BIT_WORDS + i * LINE).cast());
        }
    }
}
