//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use otaro::{Reconstruction, Scale};

use super::CalibrateArguments;
use crate::{
    data::Source,
    strategy::{BpsScore, BpsSettings, LaaMode, LaaSettings, Method, StrategySettings},
    train::{OptimizerSettings, Rule},
};

/// Trains one LLaMA model for every precision (OTARo, arXiv 2511.13147)
#[derive(Parser)]
#[command(name = "otaro-train", version)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub chore: Chore,
}

/// What the command does.
#[derive(Subcommand)]
pub enum Chore {
    /// Train a model and pack it
    #[command(args_override_self = true)]
    Run(Box<RunArguments>),
    /// Make a finished model good at every precision, block by block
    #[command(args_override_self = true)]
    Calibrate(Box<CalibrateArguments>),
    /// Compare the gradients of the widths over --steps batches
    #[command(args_override_self = true)]
    Gradients(Box<RunArguments>),
    /// Make the runs of a plan that have no result yet
    Study {
        /// A JSON file: see docs/training.md
        #[arg(default_value = "docs/results/otaro/plan.json")]
        plan: PathBuf,
        /// Folder of the results
        #[arg(long, default_value = "docs/results/otaro")]
        results: PathBuf,
    },
    /// Write tables and plots from the results of a study
    Report {
        /// Folder of the results
        #[arg(default_value = "docs/results/otaro")]
        results: PathBuf,
    },
}

/// The flags of a run.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Folder for the model, its card, the log, the plots and the state of the run
    #[arg(long)]
    pub out: PathBuf,
    /// Hugging Face folder of the model to tune
    #[arg(long, required_unless_present = "from_scratch", conflicts_with = "from_scratch")]
    pub model: Option<PathBuf>,
    /// config.json of a new model with random weights
    #[arg(long, value_name = "CONFIG")]
    pub from_scratch: Option<PathBuf>,
    /// Folder of the tokenizer; that of --model when not given
    #[arg(long)]
    pub tokenizer: Option<PathBuf>,
    /// Learn a tokenizer with the vocabulary of the configuration from the data
    #[arg(long, conflicts_with = "tokenizer", requires = "from_scratch")]
    pub train_tokenizer: bool,
    /// .txt, .jsonl or .zst of them; PATH:2 counts twice per epoch. May be given several times
    #[arg(long, required = true, num_args = 1..)]
    pub data: Vec<Source>,
    /// What the final perplexity is measured on
    #[arg(long)]
    pub eval_data: Option<PathBuf>,
    /// Last share of the data to keep for the evaluation, when there is no --eval-data
    #[arg(long, default_value_t = 0.0, conflicts_with = "eval_data")]
    pub holdout: f64,
    /// Windows of the evaluation
    #[arg(long, default_value_t = 64)]
    pub eval_windows: usize,
    /// Evaluate every so many steps too, into evaluations.csv; 0 never
    #[arg(long, default_value_t = 0)]
    pub eval_every: u64,
    /// Conversations: also count the words of the user
    #[arg(long)]
    pub score_all: bool,
    /// Continue the run in --out
    #[arg(long)]
    pub resume: bool,
    /// Also write Hugging Face safetensors
    #[arg(long)]
    pub huggingface: bool,

    /// Steps of the run
    #[arg(long, default_value_t = 1000)]
    pub steps: u64,
    /// Windows of a step
    #[arg(long, default_value_t = 16)]
    pub batch: usize,
    /// Windows that a thread takes at a time
    #[arg(long, default_value_t = 2)]
    pub micro_batch: usize,
    /// Tokens of a window; the model's context, at most 512, when not given
    #[arg(long)]
    pub length: Option<usize>,
    /// Whether documents are strung together or kept whole
    #[arg(long, value_enum, default_value_t = Packing::Stream)]
    pub packing: Packing,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How codes become weights: midpoint or truncate (the paper's)
    #[arg(long, default_value = "midpoint")]
    pub reconstruction: Reconstruction,
    /// How finely groups of weights are scaled: fine (eight steps an octave) or power-of-two (the paper's)
    #[arg(long, default_value = "fine")]
    pub scale: Scale,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
    /// Multiply in 16-bit floats, where the device can; the rest stays in 32 bits
    #[arg(long)]
    pub mixed_precision: bool,
    /// Keep the activations of one layer at a time and compute the others again: a third more work
    #[arg(long)]
    pub recompute: bool,
    /// Threads; one per core when not given
    #[arg(long)]
    pub threads: Option<usize>,
    /// Minutes between two saved states
    #[arg(long, default_value_t = 5.0)]
    pub checkpoint_minutes: f64,

    /// How widths are chosen
    #[command(flatten)]
    pub strategy: StrategyArguments,
    /// How weights are updated
    #[command(flatten)]
    pub optimizer: OptimizerArguments,
}

