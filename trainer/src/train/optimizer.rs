//! AdamW over all tensors of a model, and the schedule of its learning rate.

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _},
    tensor::Tensor,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::{Parameter, TensorSet};

/// How AdamW updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
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

/// The moments of AdamW.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Updates so far.
    pub updates: usize,
    /// Running mean of the gradients.
    pub first: TensorSet,
    /// Running mean of their squares.
    pub second: TensorSet,
}

/// AdamW with the moments of every tensor.
pub struct Optimizer {
    decaying: AdamW,
    constant: AdamW,
    clip: f64,
    moments: Option<Moments>,
}

impl Optimizer {
    /// A new optimiser, or one that goes on from `moments`.
    pub fn new(settings: &OptimizerSettings, moments: Option<Moments>) -> Self {
        let config =
            AdamWConfig::new().with_beta_1(settings.beta_1).with_beta_2(settings.beta_2).with_epsilon(1e-8);
        Self {
            decaying: config.clone().with_weight_decay(settings.weight_decay).build(),
            constant: config.with_weight_decay(0.0).build(),
            clip: settings.clip,
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
        let gradient = if norm > self.clip { gradient.scale((self.clip / norm) as f32) } else { gradient };
        let updates = self.moments.as_ref().map_or(0, |moments| moments.updates);
        let states = self.take_states(gradient.tensors().len());
        let tensors =
            weights.into_tensors().into_par_iter().zip(gradient.into_tensors()).zip(states).zip(parameters);
        let updated: Vec<_> = tensors
            .map(|(((weight, gradient), state), parameter)| {
                let adam = if parameter.packed { &self.decaying } else { &self.constant };
                let (weight, state) = adam.step(rate, weight, gradient, state);
                (weight, state.map(|state| (state.momentum.moment_1, state.momentum.moment_2)))
            })
            .collect();
        let (weights, states): (Vec<_>, Vec<_>) = updated.into_iter().unzip();
        let (first, second): (Vec<_>, Vec<_>) = states.into_iter().flatten().unzip();
        self.moments = Some(Moments {
            updates: updates + 1,
            first: TensorSet::new(first),
            second: TensorSet::new(second),
        });
        TensorSet::new(weights)
    }

    fn take_states(&mut self, tensors: usize) -> Vec<Option<AdamWState<2>>> {
        let Some(Moments { updates, first, second }) = self.moments.take() else {
            return vec![None; tensors];
        };
        let state = |(first, second): (Tensor<2>, Tensor<2>)| {
            Some(AdamWState::new(AdaptiveMomentumState::new(updates, first, second)))
        };
        first.into_tensors().into_iter().zip(second.into_tensors()).map(state).collect()
    }
}
