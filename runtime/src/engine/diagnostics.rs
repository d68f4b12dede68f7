//! One block of text for a bug report, and what a model is.

use std::fmt::Write;

use sefp::Precision;

use super::{Engine, SessionMetrics};
use crate::{
    DeviceInfo, Result,
    cpu::CpuKernel,
    memory::{FreeMemory, ProcessMemory, readable},
};

/// What a model is.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Bytes of the whole file, whether or not all of it is there.
    pub file_bytes: u64,
    /// Weights of its matrices.
    pub weights: usize,
    /// Layers.
    pub layers: usize,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Tokens of context that it was made for.
    pub context_length: usize,
    /// Whether it has a chat template; otherwise it continues text.
    pub has_chat_template: bool,
    /// The highest precision that the file holds now.
    pub max_precision: Precision,
    /// Which device answers.
    pub device: DeviceInfo,
    /// Why it does, where the choice was left to the runtime.
    pub device_reason: Option<String>,
    /// Where the weights come from.
    pub provenance: String,
}

/// What there is to say without a model: library, processor, memory. Touches no GPU.
pub fn diagnostics() -> String {
    let mut text = String::new();
    line(&mut text, "otaro", &format!("{} on {}", env!("CARGO_PKG_VERSION"), target()));
    let kernels = CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available()).map(CpuKernel::name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernels = kernels.collect::<Vec<_>>().join(", ");
    line(&mut text, "cpu", &format!("{cores} cores, kernels {kernels}; {}", features().join(" ")));
    let process = ProcessMemory::now();
    let known = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), readable);
    let [anonymous, file, peak] = [process.anonymous, process.file, process.peak].map(known);
    line(&mut text, "memory", &format!("{anonymous} anonymous, {file} of files, peak {peak}"));
    let free = FreeMemory::now().map(|free| format!("{} ({:?})", readable(free.bytes), free.source));
    line(&mut text, "free", &free.unwrap_or("unknown".to_owned()));
    text
}

impl Engine {
    /// What the model is.
    ///
    /// # Errors
    /// As [`Checkpoint::available`](crate::Checkpoint::available).
    pub fn info(&self) -> Result<ModelInfo> {
        let model = self.model();
        let architecture = model.architecture();
        let checkpoint = model.checkpoint();
        Ok(ModelInfo {
            file_bytes: checkpoint.map_or(0, |checkpoint| checkpoint.complete_bytes()),
            weights: architecture.packed_weights(),
            layers: architecture.layers,
            vocab_size: architecture.vocab_size,
            context_length: architecture.context_length,
            has_chat_template: match checkpoint {
                Some(checkpoint) => checkpoint.chat_template()?.is_some(),
                None => false,
            },
            max_precision: checkpoint.map_or(Ok(Precision::MAX), |checkpoint| checkpoint.available())?,
            device: model.device_info().clone(),
            device_reason: model.device_reason().map(str::to_owned),
            provenance: checkpoint.map_or("", |checkpoint| checkpoint.provenance()).to_owned(),
        })
    }

    /// Everything that a bug report needs, as one block of text: library, processor, memory, model, device, the last
    /// error and the last signal.
    pub fn diagnostics(&self) -> String {
        let mut text = diagnostics();
        let model = self.model();
        line(&mut text, "device", &model.device_info().to_string());
        line(&mut text, "because", model.device_reason().unwrap_or("it was asked for"));
        if let Some(checkpoint) = model.checkpoint() {
            let name = checkpoint.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            let there =
                checkpoint.file_bytes().map_or_else(|error| error.to_string(), |bytes| bytes.to_string());
            let (complete, version) = (checkpoint.complete_bytes(), checkpoint.version());
            line(&mut text, "file", &format!("{name}, {there} of {complete} bytes, format {version}"));
            let hashes = checkpoint.sections().iter().map(|section| {
                format!("{} {}", section.name, section.sha256.get(..8).unwrap_or(&section.sha256))
            });
            line(&mut text, "sha256", &hashes.collect::<Vec<_>>().join(", "));
        }
        let a = model.architecture();
        let shape = format!(
            "{} weights, {} layers, hidden {}, vocabulary {}, context {}",
            a.packed_weights(),
            a.layers,
            a.hidden_size,
            a.vocab_size,
            a.context_length
        );
        line(&mut text, "model", &shape);
        line(&mut text, "weights", &format!("{} in memory", readable(model.resident_bytes())));
        line(&mut text, "signal", &self.last_signal().unwrap_or("none".to_owned()));
        line(&mut text, "error", &self.last_error().unwrap_or("none".to_owned()));
        text
    }
}

/// What a session has to add.
pub(super) fn session(metrics: &SessionMetrics) -> String {
    let mut text = String::new();
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.1} t/s"));
    let precision = format!("{} of {} wanted", metrics.profile, metrics.wanted_profile);
    line(&mut text, "precision", &precision);
    let (used, length) = (metrics.context_used, metrics.context_length);
    line(&mut text, "context", &format!("{used} of {length} tokens, {}", readable(metrics.kv_bytes)));
    let (prompt, reused, answer) = (metrics.prompt_tokens, metrics.reused_tokens, metrics.generated_tokens);
    let rates = [rate(metrics.prefill_tokens_per_second), rate(metrics.decode_tokens_per_second)];
    let state = match (metrics.generating, metrics.suspended) {
        (true, true) => "suspended in an answer",
        (true, false) => "answering",
        (false, true) => "suspended",
        (false, false) => "idle",
    };
    let [prefill, decode] = rates;
    let speed = format!("{state}; prompt {prompt} ({reused} reused) {prefill}, answer {answer} {decode}");
    line(&mut text, "session", &speed);
    text
}

fn line(text: &mut String, name: &str, what: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{name:<10} {}", what.replace('\n', " "));
}

/// The system and processor that this build is for.
fn target() -> String {
    let profile = if cfg!(debug_assertions) { ", debug assertions" } else { "" };
    format!("{}-{}{profile}", std::env::consts::ARCH, std::env::consts::OS)
}

/// What the processor has of what kernels use, or might.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}
