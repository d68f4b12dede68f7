//! Opening a model: which file, on which device.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use sefp::Reconstruction;

use crate::{Checkpoint, Error, ErrorKind, Model, Result};

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
    /// # Errors
    /// [`NoAdapter`](ErrorKind::NoAdapter) and [`Device`](ErrorKind::Device) when a GPU was asked for.
    pub fn on_device(checkpoint: Arc<Checkpoint>, options: &OpenOptions) -> Result<Self> {
        Ok(Self::on_cpu(checkpoint, options.reconstruction))
    }
}
