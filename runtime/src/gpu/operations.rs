//! The operations of a [`Device`], each a dispatch or a few of the kernel of the same name.

use std::{ops::Range, sync::Arc};

use super::{
    device::{GpuDevice, invalid},
    params::Params,
    pass::Bindings,
    pipelines::Kernel,
    readback::{Content, Source},
};
use crate::{Batch, Device, Norm, Output, Readback, Result, Slot, WeightMatrix};

/// Up to this many tokens `matvec` is faster than `matmul`, which computes eight at a time.
const MATVEC_TOKENS: usize = 2;
/// Tokens that an invocation of `matmul` computes.
const MATMUL_TOKENS: usize = 8;
/// Values of a vector in the shaders, and of a word of the KV cache.
const VECTOR: usize = 4;
const KV_WORD: usize = 8;
/// Queries that a workgroup of `attention` computes.
const ATTENTION_QUERIES: usize = 4;
/// Candidates that a workgroup of `top_k` looks at.
const TOP_K_BLOCK: usize = 2048;
/// The largest `k` for the kernel, whose rounds are `k`: beyond it the logits are brought back.
const TOP_K_MAX: usize = 64;

impl Device for GpuDevice {
    fn max_batch(&self) -> usize {
        self.limits.batch
    }

    fn max_logits_rows(&self) -> usize {
        self.limits.logits_rows
    }

    fn kv_bytes(&self) -> u64 {
        self.buffers.kv.bytes()
    }

    fn begin(&mut self, batch: Batch<'_>) -> Result<()> {
        self.start(batch)
    }

    fn embed(&mut self) -> Result<()> {
        let tokens = self.pass()?.tokens.clone();
        let precision = self.pass()?.precisions.embedding();
        let weights = Arc::clone(&self.buffers.weights);
        let (width, stride) = self.shape(Slot::Hidden);
        for (index, chunk) in weights.chunks(WeightMatrix::Embedding)?.iter().enumerate() {
            let rows = chunk.first_row..chunk.first_row + chunk.rows;
            if tokens.iter().any(|&token| rows.contains(&(token as usize))) {
                let params = self.chunk_params(chunk, precision).u32(width).u32(stride / VECTOR);
                let size = [width.div_ceil(VECTOR), tokens.len()];
                self.record(Kernel::Embed, Bindings::Embed { chunk: index }, params, size)?;
            }
        }
        Ok(())
    }

    fn rms_norm(&mut self, weight: Norm) -> Result<()> {
        self.buffers.weights.norm(weight)?;
        let tokens = self.pass()?.tokens.len();
        let (width, stride) = self.shape(Slot::Hidden);
        let params = Params::new().u32(width).u32(stride / VECTOR).f32(self.architecture.rms_norm_eps);
        // A workgroup per token.
        let invocations = tokens * Kernel::RmsNorm.shader().workgroup_size as usize;
        self.record(Kernel::RmsNorm, Bindings::RmsNorm(weight), params, [invocations, 1])
    }

    fn matmul(&mut self, weight: WeightMatrix, input: Slot, rows: Range<usize>, output: Slot) -> Result<()> {
        self.check_matmul(weight, input, &rows, output)?;
        let tokens = rows.len();
        if tokens == 0 {
            return Ok(());
        }
        self.grow_slot(output, tokens)?;
        let weights = Arc::clone(&self.buffers.weights);
        let (_, input_stride) = self.shape(input);
        let (_, output_stride) = self.shape(output);
        let precision = self.pass()?.precisions.product(weight);
        let extra = self.has_extra(precision);
        let split = self.context.pipelines.matvec_split as usize;
        for (index, chunk) in weights.chunks(weight)?.iter().enumerate() {
            let params = self
                .chunk_params(chunk, precision)
                .u32(rows.start)
                .u32(input_stride / VECTOR)
                .u32(output_stride)
                .u32(tokens);
            let bindings = Bindings::Matmul { matrix: weight, chunk: index, input, output };
            let (kernel, size) = match tokens {
                ..=MATVEC_TOKENS => (Kernel::Matvec { extra }, [chunk.quads() * split, tokens]),
                _ => (Kernel::Matmul { extra }, [chunk.quads() / 2, tokens.div_ceil(MATMUL_TOKENS)]),
            };
            self.record(kernel, bindings, params, size)?;
        }
        Ok(())
    }

    fn rope(&mut self) -> Result<()> {
        let tokens = self.pass()?.tokens.len();
        let (heads, kv_heads, head_dim) = self.heads();
        let params = Params::new()
            .u32(heads)
            .u32(kv_heads)
            .u32(head_dim)
            .u32(self.shape(Slot::Query).1)
            .u32(self.shape(Slot::Key).1);
        let pairs = (heads + kv_heads) * head_dim / 2;
        self.record(Kernel::Rope, Bindings::Rope, params, [pairs, tokens])
    }

