//! The loss of a batch and its gradient, micro-batch by micro-batch on several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{PassSettings, pass::pass};
use crate::{
    data::Window,
    model::{Llama, Targets, TensorSet, cross_entropy, distillation},
};

/// The weights of one step, as the passes see them.
pub struct Passes<'a> {
    /// Trained by cross-entropy.
    pub primary: &'a TensorSet,
    /// A lower width of the same weights, trained in the same step, and the share of its loss that
    /// comes from imitating the primary; the rest is cross-entropy.
    pub distilled: Option<(&'a TensorSet, f32)>,
}

/// Sums over the scored tokens of a batch.
#[derive(Clone, Debug)]
pub struct BatchGradient {
    /// Negative log-likelihood at the primary width.
    pub loss: f64,
    /// Negative log-likelihood at the distilled width; 0 without one.
    pub distilled_loss: f64,
    /// Scored tokens.
    pub scored: usize,
    /// Gradient of both losses, divided by the scored tokens of the *global* batch.
    pub gradient: TensorSet,
}

/// Everything that stays the same from batch to batch.
pub struct GradientEngine {
    model: Llama,
    device: Device,
    threads: usize,
    micro_batch: usize,
    settings: PassSettings,
}

impl GradientEngine {
    /// Computes on `device` (without autodiff), `micro_batch` windows at a time on each thread.
    pub fn new(
        model: Llama,
        device: Device,
        threads: usize,
        micro_batch: usize,
        settings: PassSettings,
    ) -> Self {
        let model = model.in_half(settings.half);
        Self { model, device, threads: threads.max(1), micro_batch: micro_batch.max(1), settings }
    }

    /// The gradient of `windows`; `global_scored` is the number of scored tokens of the whole batch,
    /// of which `windows` may be a share.
    ///
    /// Micro-batches are summed in their order, so the result does not depend on the threads.
    ///
    /// # Errors
    /// When a thread of the framework panics.
    pub fn gradient(
        &self,
        passes: &Passes<'_>,
        windows: &[&Window],
        global_scored: usize,
    ) -> Result<BatchGradient> {
        let mut sum = BatchGradient {
            loss: 0.0,
            distilled_loss: 0.0,
            scored: 0,
            gradient: passes.primary.zeros_like(),
        };
        let micro_batches: Vec<&[&Window]> =
            windows.chunks(self.micro_batch).filter(|windows| scored(windows) > 0).collect();
        for round in micro_batches.chunks(self.threads) {
            let results = side_by_side(round, |windows| self.micro_gradient(passes, windows, global_scored));
            for result in results {
                let part =
                    result.map_err(|_| anyhow::anyhow!("a thread that computes gradients panicked"))?;
                sum.loss += part.loss;
                sum.distilled_loss += part.distilled_loss;
                sum.scored += part.scored;
                sum.gradient = sum.gradient.plus(part.gradient);
            }
        }
        Ok(sum)
    }

    /// The sum of the negative log-likelihoods of `windows` and how many tokens were scored.
    ///
    /// # Errors
    /// When a thread of the framework panics.
    pub fn evaluate(&self, weights: &TensorSet, windows: &[&Window]) -> Result<(f64, usize)> {
        let micro_batches: Vec<&[&Window]> =
            windows.chunks(self.micro_batch).filter(|windows| scored(windows) > 0).collect();
        let share = micro_batches.len().div_ceil(self.threads).max(1);
        let shares: Vec<_> = micro_batches.chunks(share).collect();
        let losses = side_by_side(&shares, |share| -> f64 {
            share.iter().map(|windows| self.micro_loss(weights, windows)).sum()
        });
        let mut sum = 0.0;
        for loss in losses {
            sum += loss.map_err(|_| anyhow::anyhow!("a thread that evaluates panicked"))?;
        }
        ensure!(sum.is_finite(), "the loss of the evaluation is not finite");
        Ok((sum, scored(windows)))
    }

    fn micro_gradient(
        &self,
        passes: &Passes<'_>,
        windows: &[&Window],
        global_scored: usize,
    ) -> BatchGradient {
        let (tokens, targets) = self.tensors(windows);
        let factor = 1.0 / global_scored as f64;
        let run = |weights, loss: &mut dyn FnMut(Tensor<2>) -> Tensor<1>| {
            pass(&self.model, self.settings, weights, tokens.clone(), &targets, factor, loss)
        };
        let (mut loss, mut distilled_loss) = (0.0, 0.0);
        let primary = run(passes.primary, &mut |logits| {
            let sum = cross_entropy(logits, &targets);
            loss = scalar(sum.clone());
            sum
        });
        let mut gradient = primary.gradient;
        if let Some((low, share)) = passes.distilled {
            let teacher = primary.logits;
            let low = run(low, &mut |logits| {
                let sum = cross_entropy(logits.clone(), &targets);
                distilled_loss = scalar(sum.clone());
                distillation(logits, teacher.clone()) * share + sum * (1.0 - share)
            });
            gradient = gradient.plus(low.gradient);
        }
        BatchGradient { loss, distilled_loss, scored: targets.count, gradient }
    }

    fn micro_loss(&self, weights: &TensorSet, windows: &[&Window]) -> f64 {
        let (tokens, targets) = self.tensors(windows);
        scalar(cross_entropy(self.logits(weights, tokens, &targets), &targets))
    }

    fn logits(&self, weights: &TensorSet, tokens: Tensor<2, Int>, targets: &Targets) -> Tensor<2> {
        self.model.logits(weights, targets.select(self.model.hidden(weights, tokens)))
    }

    /// The inputs, `[windows, length]`, and what is scored among what follows them.
    fn tensors(&self, windows: &[&Window]) -> (Tensor<2, Int>, Targets) {
        let length = windows[0].scored.len();
        let mut inputs = Vec::with_capacity(windows.len() * length);
        let mut targets = Vec::new();
        for window in windows {
            for (position, &scored) in window.scored.iter().enumerate() {
                if scored {
                    targets.push((inputs.len(), window.tokens[position + 1]));
                }
                inputs.push(window.tokens[position] as i32);
            }
        }
        let inputs = TensorData::new(inputs, [windows.len(), length]);
        (Tensor::from_data(inputs, &self.device), Targets::new(&targets, &self.device))
    }
}

/// Does a task for each of the items on a thread of its own; a single one on this thread, as a GPU must
/// get all its work from the same one.
pub(crate) fn side_by_side<I: Copy + Send, T: Send>(
    items: &[I],
    task: impl Fn(I) -> T + Copy + Send,
) -> Vec<std::thread::Result<T>> {
    if let [item] = *items {
        return vec![catch_unwind(AssertUnwindSafe(|| task(item)))];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|&item| scope.spawn(move || task(item))).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    })
}

/// How many tokens of the windows are scored.
pub fn scored(windows: &[&Window]) -> usize {
    windows.iter().map(|window| window.scored.iter().filter(|&&scored| scored).count()).sum()
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}
