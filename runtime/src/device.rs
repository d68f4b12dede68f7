//! What a device offers to the one forward pass: named activation buffers and a dozen operations
//! on them. The model calls the operations in order and does not know who answers.
//!
//! Every slot is a row-major `f32` matrix `[tokens, width]` whose rows are padded with zeros to a
//! multiple of 64 values; no operation writes the padding. Operations are named as the field names
//! them and take shapes from the architecture of the model.

use std::{fmt, ops::Range, sync::Arc};

use crate::{MatrixPrecisions, Norm, Result, WeightMatrix};

/// Bytes that [`Slot::Logits`] may take on any device, one row at least.
pub(crate) const MAX_LOGITS_BYTES: usize = 32 << 20;

/// An activation buffer of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The residual stream, `[tokens, hidden]`.
    Hidden,
    /// The residual stream after a norm, `[tokens, hidden]`.
    Normed,
    /// Queries, `[tokens, heads * head_dim]`.
    Query,
    /// Keys of the tokens at hand, `[tokens, kv_heads * head_dim]`.
    Key,
    /// Values of the tokens at hand, `[tokens, kv_heads * head_dim]`.
    Value,
    /// What attention gathered, `[tokens, heads * head_dim]`.
    Attended,
    /// The gate of the feed-forward block, then its product with `Up`: `[tokens, intermediate]`.
    Gate,
    /// The other half of the feed-forward block, `[tokens, intermediate]`.
    Up,
    /// The output of a block before it is added to the residual stream, `[tokens, hidden]`.
    Projected,
    /// Scores over the vocabulary, `[rows, vocab]`.
    Logits,
}

impl Slot {
    /// Every slot.
    pub const ALL: [Self; 10] = [
        Self::Hidden,
        Self::Normed,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Attended,
        Self::Gate,
        Self::Up,
        Self::Projected,
        Self::Logits,
    ];
}

/// The tokens of one forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Token ids, at most [`Device::max_batch`] of them, all below the size of the vocabulary.
    pub tokens: &'a [u32],
    /// Position of the first token: how many tokens the KV cache already holds.
    pub position: usize,
    /// The precisions at which the matrices are read in this pass.
    pub precisions: &'a Arc<MatrixPrecisions>,
}

/// What is wanted from the end of a forward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readback {
    /// Nothing: the pass only fills the KV cache.
    Nothing,
    /// The `k` best entries of the first row of [`Slot::Logits`], best first; ties go to the lower token.
    TopK(usize),
    /// Rows of a slot, without padding.
    Rows(Slot, Range<usize>),
}

/// What came back from a forward pass, as [`Readback`] asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Nothing was asked for.
    Nothing,
    /// The best entries of the vocabulary.
    TopK(Vec<Candidate>),
    /// Rows of a slot, row-major.
    Rows(Vec<f32>),
}

/// A token and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token id.
    pub token: u32,
    /// Its logit.
    pub logit: f32,
}

/// The two kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A graphics adapter through wgpu.
    Gpu,
}

/// Which device answers, in words for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// CPU or GPU.
    pub kind: DeviceKind,
    /// The adapter, driver and API, or the kernels and threads of the CPU.
    pub name: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Gpu => "gpu",
        };
        write!(f, "{kind} ({})", self.name)
    }
}

/// The weights of one opened model on one kind of device; sessions share it.
pub trait Backend: Send + Sync {
    /// Which device this is.
    fn info(&self) -> &DeviceInfo;

    /// A device with activation buffers and an empty KV cache of its own.
    fn device(&self) -> Result<Box<dyn Device>>;

    /// Gets the planes of these precisions ready now instead of during the first pass that needs them.
    fn prepare(&self, precisions: &MatrixPrecisions) -> Result<()>;

    /// Gives back the memory of the planes above these precisions. A pass that needs them gets them again.
    fn trim(&self, precisions: &MatrixPrecisions);

    /// Bytes of weights in memory because passes needed them.
    fn resident_bytes(&self) -> u64;
}

/// The operations of the forward pass, over the activations and the KV cache of one session.
///
/// A pass is [`begin`](Self::begin), operations in order, [`finish`](Self::finish). An error leaves
/// the pass unfinished; the next `begin` starts afresh, and positions of the KV cache from
/// `batch.position` on are overwritten.
pub trait Device: Send {
    /// The most tokens that one pass takes.
    fn max_batch(&self) -> usize;

    /// Whether an operation is done when its call returns, not at [`finish`](Self::finish): a pass
    /// can then be abandoned between any two of them.
    fn runs_at_once(&self) -> bool {
        false
    }

    /// The most rows that [`Slot::Logits`] takes.
    fn max_logits_rows(&self) -> usize;

    /// Bytes that the KV cache takes at present.
    fn kv_bytes(&self) -> u64;

    /// Starts a pass: takes the tokens, makes room in the KV cache, makes the planes of the
    /// precisions ready.
    fn begin(&mut self, batch: Batch<'_>) -> Result<()>;

    /// `Hidden[t] = embedding[token t]`, at the precision of the embedding.
    fn embed(&mut self) -> Result<()>;

    /// `Normed = Hidden / sqrt(mean(Hidden^2) + eps) * weight`, row by row.
    fn rms_norm(&mut self, weight: Norm) -> Result<()>;

    /// `output[r] = weight * input[rows.start + r]` for every row of `rows`, with the reconstruction
    /// of the checkpoint, at the precision that the pass has for products with this matrix. `output` starts at its row 0.
    fn matmul(&mut self, weight: WeightMatrix, input: Slot, rows: Range<usize>, output: Slot) -> Result<()>;

    /// Several products of the same input, as if [`matmul`](Self::matmul) were called for each pair of a
    /// matrix and its output.
    fn matmuls(&mut self, products: &[(WeightMatrix, Slot)], input: Slot, rows: Range<usize>) -> Result<()> {
        products.iter().try_for_each(|&(weight, output)| self.matmul(weight, input, rows.clone(), output))
    }

    /// Rotates each head of `Query` and `Key` by the position of its token (half-split pairs, as
    /// Hugging Face stores LLaMA).
    fn rope(&mut self) -> Result<()>;

    /// Writes `Key` and `Value` to the KV cache of a layer, at the positions of the tokens.
    fn store_kv(&mut self, layer: usize) -> Result<()>;

    /// [`rope`](Self::rope), then [`store_kv`](Self::store_kv).
    fn rope_store_kv(&mut self, layer: usize) -> Result<()> {
        self.rope()?;
        self.store_kv(layer)
    }

    /// `Attended = softmax(Query * K^T / sqrt(head_dim)) * V` over the KV cache of a layer, causal,
    /// with grouped queries.
    fn attention(&mut self, layer: usize) -> Result<()>;

    /// `Gate = Gate * sigmoid(Gate) * Up`.
    fn swiglu(&mut self) -> Result<()>;

    /// `Hidden += Projected`.
    fn add(&mut self) -> Result<()>;

    /// Ends the pass: runs what was recorded and brings back what is asked for.
    fn finish(&mut self, readback: Readback) -> Result<Output>;
}
