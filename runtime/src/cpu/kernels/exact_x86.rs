//! The functions of the exact kernel with the vectors of x86-64: the same text for two widths.

/// The two functions with vectors of `$lanes` rows.
macro_rules! exact {
    (
        $width:ident, $features:literal, $lanes:literal,
        load $load:ident $load_f32:ident, store $store_f32:ident,
        set $set:ident $set_f32:ident, bits $and:ident $or:ident $xor:ident $add:ident, shift $left:ident $right:ident,
        f32 $convert:ident $add_f32:ident $multiply_f32:ident $zero_f32:ident
    ) => {
        pub(in crate::cpu::kernels) mod $width {
            use std::arch::x86_64::*;

            use sefp::{BASE_WORDS, BIT_WORDS, GROUP_SIZE, LANE_ROWS, Offset, Reconstruction, Tile};

            use super::super::{
                Call,
                driver::{PANEL, PanelSums},
                exact::Tiles,
            };

            /// Bit-exact with [`TileView::decode_tile`](sefp::TileView::decode_tile).
            #[target_feature(enable = $features)]
            pub(in crate::cpu::kernels) fn decode(call: &Call<'_>, tile: usize, out: &mut Tile) {
                let view = &call.tiles;
                let base = &view.base()[tile * BASE_WORDS..][..BASE_WORDS];
                let planes = view.bits();
                let planes = &planes[..call.precision.bit_planes()];
                let scales = &view.scales()[tile * LANE_ROWS..][..LANE_ROWS];
                let mut steps = [0.0_f32; LANE_ROWS];
                for (step, &scale) in steps.iter_mut().zip(scales) {
                    *step = sefp::step(scale, call.precision);
                }
                let truncate = call.reconstruction == Reconstruction::Truncate;
                let bias = $set_f32(Offset::new(call.precision, call.reconstruction).bias);
                let sign = _mm_cvtsi32_si128(call.precision.mantissa_bits() as i32);
                let one = $set(1);
                for (column, out) in out.iter_mut().enumerate() {
                    // Where a column lies is told in models/FORMAT.md.
                    let (half, step, byte) = (column / 32, column % 32 / 4, column % 4);
                    let base = &base[half * 64 + step / 2 * LANE_ROWS..][..LANE_ROWS];
                    let base_shift = _mm_cvtsi32_si128((8 * byte + 4 * (step % 2)) as i32);
                    let bit_shift = _mm_cvtsi32_si128((8 * byte + step) as i32);
                    for lane in (0..LANE_ROWS).step_by($lanes) {
                        // SAFETY: a vector of lanes lies inside of each of these slices of sixteen.
                        unsafe {
                            let words = $load(base[lane..].as_ptr().cast());
                            let mut code = $and($right(words, base_shift), $set(0x0f));
                            for plane in planes {
                                let words = &plane[tile * BIT_WORDS + half * LANE_ROWS..][..LANE_ROWS];
                                let words = $load(words[lane..].as_ptr().cast());
                                let bit = $and($right(words, bit_shift), one);
                                code = $or($left::<1>(code), bit);
                            }
                            if truncate {
                                // The codes of negative weights, whose first bit is 0, count one more.
                                code = $add(code, $xor($right(code, sign), one));
                            }
                            let value = $add_f32($convert(code), bias);
                            let value = $multiply_f32(value, $load_f32(steps[lane..].as_ptr()));
                            $store_f32(out[lane..].as_mut_ptr(), $add_f32(value, $zero_f32()));
                        }
                    }
                }
            }

            /// Adds products column by column, each rounded before it is added.
            #[target_feature(enable = $features)]
            pub(in crate::cpu::kernels) fn multiply(
                tiles: &Tiles,
                x: &[f32; GROUP_SIZE],
                sums: &mut PanelSums,
            ) {
                for lane in (0..LANE_ROWS).step_by($lanes) {
                    let mut totals = [$zero_f32(); PANEL];
                    for (total, sums) in totals.iter_mut().zip(&*sums) {
                        // SAFETY: a vector of lanes lies inside of sixteen.
                        *total = unsafe { $load_f32(sums[lane..].as_ptr()) };
                    }
                    for (column, &x) in x.iter().enumerate() {
                        let x = $set_f32(x);
                        for (total, tile) in totals.iter_mut().zip(tiles) {
                            // SAFETY: as above.
                            let weights = unsafe { $load_f32(tile[column][lane..].as_ptr()) };
                            *total = $add_f32(*total, $multiply_f32(weights, x));
                        }
                    }
                    for (total, sums) in totals.into_iter().zip(&mut *sums) {
                        // SAFETY: as above.
                        unsafe { $store_f32(sums[lane..].as_mut_ptr(), total) };
                    }
                }
            }
        }
    };
}

exact!(
    avx512, "avx512f", 16,
    load _mm512_loadu_si512 _mm512_loadu_ps, store _mm512_storeu_ps,
    set _mm512_set1_epi32 _mm512_set1_ps,
    bits _mm512_and_si512 _mm512_or_si512 _mm512_xor_si512 _mm512_add_epi32,
    shift _mm512_slli_epi32 _mm512_srl_epi32,
    f32 _mm512_cvtepi32_ps _mm512_add_ps _mm512_mul_ps _mm512_setzero_ps
);
exact!(
    avx2, "avx2", 8,
    load _mm256_loadu_si256 _mm256_loadu_ps, store _mm256_storeu_ps,
    set _mm256_set1_epi32 _mm256_set1_ps,
    bits _mm256_and_si256 _mm256_or_si256 _mm256_xor_si256 _mm256_add_epi32,
    shift _mm256_slli_epi32 _mm256_srl_epi32,
    f32 _mm256_cvtepi32_ps _mm256_add_ps _mm256_mul_ps _mm256_setzero_ps
);
