//! One training step after another.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use otaro::Reconstruction;

use super::{
    BatchGradient, GradientEngine, GradientReducer, Logits, Optimizer, Pass, Passes, Progress, RunSettings,
    State, TeacherModel, agree, enough_work, scored, share_from_first, sum_at_first,
};
use crate::{
    data::{Dataset, Window},
    model::{Llama, Parameter, TensorSet, fake_quantize, parameters},
    strategy::{Plan, Strategy, Teacher, Update, Width},
};

/// What happened in a step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The step, from 1.
    pub step: u64,
    /// Which widths were trained.
    pub plan: Plan,
    /// Cross-entropy at the primary width, nats per token.
    pub loss: f64,
    /// Cross-entropy at the other widths, nats per token.
    pub other_losses: Vec<f64>,
    /// Norm of the gradient of this batch, before it was shortened.
    pub gradient_norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Scored tokens of the batch.
    pub tokens: usize,
    /// Seconds the step took.
    pub seconds: f64,
}

/// A run in memory.
pub struct Trainer<'a> {
    dataset: &'a Dataset,
    reducer: &'a dyn GradientReducer,
    parameters: Vec<Parameter>,
    device: Device,
    engine: GradientEngine,
    optimizer: Optimizer,
    weights: TensorSet,
    accumulator: Option<TensorSet>,
    progress: Progress,
}

impl<'a> Trainer<'a> {
    /// A new run from `weights`.
    ///
    /// # Errors
    /// Settings that contradict each other, weights of another shape.
    pub fn start(
        settings: RunSettings,
        weights: Vec<Vec<f32>>,
        dataset: &'a Dataset,
        reducer: &'a dyn GradientReducer,
        device: Device,
        threads: usize,
    ) -> Result<Self> {
        let parameters = parameters(&settings.architecture);
        let weights = TensorSet::from_host(weights, &parameters, &device)?;
        let strategy = Strategy::new(settings.strategy.clone())?;
        let progress = Progress { settings, step: 0, updates: 0, tokens: 0, seconds: 0.0, strategy };
        let state = State { progress, weights, moments: None, accumulator: None };
        Ok(Self::resume(state, dataset, reducer, device, threads))
    }

    /// Goes on from a stored state.
    pub fn resume(
        state: State,
        dataset: &'a Dataset,
        reducer: &'a dyn GradientReducer,
        device: Device,
        threads: usize,
    ) -> Self {
        let State { progress, weights, moments, accumulator } = state;
        let settings = &progress.settings;
        let model = Llama::new(&settings.architecture, settings.length, &device);
        Self {
            dataset,
            reducer,
            parameters: parameters(&settings.architecture),
            engine: GradientEngine::new(
                model,
                device.clone(),
                threads,
                settings.micro_batch,
                settings.passes,
            ),
            optimizer: Optimizer::new(&settings.optimizer, moments),
            device,
            weights,
            accumulator,
            progress,
        }
    }

    /// With the model that the passes of [`Teacher::Folder`] learn from.
    ///
    /// # Errors
    /// Weights of another shape than its architecture says.
    pub fn with_teacher(mut self, teacher: &TeacherModel) -> Result<Self> {
        let (model, weights) = teacher.on(&self.device, self.progress.settings.length)?;
        self.engine = self.engine.with_teacher(model, weights);
        Ok(self)
    }

    /// Makes sure that all ranks run the same, then gives all of them the weights of rank 0.
    ///
    /// # Errors
    /// Ranks that differ; fewer micro-batches than ranks.
    pub fn join(&mut self) -> Result<()> {
        agree(self.reducer, &self.progress)?;
        enough_work(self.reducer, &self.progress.settings)?;
        self.share_weights()
    }

    /// What has been done so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The trained weights.
    pub fn weights(&self) -> &TensorSet {
        &self.weights
    }

    /// The tensors of the model.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Everything that a later process needs to go on.
    pub fn state(&self) -> State {
        State {
            progress: self.progress.clone(),
            weights: self.weights.clone(),
            moments: self.optimizer.moments().cloned(),
            accumulator: self.accumulator.clone(),
        }
    }

    /// Trains on the next batch.
    ///
    /// # Errors
    /// A loss or a gradient that is not finite: the weights are those before the step then.
    pub fn step(&mut self) -> Result<StepReport> {
        let start = Instant::now();
        let settings = &self.progress.settings;
        let (index, rate) = (self.progress.step, settings.optimizer.rate(self.progress.step, settings.steps));
        let windows = self.dataset.batch(index, settings.batch, settings.seed);
        let plan = self.progress.strategy.plan();
        let batch = self.gradient(&plan, &windows).with_context(|| format!("step {}", index + 1))?;
        let tokens = scored(&windows);
        let losses: Vec<_> = batch.losses.iter().map(|sum| sum / tokens as f64).collect();
        let gradient_norm = batch.gradient.norm();
        if !(losses.iter().all(|loss| loss.is_finite()) && gradient_norm.is_finite()) {
            bail!(
                "step {}: the loss is {losses:?} and the norm of the gradient {gradient_norm} at {}; a lower learning \
                 rate or a longer warm-up may help",
                index + 1,
                plan.primary
            );
        }
        for (width, &loss) in plan.widths().zip(&losses) {
            self.progress.strategy.observe(width, loss)?;
        }
        self.apply(plan.primary, batch.gradient, gradient_norm, rate)?;
        let seconds = start.elapsed().as_secs_f64();
        self.progress.step += 1;
        self.progress.tokens += tokens as u64;
        self.progress.seconds += seconds;
        let (loss, other_losses) = (losses[0], losses[1..].to_vec());
        Ok(StepReport { step: index + 1, plan, loss, other_losses, gradient_norm, rate, tokens, seconds })
    }

