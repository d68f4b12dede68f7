//! Opening a model: which file, on which device.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use sefp::Reconstruction;

use crate::{
    Checkpoint, Error, ErrorKind, Model, Result, auto,
    cpu::{CpuKernel, CpuOptions},
    gpu::{GpuBackend, GpuContext, GpuOptions},
};

/// Which device is to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest one that computes what it should.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A graphics adapter; an error when there is none.
    Gpu,
}

impl DeviceChoice {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Cpu, Self::Gpu];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("'{text}' is not a device: give auto, cpu or gpu"))
        })
    }
}

/// How a model is to be opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Which device is to answer.
    pub device: DeviceChoice,
    /// Overrides the reconstruction of the file.
    pub reconstruction: Option<Reconstruction>,
    /// How the CPU is to compute, where it is the CPU that answers.
    pub cpu: CpuOptions,
}

impl Model {
    /// Opens a packed model.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; [`NoAdapter`](ErrorKind::NoAdapter) and [`Device`](ErrorKind::Device)
    /// when a GPU was asked for.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::on_device(Arc::new(Checkpoint::open(path)?), options)
    }

    /// A model over a checkpoint that is already open.
    ///
    /// [`DeviceChoice::Auto`] tries a GPU against the CPU for a few tokens; see
    /// [`device_reason`](Self::device_reason) for the outcome.
    ///
    /// # Errors
    /// [`NoAdapter`](ErrorKind::NoAdapter) and [`Device`](ErrorKind::Device) when a GPU was asked for;
    /// those of [`on_cpu`](Self::on_cpu) otherwise.
    pub fn on_device(checkpoint: Arc<Checkpoint>, options: &OpenOptions) -> Result<Self> {
        let reconstruction = options.reconstruction;
        let cpu = || Self::on_cpu(Arc::clone(&checkpoint), reconstruction, &options.cpu);
        match options.device {
            DeviceChoice::Cpu => cpu(),
            DeviceChoice::Gpu => {
                let context = GpuContext::open(&GpuOptions::default())?;
                Self::on_gpu(checkpoint, options.reconstruction, &context)
            }
            DeviceChoice::Auto => Ok(match hardware_gpu() {
                Err(reason) => cpu()?.with_reason(reason),
                Ok(context) => {
                    match Self::on_gpu(Arc::clone(&checkpoint), options.reconstruction, &context) {
                        Err(error) => cpu()?.with_reason(error.to_string()),
                        Ok(gpu) => {
                            let cpu = cpu()?;
                            let options = CpuOptions { kernel: Some(CpuKernel::Exact), ..options.cpu };
                            let exact = Self::on_cpu(Arc::clone(&checkpoint), reconstruction, &options)?;
                            let verdict = auto::trial(&cpu, &exact, &gpu);
                            if verdict.use_gpu { gpu } else { cpu }.with_reason(verdict.reason)
                        }
                    }
                }
            }),
        }
    }

    /// A model on an opened adapter. The reconstruction of the file can be overridden.
    ///
    /// # Errors
    /// As [`GpuBackend::open`].
    pub fn on_gpu(
        checkpoint: Arc<Checkpoint>,
        reconstruction: Option<Reconstruction>,
        context: &Arc<GpuContext>,
    ) -> Result<Self> {
        let reconstruction = reconstruction.unwrap_or(checkpoint.reconstruction());
        let backend = GpuBackend::open(Arc::clone(&checkpoint), reconstruction, context)?;
        Ok(Self::with_backend(checkpoint, Box::new(backend)))
    }
}

/// An adapter that is more than the CPU in disguise, or why there is none.
fn hardware_gpu() -> std::result::Result<Arc<GpuContext>, String> {
    let adapters = GpuContext::adapters();
    if !adapters.is_empty() && adapters.iter().all(|adapter| adapter.software) {
        return Err("every GPU adapter here computes on the CPU".to_string());
    }
    let context = GpuContext::open(&GpuOptions::default()).map_err(|error| error.to_string())?;
    match context.is_software() {
        true => Err(format!("{} computes on the CPU", context.info().name)),
        false => Ok(context),
    }
}
