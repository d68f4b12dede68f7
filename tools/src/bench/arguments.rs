//! The command line, in the grammar of llama.cpp's `llama-bench`.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::ValueEnum;
use otaro::{
    DeviceChoice, Precision, ProfileSource,
    cpu::{CpuKernel, KvFormat},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Packed files
    #[arg(value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Random weights instead, in the shape of a published model (llama3.2-1b, llama3.2-3b, llama3.1-8b,
    /// stories15m, stories110m, smollm2-135m, smollm2-360m, tinyllama-1.1b) or of a config.json; written
    /// once to the folder for caches and kept there; may be given several times
    #[arg(long = "shape", value_name = "NAME")]
    pub shapes: Vec<String>,
    /// Where models of random weights are kept; otaro/ in the user's folder for caches by default
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,

    /// Tokens of a prompt; 0 is no such test; 512, or half the context, by default
    #[arg(short = 'p', long = "n-prompt", value_name = "N,...", value_delimiter = ',')]
    pub prompt: Vec<usize>,
    /// Tokens to generate; 0 is no such test; 128, or half the context, by default
    #[arg(short = 'n', long = "n-gen", value_name = "N,...", value_delimiter = ',')]
    pub generate: Vec<usize>,
    /// A prompt and what follows it, as one test; may be given several times, and as -pg
    #[arg(long = "pg", value_name = "PP,TG")]
    pub prompt_and_generate: Vec<PromptAndGenerate>,
    /// Tokens that are in the context before a test begins
    #[arg(short = 'd', long = "n-depth", value_name = "N,...", value_delimiter = ',', default_value = "0")]
    pub depth: Vec<usize>,
    /// Timed runs of each test
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub repetitions: usize,
    /// Do not run a test once before it is timed
    #[arg(long)]
    pub no_warmup: bool,

    /// Mantissa bits, 3 to 8; all that the file holds by default, none with --profile
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub bits: Vec<Precision>,
    /// Mantissa bits by class and layer, as in 4,head=8,layers.0=6; or a JSON file, or the name of a profile in
    /// the packed file; what it does not name is read at the highest precision of the file; may be given several
    /// times, and beside --bits
    #[arg(long = "profile", value_name = "PROFILE")]
    pub profiles: Vec<ProfileSource>,
    /// Threads of the CPU; as many as there are cores by default
    #[arg(short, long, value_name = "N,...", value_delimiter = ',')]
    pub threads: Vec<NonZeroUsize>,
    /// Kernels of the CPU; the fastest by default
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub kernel: Vec<CpuKernel>,
    /// Number formats of the CPU's KV cache: f16, int8 or f32
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "f16")]
    pub kv: Vec<KvFormat>,
    /// auto, cpu or gpu
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,

    /// Measure how long opening a model takes, and by how much a change of precision delays the next
    /// token, instead of the tests
    #[arg(long)]
    pub latency: bool,
    /// MiB of the buffer whose reading measures the bandwidth of the memory: far more than the caches
    /// hold; 0 measures no bandwidth
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub probe: usize,
    /// What to print
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
}

/// What to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A Markdown table
    #[default]
    Md,
    /// A header and a line per row
    Csv,
    /// A list of objects
    Json,
    /// An object per line
    Jsonl,
}

/// The value of `--pg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptAndGenerate {
    pub prompt: usize,
    pub generate: usize,
}

impl FromStr for PromptAndGenerate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|&number| number > 0);
        text.split_once(',')
            .and_then(|(prompt, generate)| {
                Some(Self { prompt: number(prompt)?, generate: number(generate)? })
            })
            .ok_or_else(|| {
                format!("'{text}' is not a prompt and what follows it: give two numbers as 512,128")
            })
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "it must be at least 1".to_string())
}

/// llama-bench spells one of its options with a single dash, which would mean `-p g`.
pub fn as_llama_bench_spells(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.map(|argument| if argument == "-pg" { "--pg".into() } else { argument })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_and_what_follows_are_two_positive_numbers() {
        assert_eq!("512,128".parse(), Ok(PromptAndGenerate { prompt: 512, generate: 128 }));
        for wrong in ["", "512", "512,", "0,128", "512,128,1", "512,x"] {
            assert!(wrong.parse::<PromptAndGenerate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn pg_may_have_one_dash() {
        let spelled: Vec<_> =
            as_llama_bench_spells(["-pg", "1,2", "-p", "-pgx"].map(OsString::from).into_iter()).collect();
        assert_eq!(spelled, ["--pg", "1,2", "-p", "-pgx"]);
    }
}
