//! An opened model: weights on a device, shared by its sessions.

use std::sync::Arc;

use sefp::Reconstruction;

use crate::{
    Architecture, Backend, Checkpoint, DeviceInfo, MatrixPrecisions, PrecisionProfile, Result, Session,
    WeightMatrix,
    cpu::{CpuBackend, CpuOptions, FullWeights},
    profile::norm_bytes,
};

/// A model on a device. Cheap to clone; clones and sessions share the weights.
#[derive(Clone, Debug)]
pub struct Model {
    shared: Arc<Shared>,
    device_reason: Option<Arc<str>>,
}

/// What a model and its sessions share.
pub(crate) struct Shared {
    architecture: Architecture,
    /// `None` for a model in full precision.
    checkpoint: Option<Arc<Checkpoint>>,
    backend: Box<dyn Backend>,
}

impl Model {
    /// A model over a backend that was made from this checkpoint.
    pub fn with_backend(checkpoint: Arc<Checkpoint>, backend: Box<dyn Backend>) -> Self {
        let architecture = checkpoint.architecture().clone();
        Self::new(Shared { architecture, checkpoint: Some(checkpoint), backend })
    }

    /// A model on the CPU. The reconstruction of the file can be overridden.
    ///
    /// # Errors
    /// As [`CpuBackend::new`].
    pub fn on_cpu(
        checkpoint: Arc<Checkpoint>,
        reconstruction: Option<Reconstruction>,
        options: &CpuOptions,
    ) -> Result<Self> {
        let reconstruction = reconstruction.unwrap_or(checkpoint.reconstruction());
        let backend = Box::new(CpuBackend::new(Arc::clone(&checkpoint), reconstruction, options)?);
        Ok(Self::with_backend(checkpoint, backend))
    }

    /// An unquantised model on the CPU: the reference that precisions are measured against. Its
    /// sessions ignore the precision.
    ///
    /// # Errors
    /// As [`CpuBackend::full_precision`].
    pub fn full_precision(
        architecture: &Architecture,
        weights: FullWeights,
        options: &CpuOptions,
    ) -> Result<Self> {
        let backend = Box::new(CpuBackend::full_precision(weights, options)?);
        Ok(Self::new(Shared { architecture: architecture.clone(), checkpoint: None, backend }))
    }

    fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), device_reason: None }
    }

    /// The same model with why its device was chosen.
    pub(crate) fn with_reason(mut self, reason: String) -> Self {
        self.device_reason = Some(reason.into());
        self
    }

    /// A new session with an empty cache, at a precision or a profile.
    ///
    /// # Errors
    /// [`MissingPlanes`](crate::ErrorKind::MissingPlanes) when the file does not hold the planes of the profile,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the profile names a layer that the model does
    /// not have, [`Device`](crate::ErrorKind::Device).
    pub fn session(&self, profile: impl Into<PrecisionProfile>) -> Result<Session> {
        let profile = profile.into();
        let precisions = self.shared.resolve(&profile)?;
        Ok(Session::new(Arc::clone(&self.shared), self.shared.backend.device()?, profile, precisions))
    }

    /// Gets the planes of a precision or a profile ready ahead of the first pass that needs them: uploads them to a
    /// GPU, or asks the system to read them, in the background, from the file.
    ///
    /// # Errors
    /// As [`session`](Self::session), and [`Io`](crate::ErrorKind::Io).
    pub fn prepare(&self, profile: impl Into<PrecisionProfile>) -> Result<()> {
        let precisions = self.shared.resolve(&profile.into())?;
        self.shared.backend.prepare(&precisions)
    }

    /// Gives back the memory of the planes above a precision or a profile. Sessions stay usable at any
    /// precision: what they need is uploaded or read again.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the profile names a layer that the model does
    /// not have.
    pub fn trim(&self, profile: impl Into<PrecisionProfile>) -> Result<()> {
        self.shared.backend.trim(&profile.into().resolve(self.architecture())?);
        Ok(())
    }

    /// Bytes of weights in memory because passes needed them: on a GPU those that were uploaded, on
    /// the CPU those of the file that were read, which the system takes back when it runs short.
    pub fn resident_bytes(&self) -> u64 {
        self.shared.backend.resident_bytes()
    }

    /// The shape of the model.
    pub fn architecture(&self) -> &Architecture {
        &self.shared.architecture
    }

    /// The file of the model; `None` for one in full precision.
    pub fn checkpoint(&self) -> Option<&Arc<Checkpoint>> {
        self.shared.checkpoint.as_ref()
    }

    /// Why this device answers, where the choice was left to the runtime.
    pub fn device_reason(&self) -> Option<&str> {
        self.device_reason.as_deref()
    }

    pub(crate) fn resolve(&self, profile: &PrecisionProfile) -> Result<Arc<MatrixPrecisions>> {
        self.shared.resolve(profile)
    }

    /// Which device answers.
    pub fn device_info(&self) -> &DeviceInfo {
        self.shared.backend.info()
    }
}

impl Shared {
    pub(crate) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The precision of every matrix, once the model has the layers and the file the planes.
    pub(crate) fn resolve(&self, profile: &PrecisionProfile) -> Result<Arc<MatrixPrecisions>> {
        let precisions = profile.resolve(&self.architecture)?;
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.require(precisions.max())?;
        }
        Ok(Arc::new(precisions))
    }

    /// Every matrix is read once; of the embedding of an untied model one row, which is not counted.
    pub(crate) fn weight_bytes_per_token(&self, precisions: &MatrixPrecisions) -> u64 {
        let architecture = &self.architecture;
        if self.checkpoint.is_some() {
            return precisions.bytes_per_token(architecture);
        }
        let matrices = WeightMatrix::all(architecture)
            .filter(|&matrix| architecture.tied_head || matrix != WeightMatrix::Embedding)
            .map(|matrix| matrix.grid(architecture))
            .map(|grid| grid.rows * grid.cols * size_of::<f32>());
        (matrices.sum::<usize>() + norm_bytes(architecture)) as u64
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("architecture", &self.architecture)
            .field("device", self.backend.info())
            .finish_non_exhaustive()
    }
}
