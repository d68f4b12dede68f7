//! One forward and backward pass over a micro-batch.

use burn::tensor::{Gradients, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::model::{Llama, Targets, TensorSet};

/// How passes are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassSettings {
    /// Keep only what goes into each layer and compute the layer again on the way back: a third more
    /// work, and the activations of one layer at a time instead of all of them.
    pub recompute: bool,
    /// Multiply in 16-bit floats. Sums and everything but the products with weights stay in f32.
    pub half: bool,
}

/// What a pass gives back.
pub struct Pass {
    /// Gradient of the loss, times the factor that was asked for.
    pub gradient: TensorSet,
    /// Logits of the scored positions, without a graph.
    pub logits: Tensor<2>,
}

/// Runs the model on `tokens`, and backwards from `loss` of the logits of the scored positions.
pub fn pass(
    model: &Llama,
    settings: PassSettings,
    weights: &TensorSet,
    tokens: Tensor<2, Int>,
    targets: &Targets,
    factor: f64,
    loss: impl FnOnce(Tensor<2>) -> Tensor<1>,
) -> Pass {
    // Half floats end at 6e-5: gradients go back unscaled there, of the order of one, and shrink later.
    let (before, after) = if settings.half { (1.0, factor) } else { (factor, 1.0) };
    let backward = |logits: Tensor<2>| (loss(logits) * before).backward();
    let pass = if settings.recompute {
        layer_by_layer(model, weights, tokens, targets, backward)
    } else {
        at_once(model, weights, tokens, targets, backward)
    };
    if after == 1.0 { pass } else { Pass { gradient: pass.gradient.scale(after as f32), ..pass } }
}

fn at_once(
    model: &Llama,
    weights: &TensorSet,
    tokens: Tensor<2, Int>,
    targets: &Targets,
    backward: impl FnOnce(Tensor<2>) -> Gradients,
) -> Pass {
    let leaves = track(weights);
    let logits = model.logits(&leaves, targets.select(model.hidden(&leaves, tokens)));
    let mut sum = Sum::new(weights);
    sum.add(&leaves, &mut backward(logits.clone()));
    Pass { gradient: sum.finish(), logits: logits.without_autodiff() }
}

/// The same numbers as [`at_once`], but each layer has a graph of its own, made when the gradient of its
/// output is known.
fn layer_by_layer(
    model: &Llama,
    weights: &TensorSet,
    tokens: Tensor<2, Int>,
    targets: &Targets,
    backward: impl FnOnce(Tensor<2>) -> Gradients,
) -> Pass {
    let (mut inputs, mut hidden) = (Vec::new(), model.embed(weights, tokens.clone()));
    for layer in 0..model.layers() {
        inputs.push(hidden.clone());
        hidden = model.layer(weights, layer, hidden);
    }
    let mut sum = Sum::new(weights);
    let (leaves, top) = (track(weights), leaf(hidden));
    let logits = model.logits(&leaves, targets.select(model.final_norm(&leaves, top.clone())));
    let mut gradients = backward(logits.clone());
    sum.add(&leaves, &mut gradients);
    let mut upper = gradient_of(&top, &mut gradients);
    for (layer, input) in inputs.into_iter().enumerate().rev() {
        let (leaves, input) = (track(weights), leaf(input));
        // The gradient of this sum is the upper gradient, carried down through the layer.
        let mut gradients = (model.layer(&leaves, layer, input.clone()) * upper).sum().backward();
        sum.add(&leaves, &mut gradients);
        upper = gradient_of(&input, &mut gradients);
    }
    let leaves = track(weights);
    sum.add(&leaves, &mut (model.embed(&leaves, tokens) * upper).sum().backward());
    Pass { gradient: sum.finish(), logits: logits.without_autodiff() }
}

/// Gradients of the weights, from one graph or several.
pub(crate) struct Sum<'a> {
    weights: &'a TensorSet,
    tensors: Vec<Option<Tensor<2>>>,
}

impl<'a> Sum<'a> {
    pub(crate) fn new(weights: &'a TensorSet) -> Self {
        Self { weights, tensors: vec![None; weights.tensors().len()] }
    }

    /// Adds the gradients of those leaves that the graph has used.
    pub(crate) fn add(&mut self, leaves: &TensorSet, gradients: &mut Gradients) {
        for (sum, leaf) in self.tensors.iter_mut().zip(leaves.tensors()) {
            if let Some(gradient) = leaf.grad_remove(gradients) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
        }
    }

    pub(crate) fn finish(self) -> TensorSet {
        let tensors = self.tensors.into_iter().zip(self.weights.tensors());
        TensorSet::new(tensors.map(|(sum, weight)| sum.unwrap_or_else(|| weight.zeros_like())).collect())
    }
}

/// The leaf of a new graph.
fn leaf(tensor: Tensor<2>) -> Tensor<2> {
    tensor.autodiff().require_grad()
}

/// Leaves of a new graph.
pub(crate) fn track(weights: &TensorSet) -> TensorSet {
    TensorSet::new(weights.tensors().iter().cloned().map(leaf).collect())
}

fn gradient_of(leaf: &Tensor<2>, gradients: &mut Gradients) -> Tensor<2> {
    leaf.grad_remove(gradients).unwrap_or_else(|| leaf.clone().without_autodiff().zeros_like())
}
