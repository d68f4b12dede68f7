//! The command line.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use otaro::{
    CancelToken, DeviceChoice, GenerateOptions, OpenOptions, Precision, ProfileSource, SamplerSettings,
    cpu::{CpuKernel, CpuOptions},
};

/// Chat with a model whose precision is a dial.
#[derive(Debug, Parser)]
#[command(name = "chat", version)]
pub struct Arguments {
    /// A packed model, or the folder of a Hugging Face LLaMA model, which is packed on first use;
    /// models/*.sefp.safetensors by default
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Mantissa bits, 3 to 8; as many as the file holds by default
    #[arg(long, value_name = "N")]
    pub bits: Option<Precision>,
    /// Mantissa bits by class and layer, as in head=8,mlp=3,layers.0=6; or a JSON file, or the name of a
    /// profile in the model file; what it does not name is read at --bits
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<ProfileSource>,
    /// auto, cpu or gpu
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,
    /// Threads of the CPU; as many as there are cores by default
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Kernels of the CPU (plain, exact, int8, avx2, avx512-vnni, neon-dotprod, neon-i8mm); the fastest by default
    #[arg(long, value_name = "NAME")]
    kernel: Option<CpuKernel>,
    /// Answer this once, print only the answer, and end
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Instructions that the conversation begins with
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Print figures on standard error after every answer
    #[arg(long)]
    pub stats: bool,
    /// Where random numbers begin: the same seed gives the same answers; the time by default
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// 0 always takes the best token, 1 draws from the model's own distribution
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = SamplerSettings::default().temperature)]
    temperature: f32,
    /// Only the so many best tokens; 0 is all
    #[arg(long, value_name = "N", default_value_t = SamplerSettings::default().top_k)]
    top_k: usize,
    /// Only the best tokens that together reach this probability; 1 is all
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = SamplerSettings::default().top_p)]
    top_p: f32,
    /// Only tokens at least so probable, relative to the best; 0 is all
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = SamplerSettings::default().min_p)]
    min_p: f32,
    /// Above 1, makes tokens less likely that appeared recently
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = SamplerSettings::default().repetition_penalty)]
    repetition_penalty: f32,
    /// The most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().max_tokens)]
    max_tokens: usize,
    /// Text that ends an answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl Arguments {
    /// How the model is to be opened.
    pub fn open_options(&self) -> OpenOptions {
        let cpu = CpuOptions { threads: self.threads, kernel: self.kernel, ..CpuOptions::default() };
        OpenOptions { device: self.device, cpu, ..OpenOptions::default() }
    }

    /// How tokens are chosen.
    pub fn sampler(&self) -> SamplerSettings {
        SamplerSettings {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed.unwrap_or_else(time_seed),
            ..SamplerSettings::default()
        }
    }

    /// When an answer ends.
    pub fn generate_options(&self, cancel: &CancelToken) -> GenerateOptions {
        GenerateOptions {
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            cancel: cancel.clone(),
            ..GenerateOptions::default()
        }
    }
}

fn time_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
