//! Twin of `rms_norm.wgsl`: root mean square normalisation (Zhang and Sennrich, arXiv 1910.07467).

use super::slots::Activations;

/// `output[t] = input[t] / sqrt(mean(input[t]^2) + epsilon) * weight`.
pub(crate) fn rms_norm(
    input: &Activations,
    weight: &[f32],
    epsilon: f32,
    rows: usize,
    output: &mut Activations,
) {
    for (t, out) in output.rows_mut(rows).enumerate() {
        let x = input.row(t);
        let sum_of_squares: f32 = x.iter().map(|x| x * x).sum();
        let scale = 1.0 / (sum_of_squares / x.len() as f32 + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}
