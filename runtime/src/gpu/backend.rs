//! A model on a GPU.

use std::sync::Arc;

use sefp::Reconstruction;

use super::{context::GpuContext, device::GpuDevice, slots::SlotLimits, weights::Weights};
use crate::{Backend, Checkpoint, Device, DeviceInfo, MatrixPrecisions, Result};

/// Bytes of a plane that are bound at a time: half of what WebGPU guarantees.
const CHUNK_BYTES: usize = 64 << 20;

/// The weights of one model on a GPU. Planes are uploaded when a pass first needs them.
#[derive(Debug)]
pub struct GpuBackend {
    context: Arc<GpuContext>,
    weights: Arc<Weights>,
    limits: SlotLimits,
    reconstruction: Reconstruction,
}

impl GpuBackend {
    /// Prepares a model on an adapter. The reconstruction may differ from that of the file.
    ///
    /// # Errors
    /// [`UnsupportedModel`](crate::ErrorKind::UnsupportedModel) when the model is too wide for the
    /// adapter, [`Device`](crate::ErrorKind::Device), [`Io`](crate::ErrorKind::Io).
    pub fn open(
        checkpoint: Arc<Checkpoint>,
        reconstruction: Reconstruction,
        context: &Arc<GpuContext>,
    ) -> Result<Self> {
        Self::with_chunks(checkpoint, reconstruction, context, CHUNK_BYTES)
    }

    /// The same with matrices cut into chunks of at most `chunk_bytes` a plane.
    pub(super) fn with_chunks(
        checkpoint: Arc<Checkpoint>,
        reconstruction: Reconstruction,
        context: &Arc<GpuContext>,
        chunk_bytes: usize,
    ) -> Result<Self> {
        let limits = SlotLimits::new(checkpoint.architecture(), context)?;
        let weights = Arc::new(Weights::new(context, checkpoint, chunk_bytes)?);
        Ok(Self { context: Arc::clone(context), weights, limits, reconstruction })
    }

    /// A device of this backend.
    pub(super) fn gpu_device(&self) -> Result<GpuDevice> {
        GpuDevice::new(&self.context, &self.weights, self.limits, self.reconstruction)
    }
}

impl Backend for GpuBackend {
    fn info(&self) -> &DeviceInfo {
        self.context.info()
    }

    fn device(&self) -> Result<Box<dyn Device>> {
        Ok(Box::new(self.gpu_device()?))
    }

    /// Uploads the planes.
    fn prepare(&self, precisions: &MatrixPrecisions) -> Result<()> {
        self.weights.ensure(precisions).map(|_| ())
    }

    fn trim(&self, precisions: &MatrixPrecisions) {
        self.weights.trim(precisions);
    }

    /// Bytes of planes on the GPU.
    fn resident_bytes(&self) -> u64 {
        self.weights.resident_bytes()
    }
}
