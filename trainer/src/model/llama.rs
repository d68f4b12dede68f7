//! The forward pass of a LLaMA model, written so that gradients flow through it.
//!
//! It computes what `otaro`'s forward pass computes (a test holds the two side by side), on whole
//! windows at once.

use std::sync::Arc;

use burn::tensor::{Bool, Device, FloatDType, Int, Tensor, TensorData, activation};
use otaro::{Architecture, Projection, Rope, WeightMatrix};

use super::TensorSet;
use crate::kernels::{Attention, Linear, RmsNorm, SwiGlu, apply};

/// A model on a device, ready for windows of up to a certain length.
pub struct Llama {
    architecture: Architecture,
    length: usize,
    half: bool,
    /// `cos` and `sin` of the rotary angles, `[length, head_dim / 2]`, for the CPU.
    angles: Arc<[[f32; 2]]>,
    /// `cos` and `sin` of the rotary angles, `[1, length, 1, head_dim]`.
    cos: Tensor<4>,
    sin: Tensor<4>,
    /// The signed permutation that takes `(a, b)` of a head's halves to `(-b, a)`, `[1, 1, d, d]`.
    rotate: Tensor<4>,
    /// True where a query may not look, `[1, 1, length, length]`.
    future: Tensor<4, Bool>,
}

impl Llama {
    /// Prepares the tables for windows of `length` tokens.
    pub fn new(architecture: &Architecture, length: usize, device: &Device) -> Self {
        let d = architecture.head_dim;
        let table = Rope::new(architecture).table(0, length);
        let angles = |part: fn([f32; 2]) -> f32| {
            let rows = table.chunks(d / 2).flat_map(|row| row.iter().chain(row).copied().map(part));
            Tensor::from_data(TensorData::new(rows.collect(), [1, length, 1, d]), device)
        };
        let mut rotate = vec![0.0_f32; d * d];
        for pair in 0..d / 2 {
            rotate[(d / 2 + pair) * d + pair] = -1.0;
            rotate[pair * d + d / 2 + pair] = 1.0;
        }
        Self {
            architecture: architecture.clone(),
            length,
            half: false,
            angles: table.as_slice().into(),
            cos: angles(|[cos, _]| cos),
            sin: angles(|[_, sin]| sin),
            rotate: Tensor::from_data(TensorData::new(rotate, [1, 1, d, d]), device),
            future: Tensor::<2, Bool>::tril_mask([length, length], 0, device).unsqueeze(),
        }
    }

    /// Multiplies with weights in 16-bit floats, or not.
    pub fn in_half(self, half: bool) -> Self {
        Self { half, ..self }
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.architecture.layers
    }

    /// The hidden states behind the last norm, `[batch * length, hidden]`, of `tokens`
    /// (`[batch, length]`, of the length given to [`Self::new`]).
    pub fn hidden(&self, weights: &TensorSet, tokens: Tensor<2, Int>) -> Tensor<2> {
        let embedded = self.embed(weights, tokens);
        let hidden = (0..self.layers()).fold(embedded, |x, layer| self.layer(weights, layer, x));
        self.final_norm(weights, hidden)
    }

    /// The residual stream before the first layer, `[batch * length, hidden]`, of `[batch, length]`.
    pub fn embed(&self, weights: &TensorSet, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        self.matrix(weights, WeightMatrix::Embedding).select(0, tokens.reshape([batch * length]))
    }

    /// The residual stream behind a layer, given that before it.
    pub fn layer(&self, weights: &TensorSet, layer: usize, x: Tensor<2>) -> Tensor<2> {
        let matrices =
            Projection::ALL.map(|projection| self.matrix(weights, WeightMatrix::Layer(layer, projection)));
        let norms = [2 * layer, 2 * layer + 1].map(|index| self.norm(weights, index));
        self.block(&matrices, &norms, x)
    }

    /// The residual stream behind a decoder block of these matrices, in the order of
    /// [`Projection::ALL`], and norms, before attention and before the feed-forward part.
    pub fn block(&self, matrices: &[Tensor<2>; 7], norms: &[Tensor<2>; 2], x: Tensor<2>) -> Tensor<2> {
        self.block_and_inputs(matrices, norms, x).0
    }

    /// As [`Self::block`], with what its matrices read: query, key and value; output; gate and up; down.
    pub fn block_and_inputs(
        &self,
        matrices: &[Tensor<2>; 7],
        norms: &[Tensor<2>; 2],
        x: Tensor<2>,
    ) -> (Tensor<2>, [Tensor<2>; 4]) {
        let linear = |x, projection| self.linear(x, matrices[projection as usize].clone());
        let [attention_norm, feed_forward_norm] = norms;
        let before_attention = self.rms_norm(x.clone(), attention_norm.clone());
        let projected = |projection| linear(before_attention.clone(), projection);
        let [query, key, value] = [Projection::Query, Projection::Key, Projection::Value].map(projected);
        let attended = self.attention(query, key, value);
        let x = x + linear(attended.clone(), Projection::Output);

        let before_feed_forward = self.rms_norm(x.clone(), feed_forward_norm.clone());
        let gate = linear(before_feed_forward.clone(), Projection::Gate);
        let up = linear(before_feed_forward.clone(), Projection::Up);
        let gated = swiglu(gate, up);
        let y = x + linear(gated.clone(), Projection::Down);
        (y, [before_attention, attended, before_feed_forward, gated])
    }

