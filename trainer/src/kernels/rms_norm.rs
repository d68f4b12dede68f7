//! The norm before every block.

use super::{
    Kernel,
    vector::{sum, sum_pairs, vectorized},
};

/// `x / sqrt(mean(x^2) + eps) * weight`, row by row, of `x` and a weight of one row.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// What keeps a row of zeros finite.
    pub eps: f32,
}

impl Kernel<2> for RmsNorm {
    /// The factor of each row.
    type Saved = Vec<f32>;

    fn forward(&self, [x, weight]: [&[f32]; 2]) -> (Vec<f32>, Vec<f32>) {
        let width = weight.len();
        let mut output = vec![0.0; x.len()];
        let mut factors = vec![0.0; x.len() / width];
        vectorized(|| {
            let rows = output.chunks_exact_mut(width).zip(x.chunks_exact(width));
            for ((output, row), factor) in rows.zip(&mut factors) {
                *factor = (sum(row, |x| x * x) / width as f32 + self.eps).sqrt().recip();
                for ((output, &x), &weight) in output.iter_mut().zip(row).zip(weight) {
                    *output = x * *factor * weight;
                }
            }
        });
        (output, factors)
    }

    fn backward(&self, [x, weight]: [&[f32]; 2], factors: &Vec<f32>, gradient: &[f32]) -> [Vec<f32>; 2] {
        let width = weight.len();
        let (mut of_x, mut of_weight) = (vec![0.0; x.len()], vec![0.0; width]);
        // The gradient of the row before it is weighted; the factor depends on the whole row.
        let mut weighted = vec![0.0; width];
        vectorized(|| {
            let rows = x.chunks_exact(width).zip(gradient.chunks_exact(width)).zip(factors);
            for (of_x, ((row, gradient), &factor)) in of_x.chunks_exact_mut(width).zip(rows) {
                for ((weighted, &gradient), &weight) in weighted.iter_mut().zip(gradient).zip(weight) {
                    *weighted = gradient * weight;
                }
                let along = sum_pairs(&weighted, row, |a, b| a * b) * factor * factor / width as f32;
                for ((of_x, &x), &weighted) in of_x.iter_mut().zip(row).zip(&weighted) {
                    *of_x = factor * (weighted - along * x);
                }
                for ((of_weight, &x), &gradient) in of_weight.iter_mut().zip(row).zip(gradient) {
                    *of_weight += gradient * x * factor;
                }
            }
        });
        [of_x, of_weight]
    }
}
