//! The forward pass of LLaMA (Touvron et al., arXiv 2302.13971): one for every device.

use std::ops::Range;

use crate::{
    Architecture, Batch, CancelToken, Device, Norm, Output, Projection, Readback, Result, Slot, WeightMatrix,
};

/// What is wanted from the tokens of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing but their keys and values.
    Nothing,
    /// The best candidates to follow the last token.
    TopK(usize),
    /// The logits after the last token.
    LastLogits,
    /// The logits after every token.
    AllLogits,
    /// The residual stream of every token after this many layers; one more than there are layers
    /// means after the final norm.
    Hidden(usize),
}

/// Runs a batch through the model. On an error the pass is void: the caller's position stands.
pub(crate) fn forward(
    device: &mut dyn Device,
    architecture: &Architecture,
    batch: Batch<'_>,
    wanted: Wanted,
    cancel: &CancelToken,
) -> Result<Output> {
    let tokens = batch.tokens.len();
    device.begin(batch)?;
    device.embed()?;
    for layer in 0..architecture.layers {
        if wanted == Wanted::Hidden(layer) {
            return device.finish(Readback::Rows(Slot::Hidden, 0..tokens));
        }
        cancel.check()?;
        attention_block(device, layer, tokens)?;
        feed_forward_block(device, layer, tokens)?;
    }
    match wanted {
        Wanted::Nothing => device.finish(Readback::Nothing),
        Wanted::TopK(k) => {
            head(device, architecture, tokens - 1..tokens)?;
            device.finish(Readback::TopK(k))
        }
        Wanted::LastLogits => {
            head(device, architecture, tokens - 1..tokens)?;
            device.finish(Readback::Rows(Slot::Logits, 0..1))
        }
        Wanted::AllLogits => {
            head(device, architecture, 0..tokens)?;
            device.finish(Readback::Rows(Slot::Logits, 0..tokens))
        }
        Wanted::Hidden(layer) if layer == architecture.layers => {
            device.finish(Readback::Rows(Slot::Hidden, 0..tokens))
        }
        Wanted::Hidden(_) => {
            device.rms_norm(Norm::Final)?;
            device.finish(Readback::Rows(Slot::Normed, 0..tokens))
        }
    }
}

fn attention_block(device: &mut dyn Device, layer: usize, tokens: usize) -> Result<()> {
    let weight = |projection| WeightMatrix::Layer(layer, projection);
    device.rms_norm(Norm::Attention(layer))?;
    let products = [
        (weight(Projection::Query), Slot::Query),
        (weight(Projection::Key), Slot::Key),
        (weight(Projection::Value), Slot::Value),
    ];
    device.matmuls(&products, Slot::Normed, 0..tokens)?;
    device.rope_store_kv(layer)?;
    device.attention(layer)?;
    device.matmul(weight(Projection::Output), Slot::Attended, 0..tokens, Slot::Projected)?;
    device.add()
}

fn feed_forward_block(device: &mut dyn Device, layer: usize, tokens: usize) -> Result<()> {
    let weight = |projection| WeightMatrix::Layer(layer, projection);
    device.rms_norm(Norm::FeedForward(layer))?;
    let products = [(weight(Projection::Gate), Slot::Gate), (weight(Projection::Up), Slot::Up)];
    device.matmuls(&products, Slot::Normed, 0..tokens)?;
    device.swiglu()?;
    device.matmul(weight(Projection::Down), Slot::Gate, 0..tokens, Slot::Projected)?;
    device.add()
}

fn head(device: &mut dyn Device, architecture: &Architecture, rows: Range<usize>) -> Result<()> {
    device.rms_norm(Norm::Final)?;
    device.matmul(architecture.head(), Slot::Normed, rows, Slot::Logits)
}