    /// The residual stream behind the last layer, normed for the head.
    pub fn final_norm(&self, weights: &TensorSet, x: Tensor<2>) -> Tensor<2> {
        self.rms_norm(x, self.norm(weights, 2 * self.layers()))
    }

    /// The logits of hidden states, `[rows, vocab]`.
    pub fn logits(&self, weights: &TensorSet, hidden: Tensor<2>) -> Tensor<2> {
        self.linear(hidden, self.matrix(weights, self.architecture.head()))
    }

    fn matrix(&self, weights: &TensorSet, matrix: WeightMatrix) -> Tensor<2> {
        let per_layer = Projection::ALL.len();
        let index = match matrix {
            WeightMatrix::Embedding => 0,
            WeightMatrix::Layer(layer, projection) => 1 + layer * per_layer + projection as usize,
            WeightMatrix::Head => 1 + self.architecture.layers * per_layer,
        };
        weights.tensors()[index].clone()
    }

    /// The norms stand behind the matrices, two per layer and the last one.
    fn norm(&self, weights: &TensorSet, index: usize) -> Tensor<2> {
        let norms = 2 * self.architecture.layers + 1;
        let tensors = weights.tensors();
        tensors[tensors.len() - norms + index].clone()
    }

    /// `x @ weight^T`, `[rows, out]`, for a weight of `[out, in]`.
    fn linear(&self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        if self.half {
            let (x, weight) = (x.cast(FloatDType::F16), weight.cast(FloatDType::F16));
            return x.matmul(weight.transpose()).cast(FloatDType::F32);
        }
        let ([rows, inputs], [outputs, _]) = (x.dims(), weight.dims());
        apply(Linear { inputs }, [&x, &weight], [rows, outputs])
            .unwrap_or_else(|| x.matmul(weight.transpose()))
    }

    fn rms_norm(&self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        let eps = self.architecture.rms_norm_eps;
        apply(RmsNorm { eps }, [&x, &weight], x.dims()).unwrap_or_else(|| {
            let mean_square = x.clone().powi_scalar(2).mean_dim(1);
            let scale = (mean_square + eps).sqrt().recip();
            x * scale * weight
        })
    }

    /// Causal attention of `[batch * length, heads * head_dim]`; queries and keys are not rotated yet.
    fn attention(&self, query: Tensor<2>, key: Tensor<2>, value: Tensor<2>) -> Tensor<2> {
        let &Architecture { heads, kv_heads, head_dim, .. } = &self.architecture;
        let length = self.length;
        let kernel = Attention { length, heads, kv_heads, head_dim, angles: self.angles.clone() };
        apply(kernel, [&query, &key, &value], query.dims()).unwrap_or_else(|| {
            let split = |x: Tensor<2>, heads| {
                let [rows, _] = x.dims();
                x.reshape([rows / length, length, heads, head_dim])
            };
            let (query, key) = (self.rope(split(query, heads)), self.rope(split(key, kv_heads)));
            self.plain_attention(query, key, split(value, kv_heads))
        })
    }

    /// Rotates the heads of `[batch, length, heads, head_dim]` by their positions.
    fn rope(&self, heads: Tensor<4>) -> Tensor<4> {
        let rotated = heads.clone().matmul(self.rotate.clone());
        heads * self.cos.clone() + rotated * self.sin.clone()
    }

    /// Causal attention of `[batch, length, heads, head_dim]`, as `[batch * length, heads * head_dim]`.
    ///
    /// The query heads that share a key head are stacked along the positions, so no key is copied.
    fn plain_attention(&self, query: Tensor<4>, key: Tensor<4>, value: Tensor<4>) -> Tensor<2> {
        let [batch, length, heads, d] = query.dims();
        let kv_heads = self.architecture.kv_heads;
        let group = heads / kv_heads;
        let scale = (d as f64).sqrt().recip();
        let query = (query * scale).swap_dims(1, 2).reshape([batch, kv_heads, group * length, d]);
        let (key, value) = (key.swap_dims(1, 2), value.swap_dims(1, 2));
        let scores = query.matmul(key.transpose());
        let future =
            self.future.clone().repeat_dim(2, group).expand([batch, kv_heads, group * length, length]);
        let shares = activation::softmax(scores.mask_fill(future, f32::NEG_INFINITY), 3);
        let attended = shares.matmul(value).reshape([batch, heads, length, d]);
        attended.swap_dims(1, 2).reshape([batch * length, heads * d])
    }
}

/// `silu(gate) * up`.
fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    apply(SwiGlu, [&gate, &up], gate.dims()).unwrap_or_else(|| activation::silu(gate) * up)
}
