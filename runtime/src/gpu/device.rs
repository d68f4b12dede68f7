//! A session on a GPU: starts a pass, runs it, brings back what is asked for. What the operations
//! between dispatch stands in `operations.rs`.

use std::sync::Arc;

use bytemuck::cast_slice;
use sefp::{Precision, Reconstruction};

use super::{
    buffers::Buffers,
    context::GpuContext,
    params::Params,
    pass::{BindGroups, Bindings, Dispatch},
    pipelines::Kernel,
    readback::{Content, ReadbackBuffer, Source},
    slots::SlotLimits,
    weights::{Chunk, Weights},
};
use crate::{
    Architecture, Batch, Error, ErrorKind, MatrixPrecisions, Output, Readback, Result, Slot, rope::Rope,
};

/// Workgroups along one dimension of a dispatch, as WebGPU guarantees.
const MAX_GROUPS: usize = 65535;

/// Activations and KV cache of one session.
#[derive(Debug)]
pub(super) struct GpuDevice {
    pub(super) context: Arc<GpuContext>,
    pub(super) architecture: Architecture,
    pub(super) limits: SlotLimits,
    pub(super) buffers: Buffers,
    reconstruction: Reconstruction,
    rope: Rope,
    bind_groups: BindGroups,
    readback: ReadbackBuffer,
    pass: Option<Pass>,
}

/// The pass being recorded.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) tokens: Vec<u32>,
    pub(super) position: usize,
    pub(super) precisions: Arc<MatrixPrecisions>,
    dispatches: Vec<Dispatch>,
}

impl GpuDevice {
    /// A session with buffers for one token and an empty cache.
    pub(super) fn new(
        context: &Arc<GpuContext>,
        weights: &Arc<Weights>,
        limits: SlotLimits,
        reconstruction: Reconstruction,
    ) -> Result<Self> {
        let architecture = weights.architecture().clone();
        context.guard("making buffers", || {
            Ok(Self {
                buffers: Buffers::new(context, weights, &architecture, limits),
                rope: Rope::new(&architecture),
                bind_groups: BindGroups::new(context),
                readback: ReadbackBuffer::default(),
                pass: None,
                context: Arc::clone(context),
                architecture,
                limits,
                reconstruction,
            })
        })
    }

