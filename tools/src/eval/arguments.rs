//! The command line of `otaro eval`.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{ArgGroup, ValueEnum};
use otaro::{DeviceChoice, Precision, ProfileSource, Reconstruction, cpu::CpuKernel};
use otaro_eval::{BosPolicy, task::Task};

#[derive(clap::Args)]
#[command(group(ArgGroup::new("measured").required(true).multiple(true).args(["text", "tokens", "tasks"])))]
#[command(group(ArgGroup::new("text_source").args(["text", "tokens"])))]
pub struct Arguments {
    /// Packed files, and Hugging Face folders, whose weights are taken as they are: those of another quantiser,
    /// say. FOLDER@5.35 says how many bits a weight of it stands for. All must have one vocabulary
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<ModelPath>,

    /// Text file, encoded as one string with the tokenizer of the first model
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Token ids instead: a one-dimensional tensor of integers in a safetensors file
    #[arg(long, value_name = "FILE.safetensors#NAME")]
    pub tokens: Option<String>,
    /// Tokens of a window; the context of the model, but at most 512, by default
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Windows from the start of the text; all by default
    #[arg(long, value_name = "N")]
    pub windows: Option<usize>,
    /// Whether each window and question begins with the BOS token: auto (if the tokenizer adds one to every text;
    /// not before --tokens), always or never
    #[arg(long, value_name = "POLICY", default_value_t)]
    pub bos: BosPolicy,

    /// Multiple choice: arc_easy, arc_challenge, openbookqa, boolq, piqa, winogrande, hellaswag, sciq
    #[arg(long = "task", value_name = "NAME,...", value_delimiter = ',', requires = "task_data")]
    pub tasks: Vec<Task>,
    /// Folder with the questions, as NAME.validation.jsonl
    #[arg(long, value_name = "FOLDER")]
    pub task_data: Option<PathBuf>,
    /// Questions from the start of each task; all by default
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,

    /// Mantissa bits of packed files, 3 to 8; all that a file holds by default, none with --profile
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub bits: Vec<Precision>,
    /// Mantissa bits by class and layer, as in 4,head=8,layers.0=6; or a JSON file, or the name of a profile in
    /// the packed file; what it does not name is read at the highest precision of the file; may be given several
    /// times, and beside --bits
    #[arg(long = "profile", value_name = "PROFILE")]
    pub profiles: Vec<ProfileSource>,
    /// midpoint, truncate or both; what the file says by default
    #[arg(long, value_parser = parse_reconstructions)]
    pub reconstruction: Option<Reconstructions>,
    /// Hugging Face folder of the unquantised model, which the others are compared with; computed in f32 on the
    /// CPU, and takes four bytes of memory a weight, as every folder does
    #[arg(long, value_name = "FOLDER")]
    pub reference: Option<PathBuf>,
    /// What --save-logits wrote, instead of the reference; for the same text and windows
    #[arg(long, value_name = "FILE", conflicts_with = "reference", requires = "text_source")]
    pub reference_logits: Option<PathBuf>,
    /// Save the logits of the reference: two bytes for every token of the vocabulary at each position
    #[arg(long, value_name = "FILE", requires_all = ["reference", "text_source"])]
    pub save_logits: Option<PathBuf>,
    /// Where packed files run: auto, cpu or gpu
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,
    /// Kernels of the CPU (plain, exact, int8, avx2, avx512-vnni, neon-dotprod, neon-i8mm); the fastest by default
    #[arg(long, value_name = "NAME")]
    pub kernel: Option<CpuKernel>,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Write it to a file instead
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Plot quality against bits per weight and against bytes read per token
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// What to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables
    #[default]
    Markdown,
    /// A header and a line per row
    Csv,
    /// An object with a list of rows
    Json,
}

/// The reconstructions that `--reconstruction` asks for.
#[derive(Clone)]
pub struct Reconstructions(pub Vec<Reconstruction>);

fn parse_reconstructions(text: &str) -> Result<Reconstructions, String> {
    match text {
        "both" => Ok(Reconstructions(Reconstruction::ALL.to_vec())),
        name => match name.parse() {
            Ok(reconstruction) => Ok(Reconstructions(vec![reconstruction])),
            Err(error) => Err(format!("{error}, or both")),
        },
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "it must be at least 1".to_string())
}

/// A model, perhaps with the bits that one of its weights stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPath {
    pub path: PathBuf,
    pub bits_per_weight: Option<f64>,
}

impl FromStr for ModelPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path that exists is meant as it stands.
        let Some((path, bits)) = text.rsplit_once('@').filter(|_| !Path::new(text).exists()) else {
            return Ok(Self { path: text.into(), bits_per_weight: None });
        };
        let bits = bits.parse().ok().filter(|bits| (0.1..=64.0).contains(bits)).ok_or_else(|| {
            format!("'{bits}' after the @ is no number of bits per weight: give one as in {path}@5.35")
        })?;
        Ok(Self { path: path.into(), bits_per_weight: Some(bits) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_say_its_bits() {
        let plain = ModelPath { path: "a/b".into(), bits_per_weight: None };
        assert_eq!("a/b".parse(), Ok(plain.clone()));
        assert_eq!("a/b@5.35".parse(), Ok(ModelPath { bits_per_weight: Some(5.35), ..plain }));
        for wrong in ["a@", "a@x", "a@0", "a@-1", "a@65", "a@NaN"] {
            assert!(wrong.parse::<ModelPath>().is_err(), "{wrong}");
        }
    }
}
