//! The bytes of every part, from the shape of the model.

use sefp::{GROUP_SIZE, Precision};

use super::{PreflightOptions, budget};
use crate::{
    Architecture, Checkpoint, DeviceKind, Result, Slot, checkpoint::Section, cpu::CpuOptions,
    memory::FreeMemory,
};

/// Memory of a tokenizer for each byte of its `tokenizer.json`: maps and strings for what the file spells.
const TOKENIZER_EXPANSION: u64 = 6;
/// Memory of a chat template and of the engine's threads and tables.
const BASE_BYTES: u64 = 2 << 20;
/// What each computing thread keeps: its stack as far as it is used, blocks of the attention.
const THREAD_BYTES: u64 = 256 << 10;
/// Tokens of a pass on the CPU and on a GPU, and positions of a block of the KV cache.
const CPU_PASS: usize = 128;
const CPU_BLOCK: usize = 64;
const GPU_PASS: usize = 256;
const GPU_BLOCK: usize = 256;
/// Bytes under way to a GPU, once in the library and once in the driver.
const GPU_STAGING: u64 = 32 << 20;
/// A device with its compiled kernels, before any model.
const GPU_BASE: u64 = 48 << 20;

/// What a profile takes with nothing above a precision. All in bytes, with the whole context in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The highest precision that anything is read at.
    pub precision: Precision,
    /// Whether the file holds its planes.
    pub in_file: bool,
    /// Pages of the file that a token reads. They are clean: the system takes them back when it runs
    /// short, at the price of reading them again.
    pub mapped_bytes: u64,
    /// The KV cache; on a GPU it is part of `gpu_bytes` instead.
    pub kv_bytes: u64,
    /// Activations, and what threads need.
    pub scratch_bytes: u64,
    /// The tokenizer and the chat template.
    pub text_bytes: u64,
    /// Planes, KV cache and activations on a GPU, and the device itself. On phones it is the same memory.
    pub gpu_bytes: u64,
    /// All of that, as far as it counts against what is free: pages of the file do not where the system
    /// counts only what it could not take back, nor with a GPU, which reads them once.
    pub counted_bytes: u64,
    /// Whether that fits; true where it is not known what is free.
    pub fits: bool,
}

impl Need {
    pub(super) fn new(
        checkpoint: &Checkpoint,
        precision: Precision,
        context: usize,
        options: &PreflightOptions,
        free: Option<FreeMemory>,
        file_bytes: u64,
    ) -> Result<Self> {
        let architecture = checkpoint.architecture();
        let on_gpu = options.device == DeviceKind::Gpu;
        let precisions = options.profile.capped(precision).resolve(architecture)?;
        let weights = precisions.weight_bytes(architecture);
        let (kv_bytes, scratch_bytes, gpu_bytes) = match options.device {
            DeviceKind::Cpu => {
                let positions = context.next_multiple_of(CPU_BLOCK) as u64;
                let position = options.cpu.kv_format.bytes_per_position(architecture) as u64;
                (positions * position, cpu_scratch(architecture, context, &options.cpu), 0)
            }
            DeviceKind::Gpu => (0, THREAD_BYTES, gpu_bytes(architecture, weights, context)),
        };
        let text_bytes = BASE_BYTES + TOKENIZER_EXPANSION * checkpoint.blob_bytes("tokenizer.json");
        let counts_pages = !on_gpu && free.is_none_or(FreeMemory::counts_mapped_files);
        let mapped_bytes = weights;
        let counted_bytes =
            kv_bytes + scratch_bytes + text_bytes + gpu_bytes + if counts_pages { mapped_bytes } else { 0 };
        let end = checkpoint.sections()[Section::completing(precisions.max()) as usize].end;
        Ok(Self {
            precision,
            in_file: checkpoint.data_start() + end <= file_bytes,
            mapped_bytes,
            kv_bytes,
            scratch_bytes,
            text_bytes,
            gpu_bytes,
            counted_bytes,
            fits: free.is_none_or(|free| counted_bytes <= budget(free)),
        })
    }
}

/// Values of a row of a slot.
fn stride(architecture: &Architecture, slot: Slot) -> usize {
    architecture.width(slot).next_multiple_of(GROUP_SIZE)
}

/// The activations of a pass: every slot but the logits, of which there is one row.
fn activations(architecture: &Architecture, rows: usize) -> u64 {
    let slots = Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits);
    let row: usize = slots.map(|slot| stride(architecture, slot)).sum();
    ((rows * row + stride(architecture, Slot::Logits)) * size_of::<f32>()) as u64
}

/// Activations, the widest of them once more in 8 bits, the logits as the sampler sees them.
fn cpu_scratch(architecture: &Architecture, context: usize, options: &CpuOptions) -> u64 {
    let rows = context.min(CPU_PASS);
    let widest = [Slot::Hidden, Slot::Attended, Slot::Gate].map(|slot| stride(architecture, slot));
    let quantised = rows * widest.into_iter().max().unwrap_or(0) * 9 / 8;
    let logits = 2 * architecture.vocab_size * size_of::<f32>();
    let threads = options.thread_count().get() as u64 * THREAD_BYTES;
    activations(architecture, rows) + (quantised + logits) as u64 + threads
}

/// Planes, a KV cache that grows by a quarter at a time and holds one layer twice while it does, activations.
fn gpu_bytes(architecture: &Architecture, weights: u64, context: usize) -> u64 {
    let words = architecture.kv_heads * architecture.head_dim.div_ceil(8);
    let layer = 2 * words * 16;
    let positions = (context + context / 4).next_multiple_of(GPU_BLOCK);
    let kv = positions * layer * (architecture.layers + 1);
    let rows = context.min(GPU_PASS).next_power_of_two();
    weights + kv as u64 + activations(architecture, rows) + GPU_STAGING + GPU_BASE
}