    /// Checks the batch, makes room for it and uploads what the pass needs besides its parameters.
    pub(super) fn start(&mut self, batch: Batch<'_>) -> Result<()> {
        self.pass = None;
        let rows = batch.tokens.len();
        let positions = self.check(&batch)?;
        let context = Arc::clone(&self.context);
        if self.buffers.kv.grow(&context, positions)? {
            self.bind_groups.clear();
        }
        let resident = self.buffers.weights.ensure(batch.precisions)?;
        if !Arc::ptr_eq(&resident, &self.buffers.resident) {
            self.buffers.resident = resident;
            self.bind_groups.clear();
        }
        for slot in Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits) {
            self.grow_slot(slot, rows)?;
        }
        context.guard("starting a pass", || {
            let table = self.rope.table(batch.position, rows);
            context.queue.write_buffer(&self.buffers.tokens, 0, cast_slice(batch.tokens));
            context.queue.write_buffer(&self.buffers.rope_table, 0, cast_slice(&table));
            Ok(())
        })?;
        self.pass = Some(Pass {
            tokens: batch.tokens.to_vec(),
            position: batch.position,
            precisions: Arc::clone(batch.precisions),
            dispatches: Vec::new(),
        });
        Ok(())
    }

    /// How many positions the KV cache needs for a batch.
    fn check(&self, batch: &Batch<'_>) -> Result<usize> {
        let rows = batch.tokens.len();
        if rows == 0 || rows > self.limits.batch {
            return Err(invalid(format!("a batch of {rows} tokens, it must be 1 to {}", self.limits.batch)));
        }
        let vocab = self.architecture.vocab_size;
        if let Some(token) = batch.tokens.iter().find(|&&token| token as usize >= vocab) {
            return Err(invalid(format!("token {token} is not in the vocabulary of {vocab}")));
        }
        let positions = batch.position.checked_add(rows);
        positions.ok_or_else(|| invalid(format!("position {} is out of range", batch.position)))
    }

    /// Makes room in a slot.
    pub(super) fn grow_slot(&mut self, slot: Slot, rows: usize) -> Result<()> {
        let limit = if slot == Slot::Logits { self.limits.logits_rows } else { self.limits.batch };
        if self.buffers.slots.grow(&self.context, slot, rows, limit)? {
            self.bind_groups.clear();
        }
        Ok(())
    }

    /// The pass being recorded.
    pub(super) fn pass(&self) -> Result<&Pass> {
        self.pass.as_ref().ok_or_else(no_pass)
    }

    /// Parameters that start with a chunk, read at a precision.
    pub(super) fn chunk_params(&self, chunk: &Chunk, precision: Precision) -> Params {
        Params::new().chunk(chunk, precision, self.reconstruction)
    }

    /// Whether the decode at a precision has an `extra`: see `shaders/shared/sefp.wgsl`.
    pub(super) fn has_extra(&self, precision: Precision) -> bool {
        precision == Precision::E5M8 || self.reconstruction == Reconstruction::Truncate
    }

    /// Records a dispatch over `invocations` along x, in workgroups of the kernel's size, and `rows`
    /// workgroups along y.
    pub(super) fn record(
        &mut self,
        kernel: Kernel,
        bindings: Bindings,
        params: Params,
        [invocations, rows]: [usize; 2],
    ) -> Result<()> {
        let groups = invocations.div_ceil(kernel.shader().workgroup_size as usize);
        if groups > MAX_GROUPS || rows > MAX_GROUPS {
            let name = kernel.shader().name;
            let what = format!("{name} would take {groups} by {rows} workgroups, {MAX_GROUPS} is the limit");
            return Err(Error::new(ErrorKind::UnsupportedModel, what));
        }
        let dispatch = Dispatch { kernel, bindings, params, groups: [groups as u32, rows as u32] };
        self.pass.as_mut().ok_or_else(no_pass)?.dispatches.push(dispatch);
        Ok(())
    }

    /// Runs what was recorded in one submission and brings back what is asked for.
    pub(super) fn run(&mut self, readback: &Readback) -> Result<Output> {
        let source = match readback {
            Readback::Nothing => None,
            Readback::TopK(k) => Some(self.top_k(*k)?),
            Readback::Rows(slot, rows) => Some(self.rows(*slot, rows.start, rows.end)?),
        };
        let pass = self.pass.take().ok_or_else(no_pass)?;
        let context = Arc::clone(&self.context);
        let result = context.guard("running a pass", || {
            self.submit(&pass, source.as_ref())?;
            let Some(source) = source else {
                return Ok(Output::Nothing);
            };
            if source.bytes == 0 {
                return Ok(Output::Rows(Vec::new()));
            }
            Ok(source.content.output(&self.readback.words(&context, source.bytes)?))
        });
        if result.is_err() {
            // Something may have been made that does not work: make it again.
            self.bind_groups = context.guard("making buffers", || Ok(BindGroups::new(&context)))?;
            self.readback = ReadbackBuffer::default();
        }
        result
    }

    fn submit(&mut self, pass: &Pass, source: Option<&Source>) -> Result<()> {
        let context = &self.context;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        self.bind_groups.encode(context, &mut encoder, &pass.dispatches, &|name| self.buffers.of(name))?;
        if let Some(source) = source.filter(|source| source.bytes > 0) {
            self.readback.copy(context, &mut encoder, source);
        }
        context.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Rows of a slot, to be brought back.
    fn rows(&self, slot: Slot, first: usize, end: usize) -> Result<Source> {
        let at = self.buffers.slots.get(slot);
        if first > end || end > at.rows {
            return Err(invalid(format!("rows {first}..{end} of {slot:?}, it has {}", at.rows)));
        }
        let row_bytes = (at.stride * 4) as u64;
        Ok(Source {
            buffer: at.buffer.clone(),
            offset: first as u64 * row_bytes,
            bytes: (end - first) as u64 * row_bytes,
            content: Content::Rows { width: at.width, stride: at.stride },
        })
    }

    /// Makes room for candidates.
    pub(super) fn grow_candidates(&mut self, candidates: usize) -> Result<()> {
        if self.buffers.grow_candidates(&self.context, candidates)? {
            self.bind_groups.clear();
        }
        Ok(())
    }
}

/// A call that does not fit the model or the pass.
pub(super) fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
}

fn no_pass() -> Error {
    invalid("an operation outside of a pass: begin one first".to_string())
}
