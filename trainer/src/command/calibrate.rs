//! `otaro-train calibrate`

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use otaro::{CancelToken, Reconstruction, Scale};
use serde_json::json;

use super::{Outcome, start::encoder};
use crate::{
    atomic,
    calibrate::{BlockReport, CalibrateSettings, Job, Shares},
    data::{Dataset, Source, encode_sources},
    model::read_architecture,
};

/// The flags of a calibration.
#[derive(Args, Clone, Debug)]
pub struct CalibrateArguments {
    /// Hugging Face folder of the model
    #[arg(long, value_name = "FOLDER")]
    pub model: PathBuf,
    /// .txt, .jsonl or .zst of them; PATH:2 counts twice. May be given several times
    #[arg(long, required = true, num_args = 1..)]
    pub data: Vec<Source>,
    /// Folder for the calibrated model and the state of the calibration
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Continue the calibration in --out
    #[arg(long)]
    pub resume: bool,

    /// Windows of text that the blocks are tuned on
    #[arg(long, default_value_t = 96)]
    pub windows: usize,
    /// Tokens of a window; the model's context, if that is shorter
    #[arg(long, default_value_t = 256)]
    pub length: usize,
    /// Windows of a step
    #[arg(long, default_value_t = 4)]
    pub batch: usize,
    /// Windows that a thread takes at a time
    #[arg(long, default_value_t = 2)]
    pub micro_batch: usize,
    /// Steps for each block
    #[arg(long, default_value_t = 80)]
    pub steps: usize,
    /// Highest learning rate of a block
    #[arg(long, default_value_t = 5e-4)]
    pub learning_rate: f64,
    /// Scale the input channels of matrices before a block is tuned: docs/results/calibration.md
    #[arg(long)]
    pub channel_scaling: bool,
    /// Steps of the whole model, which learns from its unquantised self; 0 for none, as it takes the memory of a
    /// training run
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub distill_steps: usize,
    /// Highest learning rate of the whole model
    #[arg(long, default_value_t = 2e-4)]
    pub distill_learning_rate: f64,
    /// Mantissa bits that are trained, and their shares of the steps
    #[arg(long, default_value_t, value_name = "BITS:SHARE,...")]
    pub shares: Shares,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How codes become weights: midpoint or truncate (the paper's)
    #[arg(long, default_value = "midpoint")]
    pub reconstruction: Reconstruction,
    /// How finely groups of weights are scaled: fine (eight steps an octave) or power-of-two (the paper's)
    #[arg(long, default_value = "fine")]
    pub scale: Scale,
    /// Threads; one per core when not given
    #[arg(long)]
    pub threads: Option<usize>,
    /// MiB of activations that may be kept in memory; more go to temporary files in --out
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub memory_budget: u64,
    /// Minutes between two saved states of the distillation; a block that is done is always saved
    #[arg(long, default_value_t = 5.0)]
    pub checkpoint_minutes: f64,
}

/// Calibrates as the arguments say, until the end or until `cancel`.
///
/// # Errors
/// Bad input, a loss that is not finite, a full disk. What is done is kept.
pub fn calibrate(arguments: &CalibrateArguments, cancel: &CancelToken) -> Result<Outcome> {
    let start = Instant::now();
    let out = &arguments.out;
    let (settings, data) = prepare(arguments)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let job = Job {
        settings: &settings,
        model: &arguments.model,
        data: &data,
        out,
        threads: arguments.threads.unwrap_or(cores),
        memory_budget: arguments.memory_budget << 20,
        save_every: Duration::from_secs_f64(arguments.checkpoint_minutes.max(0.0) * 60.0),
    };
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:24} {percent:>3} % {msg} ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut shown = Instant::now();
    let reports = job.run(arguments.resume, cancel, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        bar.set_message(progress.message.clone());
        // Without a terminal a line now and then says as much.
        if bar.is_hidden() && shown.elapsed() > Duration::from_secs(30) {
            let percent = 100.0 * progress.done as f64 / progress.total.max(1) as f64;
            eprintln!("{percent:.0} % {}, ETA {:.0?}", progress.message, bar.eta());
            shown = Instant::now();
        }
    })?;
    let Some(reports) = reports else {
        bar.abandon_with_message("interrupted; --resume goes on");
        return Ok(Outcome::Interrupted);
    };
    bar.finish_and_clear();
    let summary = json!({
        "settings": settings,
        "blocks": reports,
        "seconds_of_the_last_sitting": start.elapsed().as_secs_f64(),
    });
    atomic::write(&out.join("summary.json"), &(serde_json::to_string_pretty(&summary)? + "\n"))?;
    show(&reports);
    println!("{}", out.join("model.sefp.safetensors").display());
    Ok(Outcome::Finished)
}

fn prepare(arguments: &CalibrateArguments) -> Result<(CalibrateSettings, Dataset)> {
    let architecture = read_architecture(&arguments.model.join("config.json"))?;
    let length = arguments.length.min(architecture.context_length);
    ensure!(length > 1, "windows of {length} tokens are too short: --length must be at least 2");
    for (name, rate) in [
        ("--learning-rate", arguments.learning_rate),
        ("--distill-learning-rate", arguments.distill_learning_rate),
    ] {
        ensure!(rate.is_finite() && rate > 0.0, "{name} is {rate}, it must be greater than 0");
    }
    let encoder = encoder(&arguments.model, &architecture)?.score_all(true);
    let examples = encode_sources(&arguments.data, &encoder, arguments.seed)?;
    let data = Dataset::stream(&examples, length, arguments.seed)?;
    let sources: Vec<_> =
        arguments.data.iter().map(|source| format!("{}:{}", source.path.display(), source.repeat)).collect();
    let settings = CalibrateSettings {
        model: arguments.model.display().to_string(),
        model_fingerprint: Job::fingerprint(&arguments.model)?,
        architecture,
        data: sources.join(" "),
        data_fingerprint: data.fingerprint().to_string(),
        length,
        windows: arguments.windows,
        batch: arguments.batch,
        micro_batch: arguments.micro_batch,
        steps: arguments.steps,
        learning_rate: arguments.learning_rate,
        channel_scaling: arguments.channel_scaling,
        distill_steps: arguments.distill_steps,
        distill_learning_rate: arguments.distill_learning_rate,
        shares: arguments.shares.clone(),
        seed: arguments.seed,
        reconstruction: arguments.reconstruction,
        scale: arguments.scale,
    };
    Ok((settings, data))
}

/// What the blocks gained, on average.
fn show(reports: &[BlockReport]) {
    let Some(first) = reports.first() else { return };
    println!("mean error of a block, before and after:");
    for (index, (bits, ..)) in first.errors.iter().enumerate() {
        let mean = |pick: fn(&(u32, f64, f64)) -> f64| {
            let errors = reports.iter().filter_map(|report| report.errors.get(index)).map(pick);
            errors.sum::<f64>() / reports.len() as f64
        };
        println!("  E5M{bits}  {:.3e}  {:.3e}", mean(|it| it.1), mean(|it| it.2));
    }
}
