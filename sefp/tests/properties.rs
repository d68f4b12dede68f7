//! What must hold for any weights: nesting, agreement of the three ways to decode, error bounds.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use sefp::{
    GROUP_SIZE, LANE_ROWS, PackedMatrix, Precision, Reconstruction, TileView, decode, quantize_group, step,
    truncate,
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

fn matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    (1_usize..40, 1_usize..150)
        .prop_flat_map(|(rows, cols)| (Just(rows), Just(cols), prop::collection::vec(weight(), rows * cols)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Packing and reading back gives the codes and values of quantising alone, at every precision
    /// and both reconstructions, weight by weight, row by row and tile by tile.
    #[test]
    fn unpacking_equals_quantising((rows, cols, weights) in matrix()) {
        let packed = PackedMatrix::pack(&weights, rows, cols).unwrap();
        let view = packed.view();
        for (row, weights) in weights.chunks(cols).enumerate() {
            for (group, weights) in weights.chunks(GROUP_SIZE).enumerate() {
                let mut codes = [0; GROUP_SIZE];
                let exponent = quantize_group(weights, &mut codes).unwrap();
                prop_assert_eq!(view.exponent(row, group * GROUP_SIZE), exponent);
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
    fn precisions_are_nested(weights in prop::collection::vec(weight(), 1..=GROUP_SIZE)) {
        let mut codes = [0; GROUP_SIZE];
        let exponent = quantize_group(&weights, &mut codes).unwrap();
        for (&weight, &code) in weights.iter().zip(&codes) {
            prop_assert!(code <= 511);
            for pair in Precision::ALL.windows(2) {
                prop_assert_eq!(truncate(code, pair[1]) >> 1, truncate(code, pair[0]));
            }
            for precision in Precision::ALL {
                let step = step(exponent, precision);
                let midpoint = decode(truncate(code, precision), exponent, precision, Reconstruction::Midpoint);
                let truncated = decode(truncate(code, precision), exponent, precision, Reconstruction::Truncate);
                prop_assert!(f64::from(midpoint - weight).abs() <= f64::from(step) / 2.0, "{} {}", weight, midpoint);
                prop_assert!(truncated.abs() <= weight.abs() && weight.abs() - truncated.abs() <= step);
                prop_assert!(truncated == 0.0 || truncated.is_sign_negative() == weight.is_sign_negative());
            }
        }
    }

    /// The paper's own formula, in f64: sign times truncated magnitude times step.
    #[test]
    fn truncate_is_sign_and_magnitude(weights in prop::collection::vec(weight(), 1..=GROUP_SIZE)) {
        let mut codes = [0; GROUP_SIZE];
        let exponent_code = quantize_group(&weights, &mut codes).unwrap();
        let max = weights.iter().fold(0.0_f64, |max, w| max.max(f64::from(w.abs())));
        prop_assert_eq!(exponent_code == 0, max == 0.0);
        let exponent = (max.log2().floor() as i32).clamp(-14, 15);
        for (&weight, &code) in weights.iter().zip(&codes) {
            let mag8 = (f64::from(weight).abs() / 2_f64.powi(exponent - 7)).floor() as u32;
            for precision in Precision::ALL {
                let m = precision.mantissa_bits();
                let magnitude = f64::from(mag8 >> (8 - m)) * 2_f64.powi(exponent - m as i32 + 1);
                let decoded = decode(truncate(code, precision), exponent_code, precision, Reconstruction::Truncate);
                prop_assert_eq!(f64::from(decoded.abs()), magnitude);
            }
        }
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
                decode(view.code(row, col, precision), view.exponent(row, col), precision, reconstruction);
            prop_assert_eq!(value.to_bits(), expected.to_bits());
        }
    }
    for index in 0..grid.tiles() {
        view.decode_tile(index, precision, reconstruction, &mut tile);
        for (k, lanes) in tile.iter().enumerate() {
            for (lane, &weight) in lanes.iter().enumerate() {
                let (row, col) =
                    (index / grid.tile_cols() * LANE_ROWS + lane, index % grid.tile_cols() * GROUP_SIZE + k);
                let expected = decode(
                    view.code(row, col, precision),
                    view.exponent(row, col),
                    precision,
                    reconstruction,
                );
                prop_assert_eq!(weight.to_bits(), expected.to_bits());
                prop_assert!(row < grid.rows || weight == 0.0, "a padding row is zero");
            }
        }
    }
    Ok(())
}
