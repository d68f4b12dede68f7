//! Twin of `rms_norm.wgsl`: root mean square normalisation (Zhang and Sennrich, arXiv 1910.07467).

use super::{kernels::Quantised, pool::Pool, slots::Activations};

/// Sums that are taken side by side: one alone would wait for itself at every value.
const PARTS: usize = 16;

/// `output[t] = input[t] / sqrt(mean(input[t]^2) + epsilon) * weight`, and the same in 8 bits where
/// that is wanted.
pub(crate) fn rms_norm(
    pool: &Pool,
    input: &Activations,
    weight: &[f32],
    epsilon: f32,
    rows: usize,
    output: &mut Activations,
    quantised: Option<&mut Quantised>,
) {
    let writer = quantised.map(Quantised::writer);
    let columns = output.columns_mut(rows);
    let normalise = |t: usize| {
        // SAFETY: no other task has this row.
        let out = unsafe { columns.padded_row(t) };
        let x = input.row(t);
        let scale = 1.0 / (sum_of_squares(x) / x.len() as f32 + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
        if let Some(writer) = &writer {
            // SAFETY: no other task has this row.
            unsafe { writer.row(t, out) };
        }
    };
    match rows {
        1 => normalise(0),
        rows => pool.run(rows, normalise),
    }
}

fn sum_of_squares(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<PARTS>();
    let mut parts = [0.0_f32; PARTS];
    for chunk in chunks {
        for (part, x) in parts.iter_mut().zip(chunk) {
            *part += x * x;
        }
    }
    for (part, x) in parts.iter_mut().zip(rest) {
        *part += x * x;
    }
    parts.iter().sum()
}
