//! The activation buffers of a session, grown with the batches that are run.

use sefp::GROUP_SIZE;

use super::{context::GpuContext, upload::storage_buffer};
use crate::{Architecture, Error, ErrorKind, Result, Slot, device::MAX_LOGITS_BYTES};

/// Tokens of a pass, where the buffers allow that many.
const MAX_BATCH: usize = 256;
/// Bytes that a slot may take: what WebGPU guarantees for a binding.
const MAX_SLOT_BYTES: usize = 128 << 20;

/// Rows of each slot that the limits allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotLimits {
    pub(super) batch: usize,
    pub(super) logits_rows: usize,
}

impl SlotLimits {
    /// The limits of a model on a context; an error where not even one row fits.
    pub(super) fn new(architecture: &Architecture, context: &GpuContext) -> Result<Self> {
        let row_bytes = |slot: Slot| architecture.width(slot).next_multiple_of(GROUP_SIZE) * 4;
        let limit = MAX_SLOT_BYTES.min(context.max_binding_bytes() as usize);
        let widest = Slot::ALL.into_iter().max_by_key(|&slot| row_bytes(slot)).unwrap_or(Slot::Hidden);
        if row_bytes(widest) > limit {
            return Err(Error::new(
                ErrorKind::UnsupportedModel,
                format!(
                    "one row of {widest:?} takes {} bytes, {} binds at most {limit}",
                    row_bytes(widest),
                    context.info().name
                ),
            ));
        }
        let rows = |slot: Slot| limit / row_bytes(slot);
        let activations = Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits);
        let batch = activations.map(rows).min().unwrap_or(1).min(MAX_BATCH);
        let logits_rows = (MAX_LOGITS_BYTES.min(limit) / row_bytes(Slot::Logits)).clamp(1, batch);
        Ok(Self { batch, logits_rows })
    }
}

/// One activation buffer, `[rows, stride]`; zeros where nothing was written.
#[derive(Debug)]
pub(super) struct SlotBuffer {
    /// Values of a row without padding.
    pub(super) width: usize,
    /// Values from one row to the next.
    pub(super) stride: usize,
    /// Rows there is room for.
    pub(super) rows: usize,
    pub(super) buffer: wgpu::Buffer,
}

/// All activation buffers of a session.
#[derive(Debug)]
pub(super) struct Slots(Vec<SlotBuffer>);

impl Slots {
    /// Buffers of one row.
    pub(super) fn new(architecture: &Architecture, context: &GpuContext) -> Self {
        let slot = |slot: Slot| {
            let width = architecture.width(slot);
            let stride = width.next_multiple_of(GROUP_SIZE);
            SlotBuffer { width, stride, rows: 1, buffer: slot_buffer(context, slot, 1, stride) }
        };
        Self(Slot::ALL.map(slot).into())
    }

    pub(super) fn get(&self, slot: Slot) -> &SlotBuffer {
        &self.0[slot as usize]
    }

    /// Makes room for some rows, at most `limit`; what was there is lost. Tells whether anything changed.
    pub(super) fn grow(
        &mut self,
        context: &GpuContext,
        slot: Slot,
        rows: usize,
        limit: usize,
    ) -> Result<bool> {
        let at = &mut self.0[slot as usize];
        if rows <= at.rows {
            return Ok(false);
        }
        let rows = rows.next_power_of_two().min(limit);
        let larger = || Ok(slot_buffer(context, slot, rows, at.stride));
        at.buffer = context.guard("growing activations", larger)?;
        at.rows = rows;
        Ok(true)
    }
}

fn slot_buffer(context: &GpuContext, slot: Slot, rows: usize, stride: usize) -> wgpu::Buffer {
    storage_buffer(context, &format!("{slot:?}"), (rows * stride * 4) as u64)
}
