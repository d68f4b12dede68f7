//! Keys and values of the tokens so far, in f16, one buffer each per layer: laid out as
//! `shaders/shared/kv_cache.wgsl` says, grown in blocks of positions by copying on the GPU.

use super::{context::GpuContext, upload::storage_buffer};
use crate::{Architecture, Error, ErrorKind, Result};

/// Positions of a block.
pub(super) const BLOCK_POSITIONS: usize = 256;
/// Bytes and values of a word of the cache.
const WORD_BYTES: usize = 16;
const WORD_VALUES: usize = 8;

/// The cache of one layer.
#[derive(Debug)]
pub(super) struct KvLayer {
    pub(super) keys: wgpu::Buffer,
    pub(super) values: wgpu::Buffer,
    positions: usize,
}

/// The cache of a session.
#[derive(Debug)]
pub(super) struct KvCache {
    /// `None` until the first pass.
    layers: Vec<Option<KvLayer>>,
    position_bytes: usize,
}

impl KvCache {
    /// An empty cache.
    pub(super) fn new(architecture: &Architecture) -> Self {
        let words = architecture.kv_heads * architecture.head_dim.div_ceil(WORD_VALUES);
        Self { layers: (0..architecture.layers).map(|_| None).collect(), position_bytes: words * WORD_BYTES }
    }

    /// Bytes on the GPU.
    pub(super) fn bytes(&self) -> u64 {
        self.layers.iter().flatten().map(|layer| layer.keys.size() + layer.values.size()).sum()
    }

    pub(super) fn layer(&self, layer: usize) -> Result<&KvLayer> {
        let missing = || Error::new(ErrorKind::InvalidArgument, format!("no KV cache for layer {layer}"));
        self.layers.get(layer).and_then(Option::as_ref).ok_or_else(missing)
    }

    /// Makes room for positions `0..positions`. Tells whether anything changed.
    ///
    /// Layer by layer, waiting for each, so that only one layer is in memory twice. After an error
    /// some layers are larger than others, which does no harm.
    pub(super) fn grow(&mut self, context: &GpuContext, positions: usize) -> Result<bool> {
        let limit = context.max_binding_bytes() as usize / self.position_bytes;
        if positions > limit {
            return Err(Error::new(
                ErrorKind::ContextFull,
                format!(
                    "{positions} positions asked for, {} binds a KV cache of {limit}",
                    context.info().name
                ),
            ));
        }
        let mut changed = false;
        for layer in &mut self.layers {
            let held = layer.as_ref().map_or(0, |layer| layer.positions);
            if positions <= held {
                continue;
            }
            // A quarter more than there was keeps copying cheap in long contexts.
            let wanted = positions.max(held + held / 4).next_multiple_of(BLOCK_POSITIONS).min(limit);
            let larger = context.guard("growing the KV cache", || {
                enlarge(context, layer.as_ref(), wanted, self.position_bytes)
            })?;
            *layer = Some(larger);
            changed = true;
        }
        Ok(changed)
    }
}

/// A larger copy of a layer.
fn enlarge(
    context: &GpuContext,
    layer: Option<&KvLayer>,
    positions: usize,
    position_bytes: usize,
) -> Result<KvLayer> {
    let bytes = (positions * position_bytes) as u64;
    let buffer = |label| storage_buffer(context, label, bytes);
    let larger = KvLayer { keys: buffer("keys"), values: buffer("values"), positions };
    if let Some(layer) = layer {
        let mut encoder = context.device.create_command_encoder(&Default::default());
        for (from, to) in [(&layer.keys, &larger.keys), (&layer.values, &larger.values)] {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        }
        context.queue.submit([encoder.finish()]);
        context.wait("growing the KV cache")?;
    }
    Ok(larger)
}
