//! Every buffer of a session, and which of them a kernel is bound to.

use std::sync::Arc;

use super::{
    context::GpuContext,
    kv_cache::KvCache,
    pass::Bindings,
    slots::{SlotLimits, Slots},
    upload::storage_buffer,
    weights::{Resident, Weights},
};
use crate::{Architecture, Result, Slot, WeightMatrix};

/// The buffers of a session and the weights it shares.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) weights: Arc<Weights>,
    /// The planes of the pass.
    pub(super) resident: Arc<Resident>,
    pub(super) slots: Slots,
    pub(super) kv: KvCache,
    /// Token ids of the batch.
    pub(super) tokens: wgpu::Buffer,
    /// Cosines and sines of the batch.
    pub(super) rope_table: wgpu::Buffer,
    /// The lists between which the stages of `top_k` go back and forth.
    candidates: [wgpu::Buffer; 2],
    /// Bound in place of planes that are not needed.
    no_plane: wgpu::Buffer,
}

impl Buffers {
    pub(super) fn new(
        context: &GpuContext,
        weights: &Arc<Weights>,
        architecture: &Architecture,
        limits: SlotLimits,
    ) -> Self {
        let table_bytes = limits.batch * architecture.head_dim / 2 * size_of::<[f32; 2]>();
        Self {
            weights: Arc::clone(weights),
            resident: Arc::default(),
            slots: Slots::new(architecture, context),
            kv: KvCache::new(architecture),
            tokens: storage_buffer(context, "tokens", limits.batch as u64 * 4),
            rope_table: storage_buffer(context, "rotary table", table_bytes as u64),
            candidates: [(); 2].map(|()| storage_buffer(context, "candidates", 8)),
            no_plane: storage_buffer(context, "no plane", 16),
        }
    }

    /// The list of candidates that a stage of `top_k` writes.
    pub(super) fn candidates(&self, stage: usize) -> &wgpu::Buffer {
        &self.candidates[stage % 2]
    }

    /// Makes room for this many candidates in both lists. Tells whether anything changed.
    pub(super) fn grow_candidates(&mut self, context: &GpuContext, candidates: usize) -> Result<bool> {
        let bytes = (candidates as u64 * 8).next_power_of_two();
        if self.candidates[0].size() >= bytes {
            return Ok(false);
        }
        let larger = || Ok([(); 2].map(|()| storage_buffer(context, "candidates", bytes)));
        self.candidates = context.guard("growing the list of candidates", larger)?;
        Ok(true)
    }

    /// The storage buffers that a dispatch is bound to, in the order of its shader.
    pub(super) fn of(&self, bindings: Bindings) -> Result<Vec<wgpu::Buffer>> {
        let slot = |slot| self.slots.get(slot).buffer.clone();
        Ok(match bindings {
            Bindings::Embed { chunk } => {
                let mut buffers = self.planes(WeightMatrix::Embedding, chunk)?;
                buffers.extend([self.tokens.clone(), slot(Slot::Hidden)]);
                buffers
            }
            Bindings::RmsNorm(norm) => {
                vec![slot(Slot::Hidden), self.weights.norm(norm)?.clone(), slot(Slot::Normed)]
            }
            Bindings::Matmul { matrix, chunk, input, output } => {
                let mut buffers = self.planes(matrix, chunk)?;
                buffers.extend([slot(input), slot(output)]);
                buffers
            }
            Bindings::Rope => vec![self.rope_table.clone(), slot(Slot::Query), slot(Slot::Key)],
            Bindings::StoreKv { layer } => {
                let cache = self.kv.layer(layer)?;
                vec![slot(Slot::Key), slot(Slot::Value), cache.keys.clone(), cache.values.clone()]
            }
            Bindings::Attention { layer } => {
                let cache = self.kv.layer(layer)?;
                vec![slot(Slot::Query), cache.keys.clone(), cache.values.clone(), slot(Slot::Attended)]
            }
            Bindings::Swiglu => vec![slot(Slot::Up), slot(Slot::Gate)],
            Bindings::Add => vec![slot(Slot::Projected), slot(Slot::Hidden)],
            Bindings::TopK { stage: 0 } => vec![slot(Slot::Logits), self.candidates(0).clone()],
            Bindings::TopK { stage } => {
                vec![self.candidates(stage - 1).clone(), self.candidates(stage).clone()]
            }
        })
    }

    /// The six buffers of a chunk.
    fn planes(&self, matrix: WeightMatrix, chunk: usize) -> Result<Vec<wgpu::Buffer>> {
        let planes = self.resident.planes(matrix, chunk)?;
        let bits = planes.bits.iter().map(|plane| plane.as_ref().unwrap_or(&self.no_plane));
        Ok([&planes.base].into_iter().chain(bits).cloned().collect())
    }
}
