//! What a step minimises.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use crate::kernels::{CrossEntropy, Distillation, apply};

/// The positions that count and the tokens that belong there.
pub struct Targets {
    /// Rows of the hidden states that are scored, `[scored]`.
    rows: Tensor<1, Int>,
    /// The token that follows each of them, `[scored, 1]`.
    tokens: Tensor<2, Int>,
    /// The same, where a kernel on the CPU can read them.
    on_host: Arc<[u32]>,
    /// How many there are.
    pub count: usize,
}

impl Targets {
    /// Of `(row, token)` pairs; there must be at least one.
    pub fn new(scored: &[(usize, u32)], device: &Device) -> Self {
        let count = scored.len();
        let rows: Vec<i32> = scored.iter().map(|&(row, _)| row as i32).collect();
        let tokens: Vec<i32> = scored.iter().map(|&(_, token)| token as i32).collect();
        Self {
            rows: Tensor::from_data(TensorData::new(rows, [count]), device),
            tokens: Tensor::from_data(TensorData::new(tokens, [count, 1]), device),
            on_host: scored.iter().map(|&(_, token)| token).collect(),
            count,
        }
    }

    /// The hidden states that are scored: the LM head need not be computed for others.
    pub fn select(&self, hidden: Tensor<2>) -> Tensor<2> {
        hidden.select(0, self.rows.clone())
    }
}

/// The sum over the scored positions of `-ln p(token)`, `[1]`.
pub fn cross_entropy(logits: Tensor<2>, targets: &Targets) -> Tensor<1> {
    let kernel = CrossEntropy { targets: targets.on_host.clone() };
    apply(kernel, [&logits], [1])
        .unwrap_or_else(|| activation::log_softmax(logits, 1).gather(1, targets.tokens.clone()).sum().neg())
}

/// The sum over the scored positions of the Kullback-Leibler divergence from the teacher's
/// distribution to the student's, `[1]`. No gradient reaches the teacher.
pub fn distillation(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let teacher = teacher.autodiff().detach();
    let [_, vocab] = student.dims();
    apply(Distillation { vocab }, [&student, &teacher], [1]).unwrap_or_else(|| {
        let teacher = activation::log_softmax(teacher, 1);
        let difference = teacher.clone() - activation::log_softmax(student, 1);
        (teacher.exp() * difference).sum()
    })
}