/// How examples become windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Packing {
    /// Strung together and cut: every token used
    Stream,
    /// Kept whole and filled up: for conversations
    Whole,
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// This machine's processor
    Cpu,
    /// A GPU by Vulkan, Metal or DX12
    #[cfg(feature = "gpu")]
    Gpu,
}

/// The flags of a strategy.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Widths")]
pub struct StrategyArguments {
    /// none, full, fixed:M, uniform, bps, otaro or distilled
    #[arg(long, default_value_t = Method::Distilled)]
    pub method: Method,
    /// What the bandit exploits: excess, low-normalised or low-loss
    #[arg(long, value_enum, default_value_t)]
    pub bps_score: BpsScore,
    /// Weight of the bandit's exploration
    #[arg(long, default_value_t = BpsSettings::default().lambda)]
    pub lambda: f64,
    /// How fast the bandit forgets; 1 never
    #[arg(long, default_value_t = BpsSettings::default().discount)]
    pub discount: f64,
    /// When collected gradients of low widths count: average or joined
    #[arg(long, value_enum, default_value_t)]
    pub laa_mode: LaaMode,
    /// Most gradients of low widths that are collected
    #[arg(long, default_value_t = LaaSettings::default().period)]
    pub laa_period: u32,
    /// Steps at the beginning without low widths; none by default, with 'distilled' a third of the run
    #[arg(long)]
    pub low_from: Option<u64>,
    /// Two widths a step, the low one learns from the high one
    #[arg(long)]
    pub distill: bool,
    /// Share of the imitation in the loss of the low width
    #[arg(long, default_value_t = StrategySettings::default().distill_weight)]
    pub distill_weight: f64,
}

impl StrategyArguments {
    /// The settings of the strategy of a run of some steps.
    pub fn settings(&self, seed: u64, steps: u64) -> StrategySettings {
        let distilled = self.method == Method::Distilled;
        StrategySettings {
            method: self.method,
            bps: BpsSettings { score: self.bps_score, lambda: self.lambda, discount: self.discount },
            laa: LaaSettings { mode: self.laa_mode, period: self.laa_period },
            low_from: self.low_from.unwrap_or(if distilled { steps / 3 } else { 0 }),
            distill: self.distill || distilled,
            distill_weight: self.distill_weight,
            seed,
            ..StrategySettings::default()
        }
    }
}

/// The flags of the optimiser.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Optimiser")]
pub struct OptimizerArguments {
    /// adamw, or muon for the matrices of the layers
    #[arg(long, value_enum, default_value_t)]
    pub optimizer: Rule,
    /// Highest learning rate
    #[arg(long, default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Steps of linear warm-up
    #[arg(long, default_value_t = 50)]
    pub warmup: u64,
    /// Share of the learning rate that is left at the last step
    #[arg(long, default_value_t = 0.05)]
    pub final_share: f64,
    /// Decay of the mean of the gradients
    #[arg(long, default_value_t = 0.9)]
    pub beta_1: f32,
    /// Decay of the mean of their squares
    #[arg(long, default_value_t = 0.95)]
    pub beta_2: f32,
    /// Weight decay of the matrices
    #[arg(long, default_value_t = 0.01)]
    pub weight_decay: f32,
    /// Norm to which longer gradients are shortened
    #[arg(long, default_value_t = 1.0)]
    pub clip: f64,
}

impl OptimizerArguments {
    /// The settings of the optimiser.
    pub fn settings(&self) -> OptimizerSettings {
        let Self { optimizer: rule, learning_rate, warmup, final_share, beta_1, beta_2, weight_decay, clip } =
            *self;
        OptimizerSettings { rule, learning_rate, warmup, final_share, beta_1, beta_2, weight_decay, clip }
    }
}
