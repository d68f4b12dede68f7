//! Opening a model.

use std::sync::Arc;

use otaro::{
    cpu::CpuOptions,
    engine::{EngineOptions, Opening},
};

use crate::{
    Model, OtaroError,
    error::{enter, precision},
};

/// Where the model is.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ModelSource {
    /// A file.
    Path {
        /// Its path.
        path: String,
    },
    /// A part of an open file: an Android asset that is stored uncompressed, a document of another app.
    Descriptor {
        /// An open file descriptor of this process. It is duplicated: close yours whenever you like.
        descriptor: i32,
        /// Where the model begins, in bytes: a multiple of 4.
        offset: u64,
        /// Bytes of the model; to the end of the file by default.
        length: Option<u64>,
    },
}

/// Which device is to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, uniffi::Enum)]
pub enum DeviceChoice {
    /// The fastest one that computes what it should, found by a short trial.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A graphics adapter; an error when there is none.
    Gpu,
}

/// In which numbers the CPU keeps keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, uniffi::Enum)]
pub enum KvFormat {
    /// Half precision.
    #[default]
    F16,
    /// Eight bits: half the memory, a little noise.
    Int8,
}

/// How a model is opened.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OpenOptions {
    /// Which device is to answer.
    pub device: DeviceChoice,
    /// Threads of the CPU; as many as there are fast cores by default.
    #[uniffi(default = None)]
    pub threads: Option<u32>,
    /// The format of the KV cache on the CPU.
    pub kv_format: KvFormat,
    /// The precision, 3 to 8, whose planes are made ready ahead of the first token; none by default.
    #[uniffi(default = None)]
    pub prepare_mantissa_bits: Option<u32>,
    /// Whether every byte is compared with its hash first, which reads the whole file.
    #[uniffi(default = false)]
    pub verify: bool,
    /// A folder of the app's that is kept between starts: a GPU driver that ends the process at its first
    /// try is found out by it at the next start, which then is on the CPU.
    #[uniffi(default = None)]
    pub state_folder: Option<String>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            threads: None,
            kv_format: KvFormat::F16,
            prepare_mantissa_bits: None,
            verify: false,
            state_folder: None,
        }
    }
}

/// What is being done while a model is opened, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum OpenStage {
    /// The header and the scales are read and checked.
    Checking,
    /// Every section is hashed, if that was asked for.
    Verifying,
    /// The tokenizer is read.
    Text,
    /// The device is opened and, where it is to be chosen, tried.
    Device,
    /// Planes are made ready, if that was asked for.
    Weights,
    /// Done.
    Ready,
}

/// How far the opening of a model is.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct OpenProgress {
    /// What is being done.
    pub stage: OpenStage,
    /// The share of that stage which is done, 0 to 1.
    pub fraction: f64,
}

/// A model that is being opened, on a thread of its own. Dropping it cancels.
#[derive(Debug, uniffi::Object)]
pub struct OpenTask(Opening);

/// Begins to open a model; returns at once.
///
/// # Errors
/// `InvalidArgument` for options out of range or a descriptor that is none, `Io` for one that cannot be used.
#[uniffi::export]
pub fn open(source: ModelSource, options: OpenOptions) -> Result<Arc<OpenTask>, OtaroError> {
    enter(|| {
        let opening = Opening::begin(source.try_into()?, options.try_into()?)?;
        Ok(Arc::new(OpenTask(opening)))
    })
}

#[uniffi::export]
impl OpenTask {
    /// How far it is.
    pub fn progress(&self) -> OpenProgress {
        self.0.progress().into()
    }

    /// How far it is, once that is news; null once it is over, well or not.
    pub async fn next_progress(&self) -> Option<OpenProgress> {
        self.0.next_progress().await.map(OpenProgress::from)
    }

    /// The opened model, for the first who asks.
    ///
    /// # Errors
    /// `Io`, `NotACheckpoint`, `UnsupportedVersion`, `UnsupportedModel`, `Corrupt`, `MissingPlanes`, `Tokenizer`,
    /// `NoAdapter`, `Device`; `Cancelled`; `InvalidArgument` for everybody after the first.
    pub async fn model(&self) -> Result<Arc<Model>, OtaroError> {
        let engine = self.0.engine().await?;
        Ok(Arc::new(Model::new(engine)))
    }

    /// As `model`, blocking the thread: never on the main thread.
    ///
    /// # Errors
    /// As `model`.
    pub fn model_blocking(&self) -> Result<Arc<Model>, OtaroError> {
        let engine = self.0.engine_blocking()?;
        Ok(Arc::new(Model::new(engine)))
    }

    /// Ends it at its next step; `model` then fails with `Cancelled`. Does no harm twice.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl TryFrom<ModelSource> for otaro::checkpoint::ModelSource {
    type Error = otaro::Error;

    fn try_from(source: ModelSource) -> otaro::Result<Self> {
        match source {
            ModelSource::Path { path } => Ok(Self::Path(path.into())),
            #[cfg(unix)]
            ModelSource::Descriptor { descriptor, offset, length } => {
                Self::descriptor(descriptor, offset, length)
            }
            #[cfg(not(unix))]
            ModelSource::Descriptor { .. } => Err(otaro::Error::new(
                otaro::ErrorKind::InvalidArgument,
                "this system has no file descriptors: give a path",
            )),
        }
    }
}

impl TryFrom<OpenOptions> for EngineOptions {
    type Error = otaro::Error;

    fn try_from(options: OpenOptions) -> otaro::Result<Self> {
        let open = otaro::OpenOptions {
            device: options.device.into(),
            reconstruction: None,
            cpu: cpu_options(options.threads, options.kv_format),
        };
        Ok(Self {
            open,
            verify: options.verify,
            prepare: options.prepare_mantissa_bits.map(precision).transpose()?.map(Into::into),
            state_folder: options.state_folder.map(Into::into),
        })
    }
}

/// What the app chose about the CPU. Zero threads are as good as none given.
pub(crate) fn cpu_options(threads: Option<u32>, kv_format: KvFormat) -> CpuOptions {
    CpuOptions {
        threads: threads.and_then(|threads| std::num::NonZeroUsize::new(threads as usize)),
        cores: otaro::cpu::Cores::Big,
        kv_format: kv_format.into(),
        kernel: None,
    }
}

impl From<DeviceChoice> for otaro::DeviceChoice {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => Self::Auto,
            DeviceChoice::Cpu => Self::Cpu,
            DeviceChoice::Gpu => Self::Gpu,
        }
    }
}

impl From<KvFormat> for otaro::cpu::KvFormat {
    fn from(format: KvFormat) -> Self {
        match format {
            KvFormat::F16 => Self::F16,
            KvFormat::Int8 => Self::Int8,
        }
    }
}

impl From<otaro::engine::OpenProgress> for OpenProgress {
    fn from(progress: otaro::engine::OpenProgress) -> Self {
        use otaro::engine::OpenStage as S;
        let stage = match progress.stage {
            S::Checking => OpenStage::Checking,
            S::Verifying => OpenStage::Verifying,
            S::Text => OpenStage::Text,
            S::Device => OpenStage::Device,
            S::Weights => OpenStage::Weights,
            S::Ready => OpenStage::Ready,
        };
        Self { stage, fraction: progress.fraction }
    }
}