    fn store_kv(&mut self, layer: usize) -> Result<()> {
        self.buffers.kv.layer(layer)?;
        let (tokens, position) = (self.pass()?.tokens.len(), self.pass()?.position);
        let (_, kv_heads, head_dim) = self.heads();
        let params = Params::new().u32(position).u32(kv_heads).u32(head_dim).u32(self.shape(Slot::Key).1);
        let words = kv_heads * head_dim.div_ceil(KV_WORD);
        self.record(Kernel::StoreKv, Bindings::StoreKv { layer }, params, [words, tokens])
    }

    fn attention(&mut self, layer: usize) -> Result<()> {
        self.buffers.kv.layer(layer)?;
        let (tokens, position) = (self.pass()?.tokens.len(), self.pass()?.position);
        let (heads, kv_heads, head_dim) = self.heads();
        let params = Params::new()
            .u32(position)
            .u32(heads / kv_heads)
            .u32(kv_heads)
            .u32(head_dim)
            .u32(self.shape(Slot::Query).1)
            .f32(1.0 / (head_dim as f32).sqrt())
            .u32(tokens);
        // A workgroup per four queries that share a key and value head.
        let invocations = kv_heads * Kernel::Attention.shader().workgroup_size as usize;
        let fours = (tokens * heads / kv_heads).div_ceil(ATTENTION_QUERIES);
        self.record(Kernel::Attention, Bindings::Attention { layer }, params, [invocations, fours])
    }

    fn swiglu(&mut self) -> Result<()> {
        self.elementwise(Kernel::Swiglu, Bindings::Swiglu, Slot::Gate)
    }

    fn add(&mut self) -> Result<()> {
        self.elementwise(Kernel::Add, Bindings::Add, Slot::Hidden)
    }

    fn finish(&mut self, readback: Readback) -> Result<Output> {
        self.run(&readback)
    }
}

impl GpuDevice {
    /// Width and stride of a slot.
    fn shape(&self, slot: Slot) -> (usize, usize) {
        let slot = self.buffers.slots.get(slot);
        (slot.width, slot.stride)
    }

    /// Query heads, key and value heads, values of a head.
    fn heads(&self) -> (usize, usize, usize) {
        (self.architecture.heads, self.architecture.kv_heads, self.architecture.head_dim)
    }

    fn elementwise(&mut self, kernel: Kernel, bindings: Bindings, slot: Slot) -> Result<()> {
        let tokens = self.pass()?.tokens.len();
        let (width, stride) = self.shape(slot);
        let vectors = width.div_ceil(VECTOR);
        let params = Params::new().u32(vectors).u32(stride / VECTOR);
        self.record(kernel, bindings, params, [vectors, tokens])
    }

    fn check_matmul(
        &self,
        weight: WeightMatrix,
        input: Slot,
        rows: &Range<usize>,
        output: Slot,
    ) -> Result<()> {
        let tokens = self.pass()?.tokens.len();
        let grid = weight.grid(&self.architecture);
        let (from, to) = (self.buffers.slots.get(input), self.buffers.slots.get(output));
        if input == output || from.width != grid.cols || to.width != grid.rows {
            let shape = format!("[{}, {}]", grid.rows, grid.cols);
            return Err(invalid(format!("{weight} {shape} does not go from {input:?} to {output:?}")));
        }
        let limit = if output == Slot::Logits { self.limits.logits_rows } else { tokens };
        if rows.start > rows.end || rows.end > tokens || rows.len() > limit {
            return Err(invalid(format!("rows {rows:?} of a batch of {tokens}, at most {limit}")));
        }
        Ok(())
    }

    /// Records the stages of `top_k` over the first row of the logits.
    pub(super) fn top_k(&mut self, k: usize) -> Result<Source> {
        let (vocab, stride) = self.shape(Slot::Logits);
        let k = k.min(vocab);
        if k == 0 {
            return Err(invalid("the best 0 candidates".to_string()));
        }
        if k > TOP_K_MAX {
            let buffer = self.buffers.slots.get(Slot::Logits).buffer.clone();
            let content = Content::Logits { width: vocab, k };
            return Ok(Source { buffer, offset: 0, bytes: (stride * 4) as u64, content });
        }
        self.grow_candidates(vocab.div_ceil(TOP_K_BLOCK) * k)?;
        let (mut count, mut stage) = (vocab, 0);
        loop {
            let groups = count.div_ceil(TOP_K_BLOCK);
            let words = if stage == 0 { 1 } else { 2 };
            let params = Params::new().u32(count).u32(words).u32(k);
            let invocations = groups * Kernel::TopK.shader().workgroup_size as usize;
            self.record(Kernel::TopK, Bindings::TopK { stage }, params, [invocations, 1])?;
            if groups == 1 {
                let buffer = self.buffers.candidates(stage).clone();
                return Ok(Source { buffer, offset: 0, bytes: (k * 8) as u64, content: Content::Candidates });
            }
            (count, stage) = (groups * k, stage + 1);
        }
    }
}
