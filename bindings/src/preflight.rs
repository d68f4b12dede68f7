//! What a model will take, before it is opened.

use otaro::memory::FreeMemory as Free;

use crate::{DeviceChoice, KvFormat, ModelSource, OtaroError, error::enter, open::cpu_options};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PreflightOptions {
    /// Tokens of context that will be used; what the model was made for by default.
    #[uniffi(default = None)]
    pub context_length: Option<u32>,
    /// Where it is to run. `Auto` counts with a GPU, which takes more.
    pub device: DeviceChoice,
    /// The format of the KV cache on the CPU.
    pub kv_format: KvFormat,
    /// Threads of the CPU; as many as there are fast cores by default.
    #[uniffi(default = None)]
    pub threads: Option<u32>,
    /// What is free, if the app knows better than the system: `ActivityManager.MemoryInfo`, or a budget.
    #[uniffi(default = None)]
    pub free_bytes: Option<u64>,
}

impl Default for PreflightOptions {
    fn default() -> Self {
        let (device, kv_format) = Default::default();
        Self { context_length: None, device, kv_format, threads: None, free_bytes: None }
    }
}

/// What a precision takes. All in bytes, with the whole context in use.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PrecisionNeed {
    /// The precision.
    pub mantissa_bits: u32,
    /// Whether the file holds its planes.
    pub in_file: bool,
    /// Pages of the file that a token reads. They are clean: the system takes them back when it runs short.
    pub mapped_bytes: u64,
    /// The KV cache; on a GPU it is part of `gpu_bytes` instead.
    pub kv_bytes: u64,
    /// Activations, and what threads need.
    pub scratch_bytes: u64,
    /// The tokenizer and the chat template.
    pub text_bytes: u64,
    /// Planes, KV cache and activations on a GPU, and the device itself.
    pub gpu_bytes: u64,
    /// All of that, as far as it counts against what is free.
    pub counted_bytes: u64,
    /// Whether that fits; true where it is not known what is free.
    pub fits: bool,
}

/// Who says what is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FreeMemorySource {
    /// The app gave the figure.
    App,
    /// The system's estimate of what can be taken without swapping.
    System,
    /// What the control group of this process has left.
    ControlGroup,
    /// What iOS lets this process take; pages of files do not count there.
    ProcessLimit,
}

/// What is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FreeMemory {
    /// In bytes.
    pub bytes: u64,
    /// Who says so.
    pub source: FreeMemorySource,
}

/// What a model will take, and what fits.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Preflight {
    /// For every precision, lowest first.
    pub needs: Vec<PrecisionNeed>,
    /// What is free; null where the system does not say.
    pub free: Option<FreeMemory>,
    /// Tokens of context that were counted with.
    pub context_length: u32,
    /// The highest precision that the file holds and that fits; null if none does.
    pub highest_mantissa_bits: Option<u32>,
    /// All of that in a sentence.
    pub summary: String,
}

/// Says what a model will take. Reads the header of the file and nothing beyond it; takes milliseconds, but
/// reads a file: not on the main thread.
///
/// # Errors
/// `Io`, `NotACheckpoint`, `UnsupportedVersion`, `UnsupportedModel`, `Corrupt`, `InvalidArgument` for a context of no
/// tokens or of more than the model was made for.
#[uniffi::export]
pub fn preflight(source: ModelSource, options: PreflightOptions) -> Result<Preflight, OtaroError> {
    enter(|| {
        let options = otaro::preflight::PreflightOptions {
            context_length: options.context_length.map(|tokens| tokens as usize),
            device: match options.device {
                DeviceChoice::Cpu => otaro::DeviceKind::Cpu,
                DeviceChoice::Auto | DeviceChoice::Gpu => otaro::DeviceKind::Gpu,
            },
            cpu: cpu_options(options.threads, options.kv_format),
            free: options.free_bytes.map(Free::given),
            ..otaro::preflight::PreflightOptions::default()
        };
        otaro::preflight::preflight(source.try_into()?, &options).map(Preflight::from)
    })
}

impl From<otaro::preflight::Preflight> for Preflight {
    fn from(preflight: otaro::preflight::Preflight) -> Self {
        Self {
            needs: preflight.needs.into_iter().map(PrecisionNeed::from).collect(),
            free: preflight.free.map(FreeMemory::from),
            context_length: preflight.context_length as u32,
            highest_mantissa_bits: preflight.highest.map(otaro::Precision::mantissa_bits),
            summary: preflight.summary,
        }
    }
}

impl From<otaro::preflight::Need> for PrecisionNeed {
    fn from(need: otaro::preflight::Need) -> Self {
        Self {
            mantissa_bits: need.precision.mantissa_bits(),
            in_file: need.in_file,
            mapped_bytes: need.mapped_bytes,
            kv_bytes: need.kv_bytes,
            scratch_bytes: need.scratch_bytes,
            text_bytes: need.text_bytes,
            gpu_bytes: need.gpu_bytes,
            counted_bytes: need.counted_bytes,
            fits: need.fits,
        }
    }
}

impl From<Free> for FreeMemory {
    fn from(free: Free) -> Self {
        use otaro::memory::FreeMemorySource as S;
        let source = match free.source {
            S::App => FreeMemorySource::App,
            S::System => FreeMemorySource::System,
            S::ControlGroup => FreeMemorySource::ControlGroup,
            S::ProcessLimit => FreeMemorySource::ProcessLimit,
        };
        Self { bytes: free.bytes, source }
    }
}
