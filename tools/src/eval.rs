//! `otaro eval`: perplexity at every precision.

mod perplexity;
mod report;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, bail, ensure};
use otaro::{
    Checkpoint, DeviceChoice, ErrorKind, Model, OpenOptions, Precision, Reconstruction,
    cpu::{CpuKernel, CpuOptions, FullWeights},
    pack::HuggingFaceFolder,
};

use self::{
    perplexity::{Windows, perplexity},
    report::{Report, Row},
};
use crate::{progress, tokens};

#[derive(clap::Args)]
pub struct Arguments {
    /// A packed file
    model: PathBuf,
    /// Text file, encoded as one string with the model's tokenizer
    #[arg(long, value_name = "FILE", required_unless_present = "tokens", conflicts_with = "tokens")]
    text: Option<PathBuf>,
    /// Token ids instead: a one-dimensional tensor of integers in a safetensors file
    #[arg(long, value_name = "FILE.safetensors#NAME")]
    tokens: Option<String>,
    /// Mantissa bits to evaluate, 3 to 8, separated by commas; all that the file holds by default
    #[arg(long, value_delimiter = ',')]
    bits: Vec<Precision>,
    /// midpoint, truncate or both; what the file says by default
    #[arg(long, value_parser = parse_reconstructions)]
    reconstruction: Option<Reconstructions>,
    /// Tokens of a window; the context of the model, but at most 512, by default
    #[arg(long)]
    context: Option<usize>,
    /// Windows from the start of the text; all by default
    #[arg(long)]
    windows: Option<usize>,
    /// auto, cpu or gpu
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// Kernels of the CPU (plain, exact, int8, avx2, avx512-vnni, neon-dotprod, neon-i8mm); the fastest by default
    #[arg(long, value_name = "NAME")]
    kernel: Option<CpuKernel>,
    /// Hugging Face folder of the unquantised model, evaluated in f32 on the CPU as the first row
    #[arg(long, value_name = "FOLDER")]
    reference: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The reconstructions that `--reconstruction` asks for.
#[derive(Clone)]
struct Reconstructions(Vec<Reconstruction>);

fn parse_reconstructions(text: &str) -> Result<Reconstructions, String> {
    match text {
        "both" => Ok(Reconstructions(Reconstruction::ALL.to_vec())),
        name => match name.parse() {
            Ok(reconstruction) => Ok(Reconstructions(vec![reconstruction])),
            Err(error) => Err(format!("{error}, or both")),
        },
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let checkpoint = Arc::new(Checkpoint::open(&arguments.model)?);
    let windows = windows(arguments, &checkpoint)?;
    let rounds = rounds(arguments, &checkpoint)?;
    let cancel = progress::cancel_on_interrupt()?;
    let mut report = Report::new(arguments.model.clone(), &windows);
    let evaluations: usize = rounds.iter().map(|round| round.precisions.len()).sum();
    let bar = progress::bar((evaluations * windows.tokens()) as u64, "evaluating", "tokens");
    for round in rounds {
        // One model at a time: each takes memory of its own on a GPU, and the reference in any case.
        let model = round.open(arguments, &checkpoint)?;
        for precision in round.precisions {
            let result =
                perplexity(&model, precision, &windows, &cancel, &mut |tokens| bar.inc(tokens as u64));
            match result {
                Ok(measured) => {
                    report.rows.push(Row::new(&model, precision, round.reconstruction, &measured))
                }
                // Hours of work are not thrown away: what is finished is printed.
                Err(error) if error.kind() == ErrorKind::Cancelled => {
                    bar.finish_and_clear();
                    report.print(arguments.json)?;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    bar.finish_and_clear();
    Ok(report.print(arguments.json)?)
}

fn windows(arguments: &Arguments, checkpoint: &Checkpoint) -> anyhow::Result<Windows> {
    let tokens = match (&arguments.tokens, &arguments.text) {
        (Some(reference), _) => tokens::read(reference)?,
        (None, Some(path)) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            tokens::encode(checkpoint, &text)?
        }
        (None, None) => bail!("give --text or --tokens"),
    };
    let limit = checkpoint.architecture().context_length;
    let context = arguments.context.unwrap_or(limit.min(512));
    ensure!((2..=limit).contains(&context), "--context is {context}, it must be 2 to {limit} for this model");
    let windows = Windows::new(tokens, context, arguments.windows);
    ensure!(windows.count() > 0, "the text has {} tokens, fewer than one window of {context}", windows.given);
    Ok(windows)
}

/// Evaluations with one model.
struct Round {
    /// `None` is the unquantised reference, which has one precision whatever it is called.
    reconstruction: Option<Reconstruction>,
    precisions: Vec<Precision>,
}

fn rounds(arguments: &Arguments, checkpoint: &Checkpoint) -> anyhow::Result<Vec<Round>> {
    let available = checkpoint.available()?;
    let precisions: Vec<_> = match arguments.bits.as_slice() {
        [] => Precision::ALL.into_iter().rev().filter(|&precision| precision <= available).collect(),
        bits => bits.to_vec(),
    };
    for &precision in &precisions {
        checkpoint.require(precision)?;
    }
    let reconstructions = match &arguments.reconstruction {
        None => vec![checkpoint.reconstruction()],
        Some(Reconstructions(reconstructions)) => reconstructions.clone(),
    };
    let reference = arguments.reference.iter();
    let reference = reference.map(|_| Round { reconstruction: None, precisions: vec![Precision::MAX] });
    let quantised = reconstructions
        .into_iter()
        .map(|reconstruction| Round { reconstruction: Some(reconstruction), precisions: precisions.clone() });
    Ok(reference.chain(quantised).collect())
}

impl Round {
    fn open(&self, arguments: &Arguments, checkpoint: &Arc<Checkpoint>) -> anyhow::Result<Model> {
        match (self.reconstruction, &arguments.reference) {
            (None, Some(folder)) => {
                let mut source = HuggingFaceFolder::open(folder)?;
                let architecture = checkpoint.architecture();
                ensure!(source.architecture() == architecture, "{} is another model", folder.display());
                Ok(Model::full_precision(architecture, FullWeights::load(architecture, &mut source)?)?)
            }
            (reconstruction, _) => {
                let cpu = CpuOptions { kernel: arguments.kernel, ..CpuOptions::default() };
                let options = OpenOptions { device: arguments.device, reconstruction, cpu };
                Ok(Model::on_device(Arc::clone(checkpoint), &options)?)
            }
        }
    }
}