    /// The weights as a device reads them at `width`.
    ///
    /// # Errors
    /// A weight that SEFP cannot hold.
    pub fn weights_at(&self, width: Width, reconstruction: Reconstruction) -> Result<TensorSet> {
        match width {
            Width::Full => Ok(self.weights.clone()),
            Width::At(precision) => {
                let scale = self.progress.settings.scale;
                fake_quantize(&self.weights, &self.parameters, precision, reconstruction, scale)
            }
        }
    }

    /// Sum of the negative log-likelihoods of `windows` at `width`, and the scored tokens.
    ///
    /// # Errors
    /// As [`Self::weights_at`]; a loss that is not finite.
    pub fn evaluate(
        &self,
        width: Width,
        reconstruction: Reconstruction,
        windows: &[&Window],
    ) -> Result<(f64, usize)> {
        self.engine.evaluate(&self.weights_at(width, reconstruction)?, windows)
    }

    /// The gradient of the cross-entropy of the batch of `step` at `width`, with the weights as they are.
    ///
    /// # Errors
    /// As [`Self::weights_at`].
    pub fn gradient_at(&self, width: Width, step: u64) -> Result<TensorSet> {
        let settings = &self.progress.settings;
        let windows = self.dataset.batch(step, settings.batch, settings.seed);
        let weights = self.weights_at(width, settings.reconstruction)?;
        Ok(self.sum(&Passes::one(&weights), &windows)?.gradient)
    }

    /// The gradient of a step's passes.
    fn gradient(&self, plan: &Plan, windows: &[&Window]) -> Result<BatchGradient> {
        let settings = &self.progress.settings;
        let weights: Vec<_> = plan
            .widths()
            .map(|width| self.weights_at(width, settings.reconstruction))
            .collect::<Result<_>>()?;
        let strategy = &settings.strategy;
        let pass = |(index, weights)| {
            let imitation = if strategy.learns(index == 0) { strategy.distill_weight as f32 } else { 0.0 };
            Pass { weights, imitation }
        };
        let teacher = match strategy.teacher {
            Teacher::High => Logits::OfFirstPass,
            Teacher::Masters => Logits::OfWeights(&self.weights),
            Teacher::Folder => Logits::OfTeacher,
        };
        let passes = Passes { all: weights.iter().enumerate().map(pass).collect(), teacher };
        self.sum(&passes, windows)
    }

    /// The gradient of this rank's share; on rank 0 that of all ranks. The losses are those of all ranks.
    fn sum(&self, passes: &Passes<'_>, windows: &[&Window]) -> Result<BatchGradient> {
        let mine = self.share(windows);
        let mut batch = self.engine.gradient(passes, &mine, scored(windows))?;
        sum_at_first(self.reducer, &mut batch.gradient, &self.parameters, &self.device)?;
        self.reducer.sum_exact(&mut batch.losses)?;
        Ok(batch)
    }

    /// The micro-batches of this rank: every `ranks`-th one.
    fn share<'w>(&self, windows: &[&'w Window]) -> Vec<&'w Window> {
        let micro_batches = windows.chunks(self.progress.settings.micro_batch);
        micro_batches.skip(self.reducer.rank()).step_by(self.reducer.ranks()).flatten().copied().collect()
    }

    /// Replaces the weights by those of rank 0.
    fn share_weights(&mut self) -> Result<()> {
        share_from_first(self.reducer, &mut self.weights, &self.parameters, &self.device)
    }

    /// Uses a gradient as the strategy says. Rank 0 keeps accumulator and moments and updates the weights.
    fn apply(&mut self, primary: Width, gradient: TensorSet, norm: f64, rate: f64) -> Result<()> {
        let update = self.progress.strategy.update(primary);
        if self.reducer.rank() == 0 {
            self.update(update, gradient, norm, rate);
        }
        if update != Update::Accumulate {
            self.progress.updates += 1;
            self.share_weights()?;
        }
        Ok(())
    }

    fn update(&mut self, update: Update, gradient: TensorSet, norm: f64, rate: f64) {
        let (gradient, norm) = match update {
            Update::Now => (gradient, norm),
            Update::Accumulate => {
                self.accumulator = Some(self.accumulated(gradient));
                return;
            }
            Update::AccumulateThenApply { batches } => {
                let mean = self.accumulated(gradient).scale(1.0 / batches as f32);
                let norm = mean.norm();
                (mean, norm)
            }
        };
        let weights = std::mem::replace(&mut self.weights, TensorSet::new(Vec::new()));
        self.weights = self.optimizer.update(weights, &self.parameters, gradient, norm, rate);
    }

    /// What waited in the accumulator, and `gradient`.
    fn accumulated(&mut self, gradient: TensorSet) -> TensorSet {
        match self.accumulator.take() {
            Some(sum) => sum.plus(gradient),
            None => gradient,
        }
    }
}
