//! Cross-entropy over the vocabulary.

use std::sync::Arc;

use super::{
    Kernel, exp,
    vector::{maximum, sum, vectorized},
};

/// The sum over the rows of `-ln softmax(row)[target]`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// The token that belongs to each row.
    pub targets: Arc<[u32]>,
}

impl Kernel<1> for CrossEntropy {
    /// The logarithm of the sum of the exponentials of each row.
    type Saved = Vec<f32>;

    fn forward(&self, [logits]: [&[f32]; 1]) -> (Vec<f32>, Vec<f32>) {
        let vocab = logits.len() / self.targets.len();
        let normalizers = log_sum_exp(logits, vocab);
        let rows = logits.chunks_exact(vocab).zip(&normalizers).zip(self.targets.iter());
        let loss: f64 =
            rows.map(|((row, &normalizer), &target)| f64::from(normalizer - row[target as usize])).sum();
        (vec![loss as f32], normalizers)
    }

    fn backward(&self, [logits]: [&[f32]; 1], normalizers: &Vec<f32>, gradient: &[f32]) -> [Vec<f32>; 1] {
        let vocab = logits.len() / self.targets.len();
        let mut result = vec![0.0; logits.len()];
        vectorized(|| {
            let rows = result.chunks_exact_mut(vocab).zip(logits.chunks_exact(vocab));
            for ((result, row), (&normalizer, &target)) in
                rows.zip(normalizers.iter().zip(self.targets.iter()))
            {
                for (result, &logit) in result.iter_mut().zip(row) {
                    *result = gradient[0] * exp(logit - normalizer);
                }
                result[target as usize] -= gradient[0];
            }
        });
        [result]
    }
}

/// `ln(sum(e^x))` of every row.
pub fn log_sum_exp(logits: &[f32], vocab: usize) -> Vec<f32> {
    vectorized(|| {
        let rows = logits.chunks_exact(vocab);
        rows.map(|row| {
            let highest = maximum(row);
            highest + sum(row, |logit| exp(logit - highest)).ln()
        })
        .collect()
    })
}
