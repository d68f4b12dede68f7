//! What must hold for any weights: nesting, agreement of the three ways to decode, error bounds.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use sefp::{
    GROUP_SIZE, LANE_ROWS, PackedMatrix, Precision, Reconstruction, Scale, TileView, decode, quantize_group,
    step, truncate,
};

/// Weights over the whole range of the format, subnormals and exact powers of two included.
fn weight() -> impl Strategy<Value = f32> {
    let any = (any::<bool>(), 0_u32..0x4780_0000).prop_map(|(negative, bits)| {
        let magnitude = f32::from_bits(bits);
        if negative { -magnitude } else { magnitude }
    });
    let on_a_step =
        (-255_i32..=255, -21_i32..=8).prop_map(|(mantissa, exponent)| mantissa as f32 * 2_f32.powi(exponent));
    prop_oneof![4 => -1.0_f32..1.0, 2 => any, 2 => on_a_step, 1 => Just(0.0), 1 => Just(-0.0)]
}

fn scale() -> impl Strategy<Value = Scale> {
    prop::sample::select(&Scale::ALL[..])
}

fn matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    (1_usize..40, 1_usize..150)
        .prop_flat_map(|(rows, cols)| (Just(rows), Just(cols), prop::collection::vec(weight(), rows * cols)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Packing and reading back gives the codes and values of quantising alone, at every precision
    /// and both reconstructions, weight by weight, row by row and tile by tile.
    #[test]
    fn unpacking_equals_quantising((rows, cols, weights) in matrix(), scale in scale()) {
        let packed = PackedMatrix::pack(&weights, rows, cols, scale).unwrap();
        let view = packed.view();
        for (row, weights) in weights.chunks(cols).enumerate() {
            for (group, weights) in weights.chunks(GROUP_SIZE).enumerate() {
                let mut codes = [0; GROUP_SIZE];
                let scale_code = quantize_group(weights, &mut codes, scale).unwrap();
                prop_assert_eq!(view.scale(row, group * GROUP_SIZE), scale_code);
                for (i, &code) in codes[..weights.len()].iter().enumerate() {
                    for precision in Precision::ALL {
                        prop_assert_eq!(view.code(row, group * GROUP_SIZE + i, precision), truncate(code, precision));
                    }
                }
            }
        }
        for precision in Precision::ALL {
            for reconstruction in Reconstruction::ALL {
                check_rows_and_tiles(&view, precision, reconstruction)?;
            }
        }
    }

    /// A lower precision is a right shift of a higher one, and never moves a value by more than a
    /// step of its own.
    #[test]
    fn precisions_are_nested(weights in prop::collection::vec(weight(), 1..=GROUP_SIZE), scale in scale()) {
        let mut codes = [0; GROUP_SIZE];
        let scale_code = quantize_group(&weights, &mut codes, scale).unwrap();
        for (&weight, &code) in weights.iter().zip(&codes) {
            prop_assert!(code <= 511);
            for pair in Precision::ALL.windows(2) {
                prop_assert_eq!(truncate(code, pair[1]) >> 1, truncate(code, pair[0]));
            }
            for precision in Precision::ALL {
                let step = step(scale_code, precision);
                let midpoint = decode(truncate(code, precision), scale_code, precision, Reconstruction::Midpoint);
                let truncated = decode(truncate(code, precision), scale_code, precision, Reconstruction::Truncate);
                prop_assert!(f64::from(midpoint - weight).abs() <= f64::from(step) / 2.0, "{} {}", weight, midpoint);
                prop_assert!(truncated.abs() <= weight.abs() && weight.abs() - truncated.abs() <= step);
                prop_assert!(truncated == 0.0 || truncated.is_sign_negative() == weight.is_sign_negative());
            }
        }
    }

    /// The formulas of the format in f64, where they are exact: the smallest range that covers the
    /// group, then sign times truncated magnitude times step, as in the paper.
    #[test]
    fn truncate_is_sign_and_magnitude(
        weights in prop::collection::vec(weight(), 1..=GROUP_SIZE),
        scale in scale(),
    ) {
        let mut codes = [0; GROUP_SIZE];
        let scale_code = quantize_group(&weights, &mut codes, scale).unwrap();
        let max = weights.iter().fold(0.0_f64, |max, w| max.max(f64::from(w.abs())));
        prop_assert_eq!(scale_code == 0, max == 0.0);
        let power = 2_f64.powi((max.log2().floor() as i32).clamp(-14, 15));
        let smallest = if scale == Scale::Fine { 1 } else { 8 };
        let ranges = (smallest..=8).map(|k| power * (1.0 + f64::from(k) / 8.0));
        let range = ranges.into_iter().find(|range| max < *range).unwrap();
        for (&weight, &code) in weights.iter().zip(&codes) {
            let magnitude = f64::from(weight.abs());
            // No quotient, which f64 would round too: the largest `q` whose product is not above.
            let mag8 = (0..=255_u32).rev().find(|&q| f64::from(q) * range / 256.0 <= magnitude).unwrap();
            for precision in Precision::ALL {
                let m = precision.mantissa_bits();
                let magnitude = f64::from(mag8 >> (8 - m)) * range / f64::from(1 << m);
                let decoded = decode(truncate(code, precision), scale_code, precision, Reconstruction::Truncate);
                prop_assert_eq!(f64::from(decoded.abs()), magnitude);
            }
        }
    }

    /// Weights on a step of a fine scale and one `f32` below it are told apart.
    #[test]
    fn steps_of_fine_scales_are_exact(q in 1_u32..=255, k in 1_u32..=8, exponent in -14_i32..=15) {
        let range = 2_f32.powi(exponent) * (1.0 + k as f32 / 8.0);
        let on = q as f32 * (range / 256.0);
        let below = f32::from_bits(on.to_bits() - 1);
        let max = f32::from_bits(range.to_bits() - 1);
        let mut codes = [0; GROUP_SIZE];
        let scale_code = quantize_group(&[max, on, below], &mut codes, Scale::Fine).unwrap();
        prop_assert_eq!(u32::from(scale_code), 8 * (exponent + 14) as u32 + k);
        prop_assert_eq!(&codes[..3], &[511, 256 + q as u16, 255 + q as u16]);
    }
}

fn check_rows_and_tiles(
    view: &TileView<'_>,
    precision: Precision,
    reconstruction: Reconstruction,
) -> Result<(), TestCaseError> {
    let grid = view.grid();
    let mut values = vec![0.0; grid.cols];
    let mut tile = [[f32::NAN; LANE_ROWS]; GROUP_SIZE];
    for row in 0..grid.rows {
        view.decode_row(row, precision, reconstruction, &mut values);
        for (col, value) in values.iter().enumerate() {
            let index = row / LANE_ROWS * grid.tile_cols() + col / GROUP_SIZE;
            if row % LANE_ROWS == 0 && col % GROUP_SIZE == 0 {
                view.decode_tile(index, precision, reconstruction, &mut tile);
            }
            let expected =
                decode(view.code(row, col, precision), view.scale(row, col), precision, reconstruction);
            prop_assert_eq!(value.to_bits(), expected.to_bits());
        }
    }
    for index in 0..grid.tiles() {
        view.decode_tile(index, precision, reconstruction, &mut tile);
        for (k, lanes) in tile.iter().enumerate() {
            for (lane, &weight) in lanes.iter().enumerate() {
                let (row, col) =
                    (index / grid.tile_cols() * LANE_ROWS + lane, index % grid.tile_cols() * GROUP_SIZE + k);
                let expected =
                    decode(view.code(row, col, precision), view.scale(row, col), precision, reconstruction);
                prop_assert_eq!(weight.to_bits(), expected.to_bits());
                prop_assert!(row < grid.rows || weight == 0.0, "a padding row is zero");
            }
        }
    }
    Ok(())
}
