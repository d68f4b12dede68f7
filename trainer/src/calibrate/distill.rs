//! Trains the whole model, embedding and head included, to give the distribution of its unquantised
//! self.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    CalibrateSettings,
    job::Watch,
    state::{Distilled, StateFolder},
};
use crate::{
    data::{Dataset, Window},
    model::{Llama, Parameter, Targets, TensorSet, distillation, fake_quantize},
    train::{Optimizer, PassSettings, gradient::side_by_side, pass::pass},
};

/// Steps over which the learning rate rises.
const WARMUP: u64 = 10;

/// The distillation of the whole model.
pub(super) struct Distillation<'a> {
    pub(super) settings: &'a CalibrateSettings,
    pub(super) parameters: &'a [Parameter],
    pub(super) state: &'a StateFolder,
    pub(super) data: &'a Dataset,
    pub(super) model: Llama,
    pub(super) device: Device,
    pub(super) threads: usize,
    /// Time between two saved states.
    pub(super) save_every: Duration,
}

impl Distillation<'_> {
    /// Goes on until the last step; `None` when it was interrupted, the state is saved then.
    ///
    /// # Errors
    /// Those of the disk; a loss that is not finite.
    pub(super) fn run(
        &self,
        from: Distilled,
        teacher: &TensorSet,
        watch: &mut Watch<'_>,
    ) -> Result<Option<TensorSet>> {
        let settings = self.settings;
        let optimizer_settings = settings.optimizer(settings.distill_learning_rate, WARMUP);
        let Distilled { step: first, mut weights, moments } = from;
        let mut optimizer = Optimizer::new(&optimizer_settings, moments);
        let plan = settings.shares.plan(settings.distill_steps, "calibrate model", settings.seed, 0);
        watch.distill_steps(first, String::new());
        let mut saved = Instant::now();
        for (step, precision) in plan.into_iter().enumerate().skip(first) {
            let cancelled = watch.is_cancelled();
            if cancelled || saved.elapsed() >= self.save_every {
                let moments = optimizer.moments().cloned();
                let state = Distilled { step, weights, moments };
                self.state.save_distilled(&state, self.parameters)?;
                weights = state.weights;
                saved = Instant::now();
            }
            if cancelled {
                return Ok(None);
            }
            let quantised =
                fake_quantize(&weights, self.parameters, precision, settings.reconstruction, settings.scale)?;
            let windows = self.data.batch(step as u64, settings.batch, settings.seed);
            let (loss, gradient) = self.gradient(&quantised, teacher, &windows)?;
            ensure!(
                loss.is_finite(),
                "distillation, step {}: the loss at {precision} is {loss}; a lower --distill-learning-rate may help",
                step + 1
            );
            let rate = optimizer_settings.rate(step as u64, settings.distill_steps as u64);
            weights = optimizer.update(weights, self.parameters, gradient, 0.0, rate);
            let done = step + 1;
            let message = format!("distill {done} of {} {precision} KL {loss:.4}", settings.distill_steps);
            watch.distill_steps(1, message);
        }
        let state =
            Distilled { step: settings.distill_steps, weights, moments: optimizer.moments().cloned() };
        self.state.save_distilled(&state, self.parameters)?;
        Ok(Some(state.weights))
    }

    /// The mean divergence over all tokens of some windows, and its gradient.
    fn gradient(
        &self,
        weights: &TensorSet,
        teacher: &TensorSet,
        windows: &[&Window],
    ) -> Result<(f64, TensorSet)> {
        let tokens: usize = windows.len() * self.settings.length;
        let micro_batches: Vec<&[&Window]> = windows.chunks(self.settings.micro_batch.max(1)).collect();
        let mut sum: Option<(f64, TensorSet)> = None;
        for round in micro_batches.chunks(self.threads.max(1)) {
            for result in
                side_by_side(round, |windows| self.micro_gradient(weights, teacher, windows, tokens))
            {
                let (loss, gradient) =
                    result.map_err(|_| anyhow!("a thread that computes gradients panicked"))?;
                sum = Some(match sum {
                    Some((total, sum)) => (total + loss, sum.plus(gradient)),
                    None => (loss, gradient),
                });
            }
        }
        sum.ok_or_else(|| anyhow!("a step needs windows"))
    }

    fn micro_gradient(
        &self,
        weights: &TensorSet,
        teacher: &TensorSet,
        windows: &[&Window],
        total: usize,
    ) -> (f64, TensorSet) {
        let length = self.settings.length;
        let ids = windows.iter().flat_map(|window| &window.tokens[..length]).map(|&id| id as i32).collect();
        let tokens: Tensor<2, Int> =
            Tensor::from_data(TensorData::new(ids, [windows.len(), length]), &self.device);
        let next = windows.iter().flat_map(|window| &window.tokens[1..=length]).copied();
        let targets = Targets::new(&next.enumerate().collect::<Vec<_>>(), &self.device);
        let expected = self.model.logits(teacher, self.model.hidden(teacher, tokens.clone()));
        let mut loss = 0.0;
        let settings = PassSettings::default();
        let factor = 1.0 / total as f64;
        let pass = pass(&self.model, settings, weights, tokens, &targets, factor, |logits| {
            let sum = distillation(logits, expected);
            loss = f64::from(sum.clone().into_scalar::<f32>());
            sum
        });
        (loss * factor, pass.gradient)
    }
}
