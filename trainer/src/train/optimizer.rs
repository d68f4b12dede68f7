//! How weights move: AdamW, or Muon for the matrices of the layers, and the schedule of the learning rate.

use burn::{
    optim::{
        AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, AdjustLrFn, Muon, MuonConfig, Optimizer as _,
    },
    tensor::Tensor,
};
use clap::ValueEnum;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::{Parameter, TensorSet};

/// A rule of updating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// AdamW for every tensor.
    #[default]
    Adamw,
    /// Muon (Jordan 2024) for the matrices of the layers, AdamW for embedding, head and norms. The step
    /// of a matrix is scaled to the size of AdamW's (Liu et al. 2025), so the learning rate is the same.
    /// Needs fewer tokens where a model is trained from scratch.
    Muon,
}

/// Momentum of Muon.
const MUON_MOMENTUM: f32 = 0.95;

/// How weights are updated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// What moves the matrices of the layers.
    pub rule: Rule,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the rate rises to it from zero.
    pub warmup: u64,
    /// What is left of the rate at the last step, as a share of the highest.
    pub final_share: f64,
    /// Decay of the mean of the gradients.
    pub beta_1: f32,
    /// Decay of the mean of their squares.
    pub beta_2: f32,
    /// Weight decay per step, times the learning rate; norms do not decay.
    pub weight_decay: f32,
    /// The norm to which a longer gradient is shortened.
    pub clip: f64,
}

impl OptimizerSettings {
    /// The learning rate of a step (from 0) in a run of `steps`: linear warm-up, then half a cosine.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / (steps.saturating_sub(self.warmup)).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
        self.learning_rate * (self.final_share + (1.0 - self.final_share) * cosine)
    }
}

/// What the optimiser remembers of earlier gradients.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Updates so far.
    pub updates: usize,
    /// Running mean of the gradients; Muon's momentum.
    pub first: TensorSet,
    /// Running mean of their squares; zeros where Muon has no use for it.
    pub second: TensorSet,
}

/// The optimiser of a run, with the moments of every tensor.
pub struct Optimizer {
    decaying: AdamW,
    constant: AdamW,
    muon: Option<Muon>,
    settings: OptimizerSettings,
    moments: Option<Moments>,
}

impl Optimizer {
    /// A new optimiser, or one that goes on from `moments`.
    pub fn new(settings: &OptimizerSettings, moments: Option<Moments>) -> Self {
        let config =
            AdamWConfig::new().with_beta_1(settings.beta_1).with_beta_2(settings.beta_2).with_epsilon(1e-8);
        let muon = MuonConfig::new().with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
        Self {
            decaying: config.clone().with_weight_decay(settings.weight_decay).build(),
            constant: config.with_weight_decay(0.0).build(),
            muon: (settings.rule == Rule::Muon).then(|| muon.build()),
            settings: *settings,
            moments,
        }
    }

    /// What to save; nothing before the first update.
    pub fn moments(&self) -> Option<&Moments> {
        self.moments.as_ref()
    }

    /// One update. A gradient longer than the limit is shortened to it first; `norm` is its length.
    pub fn update(
        &mut self,
        weights: TensorSet,
        parameters: &[Parameter],
        gradient: TensorSet,
        norm: f64,
        rate: f64,
    ) -> TensorSet {
        let clip = self.settings.clip;
        let gradient = if norm > clip { gradient.scale((clip / norm) as f32) } else { gradient };
        let Moments { updates, first, second } = self.moments.take().unwrap_or_else(|| Moments {
            updates: 0,
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
        });
        let tensors = weights.into_tensors().into_par_iter().zip(gradient.into_tensors());
        let tensors = tensors.zip(first.into_tensors()).zip(second.into_tensors()).zip(parameters);
        let updated: Vec<_> = tensors
            .map(|((((weight, gradient), first), second), parameter)| match &self.muon {
                Some(muon) if parameter.in_layer() => {
                    let (weight, momentum) = self.muon_step(muon, rate, weight, gradient, first);
                    (weight, (momentum, second))
                }
                _ => self.adam_step(parameter, rate, weight, gradient, (updates, first, second)),
            })
            .collect();
        let (weights, moments): (Vec<_>, Vec<_>) = updated.into_iter().unzip();
        let (first, second): (Vec<_>, Vec<_>) = moments.into_iter().unzip();
        self.moments = Some(Moments {
            updates: updates + 1,
            first: TensorSet::new(first),
            second: TensorSet::new(second),
        });
        TensorSet::new(weights)
    }

    fn adam_step(
        &self,
        parameter: &Parameter,
        rate: f64,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        (updates, first, second): (usize, Tensor<2>, Tensor<2>),
    ) -> (Tensor<2>, (Tensor<2>, Tensor<2>)) {
        let adam = if parameter.packed { &self.decaying } else { &self.constant };
        let state = AdamWState::new(AdaptiveMomentumState::new(updates, first.clone(), second.clone()));
        match adam.step(rate, weight, gradient, Some(state)) {
            (weight, Some(state)) => (weight, (state.momentum.moment_1, state.momentum.moment_2)),
            (weight, None) => (weight, (first, second)),
        }
    }

    fn muon_step(
        &self,
        muon: &Muon,
        rate: f64,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        momentum: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>) {
        // The momentum is kept here, beside AdamW's, so that one state file serves both. Without a state
        // burn's own only multiplies the gradient by a constant, and Muon does not look at its length.
        let momentum = momentum * MUON_MOMENTUM + gradient.clone();
        let ahead = gradient + momentum.clone() * MUON_MOMENTUM;
        let decayed = weight * (1.0 - rate * f64::from(self.settings.weight_decay));
        (muon.step(rate, decayed, ahead, None).0, momentum)
    }
}
