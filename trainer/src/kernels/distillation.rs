//! The Kullback-Leibler divergence of two distributions over the vocabulary.

use super::{
    Kernel,
    cross_entropy::log_sum_exp,
    exp,
    vector::{sum_pairs, vectorized},
};

/// The sum over the rows of the divergence from the second matrix of logits, the teacher's, to the
/// first, the student's. The teacher is a constant.
#[derive(Clone, Debug)]
pub struct Distillation {
    /// Logits of a row.
    pub vocab: usize,
}

impl Kernel<2> for Distillation {
    /// The normalisers of the student's rows and the teacher's.
    type Saved = [Vec<f32>; 2];

    fn forward(&self, [student, teacher]: [&[f32]; 2]) -> (Vec<f32>, Self::Saved) {
        let normalizers = [log_sum_exp(student, self.vocab), log_sum_exp(teacher, self.vocab)];
        let mut divergence = 0.0_f64;
        vectorized(|| {
            let rows = student.chunks_exact(self.vocab).zip(teacher.chunks_exact(self.vocab));
            for ((student, teacher), (&s, &t)) in rows.zip(normalizers[0].iter().zip(&normalizers[1])) {
                let term = |student: f32, teacher: f32| exp(teacher - t) * ((teacher - t) - (student - s));
                divergence += f64::from(sum_pairs(student, teacher, term));
            }
        });
        (vec![divergence as f32], normalizers)
    }

    fn backward(
        &self,
        [student, teacher]: [&[f32]; 2],
        saved: &Self::Saved,
        gradient: &[f32],
    ) -> [Vec<f32>; 2] {
        let mut result = vec![0.0; student.len()];
        vectorized(|| {
            let rows = student.chunks_exact(self.vocab).zip(teacher.chunks_exact(self.vocab));
            let normalizers = saved[0].iter().zip(&saved[1]);
            for ((result, (student, teacher)), (&s, &t)) in
                result.chunks_exact_mut(self.vocab).zip(rows).zip(normalizers)
            {
                for ((result, &student), &teacher) in result.iter_mut().zip(student).zip(teacher) {
                    *result = gradient[0] * (exp(student - s) - exp(teacher - t));
                }
            }
        });
        [result, Vec::new()]
    }
}
