//! The loss of a batch and its gradient, micro-batch by micro-batch on several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{PassSettings, pass::pass};
use crate::{
    data::Window,
    model::{Llama, Targets, TensorSet, cross_entropy, distillation},
};

/// One pass of a step, forward and backward.
pub struct Pass<'a> {
    /// The weights at the width of the pass.
    pub weights: &'a TensorSet,
    /// Share of its loss that comes from imitating the teacher, 0 to 1; the rest is cross-entropy.
    pub imitation: f32,
}

/// Whose logits passes imitate.
#[derive(Clone, Copy)]
pub enum Logits<'a> {
    /// Those of the first pass of the step.
    OfFirstPass,
    /// Those of other weights of the same model.
    OfWeights(&'a TensorSet),
    /// Those of the model that [`GradientEngine::with_teacher`] was given.
    OfTeacher,
}

/// The passes of one step, one or more.
pub struct Passes<'a> {
    /// In their order.
    pub all: Vec<Pass<'a>>,
    /// What those imitate that imitate at all.
    pub teacher: Logits<'a>,
}

impl<'a> Passes<'a> {
    /// A single pass, trained by cross-entropy.
    pub fn one(weights: &'a TensorSet) -> Self {
        Self { all: vec![Pass { weights, imitation: 0.0 }], teacher: Logits::OfFirstPass }
    }

    fn imitate(&self) -> bool {
        self.all.iter().any(|pass| pass.imitation > 0.0)
    }
}

/// Sums over the scored tokens of a batch.
#[derive(Clone, Debug)]
pub struct BatchGradient {
    /// Negative log-likelihood of every pass.
    pub losses: Vec<f64>,
    /// Scored tokens.
    pub scored: usize,
    /// Gradient of the losses of all passes, divided by the scored tokens of the *global* batch.
    pub gradient: TensorSet,
}

/// Everything that stays the same from batch to batch.
pub struct GradientEngine {
    model: Llama,
    device: Device,
    threads: usize,
    micro_batch: usize,
    settings: PassSettings,
    teacher: Option<(Llama, TensorSet)>,
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
        Self {
            model,
            device,
            threads: threads.max(1),
            micro_batch: micro_batch.max(1),
            settings,
            teacher: None,
        }
    }

    /// With another model of the same vocabulary, for [`Logits::OfTeacher`], and its weights.
    #[must_use]
    pub fn with_teacher(mut self, model: Llama, weights: TensorSet) -> Self {
        self.teacher = Some((model.in_half(self.settings.half), weights));
        self
    }

    /// The gradient of `windows`; `global_scored` is the number of scored tokens of the whole batch,
    /// of which `windows` may be a share.
    ///
    /// Micro-batches are summed in their order, so the result does not depend on the threads.
    ///
    /// # Errors
    /// When a thread of the framework panics; without passes; when they need a teacher that is not there.
    pub fn gradient(
        &self,
        passes: &Passes<'_>,
        windows: &[&Window],
        global_scored: usize,
    ) -> Result<BatchGradient> {
        let first = passes.all.first().context("a step needs a pass")?;
        ensure!(
            !(passes.imitate() && matches!(passes.teacher, Logits::OfTeacher)) || self.teacher.is_some(),
            "there is no teacher to learn from"
        );
        let mut sum = BatchGradient {
            losses: vec![0.0; passes.all.len()],
            scored: 0,
            gradient: first.weights.zeros_like(),
        };
        let micro_batches: Vec<&[&Window]> =
            windows.chunks(self.micro_batch).filter(|windows| scored(windows) > 0).collect();
        for round in micro_batches.chunks(self.threads) {
            let results = side_by_side(round, |windows| self.micro_gradient(passes, windows, global_scored));
            for result in results {
                let part =
                    result.map_err(|_| anyhow::anyhow!("a thread that computes gradients panicked"))?;
                for (sum, part) in sum.losses.iter_mut().zip(&part.losses) {
                    *sum += part;
                }
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
        let mut teacher = self.teacher_logits(passes, &tokens, &targets);
        let mut losses = Vec::with_capacity(passes.all.len());
        let mut gradient: Option<TensorSet> = None;
        for &Pass { weights, imitation } in &passes.all {
            let mut loss = 0.0;
            let pass = run(weights, &mut |logits| {
                let sum = cross_entropy(logits.clone(), &targets);
                loss = scalar(sum.clone());
                match &teacher {
                    Some(teacher) if imitation > 0.0 => {
                        distillation(logits, teacher.clone()) * imitation + sum * (1.0 - imitation)
                    }
                    _ => sum,
                }
            });
            losses.push(loss);
            if passes.imitate() {
                teacher.get_or_insert(pass.logits);
            }
            gradient = Some(match gradient {
                Some(sum) => sum.plus(pass.gradient),
                None => pass.gradient,
            });
        }
        let gradient = gradient.unwrap_or_else(|| TensorSet::new(Vec::new()));
        BatchGradient { losses, scored: targets.count, gradient }
    }

    /// What is imitated, where that is not known from the first pass.
    fn teacher_logits(
        &self,
        passes: &Passes<'_>,
        tokens: &Tensor<2, Int>,
        targets: &Targets,
    ) -> Option<Tensor<2>> {
        let (model, weights) = match passes.teacher {
            _ if !passes.imitate() => return None,
            Logits::OfFirstPass => return None,
            Logits::OfWeights(weights) => (&self.model, weights),
            Logits::OfTeacher => self.teacher.as_ref().map(|(model, weights)| (model, weights))?,
        };
        Some(logits(model, weights, tokens.clone(), targets))
    }

    fn micro_loss(&self, weights: &TensorSet, windows: &[&Window]) -> f64 {
        let (tokens, targets) = self.tensors(windows);
        scalar(cross_entropy(logits(&self.model, weights, tokens, &targets), &targets))
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

/// The logits of the scored positions, without a graph.
fn logits(model: &Llama, weights: &TensorSet, tokens: Tensor<2, Int>, targets: &Targets) -> Tensor<2> {
    model.logits(weights, targets.select(model.hidden(weights, tokens)))
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
