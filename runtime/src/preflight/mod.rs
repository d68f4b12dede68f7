//! What a model will take, before any of it is taken: from the header of its file alone.

mod estimate;

use sefp::Precision;

pub use self::estimate::Need;
use crate::{
    Checkpoint, DeviceKind, Error, ErrorKind, PrecisionProfile, Result,
    checkpoint::ModelSource,
    cpu::CpuOptions,
    memory::{FreeMemory, readable},
};

/// The share of the free memory that is left to everybody else: one in so many parts.
const LEFT_FREE: u64 = 10;

/// What is asked.
#[derive(Clone, Debug)]
pub struct PreflightOptions {
    /// Tokens of context that will be used; what the model was made for by default.
    pub context_length: Option<usize>,
    /// The profile with which it is to run; the highest precision for everything by default.
    pub profile: PrecisionProfile,
    /// Where it is to run.
    pub device: DeviceKind,
    /// How the CPU is to compute.
    pub cpu: CpuOptions,
    /// What is free; asked of the system by default.
    pub free: Option<FreeMemory>,
}

impl Default for PreflightOptions {
    fn default() -> Self {
        Self {
            context_length: None,
            profile: Precision::MAX.into(),
            device: DeviceKind::Cpu,
            cpu: CpuOptions::default(),
            free: None,
        }
    }
}

/// What a model will take at each precision, and what fits. With a profile: of the profile with nothing above that
/// precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Preflight {
    /// For every precision up to the highest of the profile, lowest first.
    pub needs: Vec<Need>,
    /// What is free; `None` where the system does not say.
    pub free: Option<FreeMemory>,
    /// Tokens of context that were counted with.
    pub context_length: usize,
    /// The highest precision that the file holds and that fits. Everything fits where it is not known what is free.
    pub highest: Option<Precision>,
    /// All of that in a sentence.
    pub summary: String,
}

/// Says what a model will take. Reads the header of the file and nothing beyond it.
///
/// The estimate is of this library's own memory at its most, that is with the whole context in use: pages of the
/// file, the KV cache, activations, tokenizer, and on a GPU the planes and buffers there. It leaves a tenth
/// of what is free to everybody else.
///
/// # Errors
/// As [`Checkpoint::open`], but planes may be missing: that a file holds no precision yet is an answer.
/// [`InvalidArgument`](ErrorKind::InvalidArgument) for a context of no tokens or of more than the model was made for,
/// and for a profile that names a layer that the model does not have.
pub fn preflight(source: ModelSource, options: &PreflightOptions) -> Result<Preflight> {
    let checkpoint = Checkpoint::open_header(source)?;
    let context = context(&checkpoint, options.context_length)?;
    let free = options.free.or_else(FreeMemory::now);
    let file_bytes = checkpoint.file_bytes()?;
    let needs: Vec<_> = Precision::ALL
        .into_iter()
        .filter(|&precision| precision <= options.profile.max())
        .map(|precision| Need::new(&checkpoint, precision, context, options, free, file_bytes))
        .collect::<Result<_>>()?;
    let highest = needs.iter().rfind(|need| need.in_file && need.fits).map(|need| need.precision);
    let summary = summary(&needs, free, highest, context);
    Ok(Preflight { needs, free, context_length: context, highest, summary })
}

fn context(checkpoint: &Checkpoint, asked: Option<usize>) -> Result<usize> {
    let most = checkpoint.architecture().context_length;
    match asked.unwrap_or(most) {
        tokens if (1..=most).contains(&tokens) => Ok(tokens),
        tokens => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("a context of {tokens} tokens: the model was made for 1 to {most}"),
        )),
    }
}

/// What may be taken of what is free.
fn budget(free: FreeMemory) -> u64 {
    free.bytes - free.bytes / LEFT_FREE
}

fn summary(needs: &[Need], free: Option<FreeMemory>, highest: Option<Precision>, context: usize) -> String {
    let is_free = match free {
        Some(free) => format!("of {} that are free", readable(free.bytes)),
        None => "and the system does not say what is free".to_owned(),
    };
    if let Some(need) = needs.iter().find(|need| Some(need.precision) == highest) {
        return format!(
            "{} is the highest precision that fits: with {context} tokens of context it takes {} {is_free} \
             ({} pages of the file, {} KV cache, {} other memory, {} on the GPU).",
            need.precision,
            readable(need.counted_bytes),
            readable(need.mapped_bytes),
            readable(need.kv_bytes),
            readable(need.scratch_bytes + need.text_bytes),
            readable(need.gpu_bytes),
        );
    }
    match needs.iter().find(|need| need.in_file) {
        None => "The file holds no precision yet: download more of it.".to_owned(),
        Some(lowest) => format!(
            "Nothing fits: {} with {context} tokens of context takes {} {is_free}; a shorter context takes less.",
            lowest.precision,
            readable(lowest.counted_bytes),
        ),
    }
}

#[cfg(test)]
mod tests;
