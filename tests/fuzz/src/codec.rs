//! A matrix of arbitrary floats through the codec, to planes and back.
//!
//! Input: the number of rows and the scale (one byte: modulo 40, and the highest bit), then little-endian `f32` weights, row after row.

use sefp::{
    GROUP_SIZE, LANE_ROWS, PackedMatrix, Precision, QuantizeError, Reconstruction, Scale, TileView,
    WeightFault, step,
};

/// Packs the weights and holds what the planes decode to against the definition of the format.
pub fn run(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let rows = 1 + usize::from(first % 40);
    let scale = if first & 0x80 == 0 { Scale::Fine } else { Scale::PowerOfTwo };
    let (words, _) = bytes.as_chunks::<4>();
    let cols = words.len() / rows;
    if cols == 0 {
        return;
    }
    let weights: Vec<f32> = words[..rows * cols].iter().map(|&word| f32::from_le_bytes(word)).collect();
    match PackedMatrix::pack(&weights, rows, cols, scale) {
        Ok(packed) => {
            assert!(weights.iter().all(|&weight| holds(weight)), "a weight that SEFP cannot hold was packed");
            for precision in Precision::ALL {
                check(packed.view(), &weights, precision);
            }
        }
        Err(error) => check_error(error, &weights),
    }
}

fn holds(weight: f32) -> bool {
    weight.is_finite() && weight.abs() < 65536.0
}

/// The error names the first weight that cannot be held, in reading order, and says why.
fn check_error(error: QuantizeError, weights: &[f32]) {
    assert_eq!(Some(error.index), weights.iter().position(|&weight| !holds(weight)));
    let weight = weights[error.index];
    let right = match error.fault {
        WeightFault::Nan => weight.is_nan(),
        WeightFault::Infinite => weight.is_infinite(),
        WeightFault::TooLarge(magnitude) => magnitude == weight.abs() && weight.is_finite(),
    };
    assert!(right, "{weight} is not {}", error.fault);
}

/// Truncation never enlarges a weight and stays within a step of it; the midpoint stays within half
/// a step. A group of zeros is zeros.
fn check(view: TileView<'_>, weights: &[f32], precision: Precision) {
    let cols = view.grid().cols;
    let mut midpoint = vec![0.0; cols];
    let mut truncated = vec![0.0; cols];
    for (row, weights) in weights.chunks_exact(cols).enumerate() {
        view.decode_row(row, precision, Reconstruction::Midpoint, &mut midpoint);
        view.decode_row(row, precision, Reconstruction::Truncate, &mut truncated);
        for (col, &weight) in weights.iter().enumerate() {
            let weight = f64::from(weight);
            let (midpoint, truncated) = (f64::from(midpoint[col]), f64::from(truncated[col]));
            let step = f64::from(step(view.scale(row, col), precision));
            assert!((weight - midpoint).abs() <= step / 2.0, "{weight} became {midpoint} at {precision}");
            let lost = weight.abs() - truncated.abs();
            assert!(0.0 <= lost && lost < step.max(f64::MIN_POSITIVE), "{weight} became {truncated}");
            assert!(truncated == 0.0 || truncated.signum() == weight.signum(), "the sign is kept");
        }
    }
    check_tiles(view, precision);
}

/// Decoding by tile gives the bits that decoding by row gives.
fn check_tiles(view: TileView<'_>, precision: Precision) {
    let grid = view.grid();
    let mut row_values = vec![0.0; grid.cols];
    let mut tile = [[0.0; LANE_ROWS]; GROUP_SIZE];
    for reconstruction in [Reconstruction::Midpoint, Reconstruction::Truncate] {
        for index in 0..grid.tiles() {
            view.decode_tile(index, precision, reconstruction, &mut tile);
            let first_row = index / grid.tile_cols() * LANE_ROWS;
            let first_col = index % grid.tile_cols() * GROUP_SIZE;
            for row in first_row..grid.rows.min(first_row + LANE_ROWS) {
                view.decode_row(row, precision, reconstruction, &mut row_values);
                for (col, value) in row_values.iter().enumerate().skip(first_col).take(GROUP_SIZE) {
                    let other = tile[col - first_col][row - first_row];
                    assert_eq!(value.to_bits(), other.to_bits(), "row {row}, column {col} at {precision}");
                }
            }
        }
    }
}
