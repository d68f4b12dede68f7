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

use std::arch::x86_64::*;

use sefp::{BASE_WORDS, BIT_WORDS, GROUP_SIZE, LANE_ROWS, MAX_EXPONENT_CODE, Precision, Reconstruction};

use super::{
    driver::{COLUMNS, InstructionSet, PANEL, Panel, PanelInput, PanelSums, STEPS, TileRow, precision},
    int8::{self, Numbers},
    quantised::Quantised,
};

/// Tiles that the planes are fetched ahead, into the second-level cache: the first has too few
/// requests under way to hide the memory.
const PREFETCH: usize = 8;
/// Steps of half a tile: the columns that lie in one vector of a bit plane.
const HALF: usize = STEPS / 2;
/// Tokens of a block that passes over a panel: 6 * 4 sums leave room for the codes.
const BLOCK: usize = 6;

/// The steps of left-aligned codes by their exponents: up to E5M7, and at E5M8.
static STEP_TABLES: [[f32; 32]; 2] = [int8::step_table(Precision::E5M7), int8::step_table(Precision::E5M8)];

/// Two tables of 16 that map an exponent to a step.
type StepTable = [__m512; 2];

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
        let table = step_table::<M>();
        let mut sums = [_mm512_setzero_ps(); TOKENS];
        for tile in 0..row.tiles {
            prefetch::<M>(row, tile + PREFETCH);
            // SAFETY: `tile` is one of the row's, the groups and the tokens are those of the input.
            unsafe {
                let group = tile * input.tokens;
                let mut codes = [input.codes.as_ptr(); TOKENS];
                for (codes, token) in codes.iter_mut().zip(tokens) {
                    *codes = codes.add((group + token) * GROUP_SIZE);
                }
                let dots = dot::<M, TRUNCATE, TOKENS>(row, tile, codes);
                let steps = steps(row, tile, table);
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
            _mm512_storeu_ps(panel.steps[place].as_mut_ptr(), steps(row, tile, step_table::<M>()));
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

/// The codes of a step of half a tile. At E5M3 those of an even step need not be aligned, `UNALIGNED`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn code<const M: u32, const TRUNCATE: bool, const UNALIGNED: bool>(
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
unsafe fn extra_nibbles<const M: u32>(row: &TileRow, tile: usize, half: usize) -> [__m512i; 4] {
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
unsafe fn ninth_bit<const TRUNCATE: bool>(
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
unsafe fn base(row: &TileRow, tile: usize, half: usize, step: usize) -> __m512i {
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

/// The steps of a tile's rows.
///
/// # Safety
/// `tile` is one of the row's.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn steps(row: &TileRow, tile: usize, table: StepTable) -> __m512 {
    // SAFETY: as of this function.
    let codes = unsafe { _mm_loadu_si128(row.exponents.add(tile * LANE_ROWS).cast()) };
    let codes = _mm_min_epu8(codes, _mm_set1_epi8(MAX_EXPONENT_CODE as i8));
    _mm512_permutex2var_ps(table[0], _mm512_cvtepu8_epi32(codes), table[1])
}

#[inline]
#[target_feature(enable = "avx512f")]
fn step_table<const M: u32>() -> StepTable {
    let table = &STEP_TABLES[usize::from(M == 8)];
    // SAFETY: two times sixteen values.
    unsafe { [_mm512_loadu_ps(table.as_ptr()), _mm512_loadu_ps(table[16..].as_ptr())] }
}

/// Asks for the planes of a tile, which may be one behind the end of the row.
#[inline]
#[target_feature(enable = "avx512f")]
fn prefetch<const M: u32>(row: &TileRow, tile: usize) {
    const LINE: usize = 64 / size_of::<u32>();
    _mm_prefetch::<_MM_HINT_T1>(row.exponents.wrapping_add((tile + 4 * PREFETCH) * LANE_ROWS).cast());
    for i in 0..BASE_WORDS / LINE {
        _mm_prefetch::<_MM_HINT_T1>(row.base.wrapping_add(tile * BASE_WORDS + i * LINE).cast());
    }
    for plane in &row.bits[..M as usize - 3] {
        for i in 0..BIT_WORDS / LINE {
            _mm_prefetch::<_MM_HINT_T1>(plane.wrapping_add(tile * BIT_WORDS + i * LINE).cast());
        }
    }
}
