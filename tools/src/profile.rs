//! `otaro profile`: searches for the precision profiles of a model that lose least for their bits.

mod ascent;
mod measure;
mod plot;
mod report;
mod state;
mod units;

use std::{
    io::{Write, stdout},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, ensure};
use otaro::{
    CancelToken, Checkpoint, DeviceChoice, Model, OpenOptions, Precision, PrecisionProfile,
    cpu::{CpuOptions, FullWeights},
    pack::HuggingFaceFolder,
};

use self::{
    ascent::Sensitivity,
    measure::{Divergence, Reference, Sample},
    report::{Format, Report, Row},
    state::{Search, State},
    units::Unit,
};
use crate::{progress, tokens};

/// Points of the ascent that are measured, at even distances of bits per weight.
const POINTS: usize = 8;

#[derive(clap::Args)]
pub struct Arguments {
    /// A packed file
    model: PathBuf,
    /// Hugging Face folder of the unquantised model, whose predictions are what is to be kept
    #[arg(long, value_name = "FOLDER")]
    reference: PathBuf,
    /// Text file on which the predictions are compared
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Bits per weight that the last profile may take, scales included: E5M3 everywhere takes 4.125
    #[arg(long, value_name = "BITS")]
    budget: f64,
    /// Folder for the results, and for what a search that was interrupted goes on from
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Tokens of a window
    #[arg(long, value_name = "N", default_value_t = 256)]
    context: usize,
    /// Windows, at even distances in the text. For each token, the probabilities of the whole vocabulary are
    /// kept in memory
    #[arg(long, value_name = "N", default_value_t = 4)]
    windows: usize,
    /// Neighbouring layers that share their precisions: more of them make the search faster and coarser
    #[arg(long, value_name = "N", default_value_t = 1)]
    layers_together: usize,
    /// auto, cpu or gpu
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// What to print
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Format,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let checkpoint = Arc::new(Checkpoint::open(&arguments.model)?);
    checkpoint.require(Precision::MAX).context("a search compares every precision")?;
    let architecture = checkpoint.architecture().clone();
    let lowest =
        PrecisionProfile::from(Precision::MIN).resolve(&architecture)?.bits_per_weight(&architecture);
    ensure!(
        arguments.budget >= lowest,
        "--budget is {} bits per weight: {} everywhere takes {lowest:.3}, so give more",
        arguments.budget,
        Precision::MIN
    );
    ensure!(arguments.layers_together > 0, "--layers-together is 0: give 1 or more");
    let sample = sample(arguments, &checkpoint)?;
    let cancel = progress::cancel_on_interrupt()?;
    let search = Search::new(&checkpoint, &arguments.reference, &sample, arguments.device)?;
    let state = State::open(&arguments.out, search)?;
    let mut measuring = Measuring { arguments, checkpoint: &checkpoint, sample, state, model: None, cancel };
    let units = units::all(&architecture, arguments.layers_together);
    let report = measuring.search(&units).map_err(|error| match measuring.state.measured() {
        0 => error,
        measured => error.context(format!(
            "{measured} measurements are kept in {}: the same command goes on from there",
            arguments.out.display()
        )),
    })?;
    report.save(&arguments.out)?;
    Ok(report.print(arguments.output, &mut stdout().lock()).and_then(|()| stdout().flush())?)
}

/// The windows of the text.
fn sample(arguments: &Arguments, checkpoint: &Checkpoint) -> anyhow::Result<Sample> {
    let path = &arguments.text;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let ids = tokens::encode(checkpoint, text.trim_start_matches('\u{feff}'))?;
    let limit = checkpoint.architecture().context_length;
    let (context, windows) = (arguments.context, arguments.windows);
    ensure!((2..=limit).contains(&context), "--context is {context}, it must be 2 to {limit} for this model");
    Sample::new(&ids, context, windows).with_context(|| {
        format!(
            "{}: {} tokens are fewer than --windows {windows} of --context {context}: give more text or fewer",
            path.display(),
            ids.len()
        )
    })
}

/// A search in progress.
struct Measuring<'a> {
    arguments: &'a Arguments,
    checkpoint: &'a Arc<Checkpoint>,
    sample: Sample,
    state: State,
    /// The packed model and what the unquantised one predicts, once something has to be measured.
    model: Option<(Model, Reference)>,
    cancel: CancelToken,
}

impl Measuring<'_> {
    fn search(&mut self, units: &[Unit]) -> anyhow::Result<Report> {
        let sensitivities = self.sensitivities(units)?;
        let checkpoint = Arc::clone(self.checkpoint);
        let architecture = checkpoint.architecture();
        let path = ascent::climb(&sensitivities, architecture, self.arguments.budget)?;
        let points = ascent::spread(&path, POINTS);
        let uniform = Precision::ALL.map(PrecisionProfile::from);
        let bar = progress::bar((points.len() + uniform.len()) as u64, "profiles", "measurements");
        let mut rows = Vec::new();
        for profile in uniform.iter().chain(points.iter().map(|point| &point.profile)) {
            rows.push(Row::new(profile, architecture, self.measure(profile, &bar)?)?);
        }
        bar.finish_and_clear();
        Ok(Report::new(self.arguments, &self.sample, &sensitivities, rows))
    }

    /// What each part loses at each precision, everything else being at the highest.
    fn sensitivities(&mut self, units: &[Unit]) -> anyhow::Result<Vec<Sensitivity>> {
        let below = || Precision::ALL.into_iter().filter(|&precision| precision < Precision::MAX);
        let measurements = units.len() * below().count() + 1;
        let bar = progress::bar(measurements as u64, "sensitivities", "measurements");
        let best = self.measure(&Precision::MAX.into(), &bar)?.mean;
        let mut sensitivities = Vec::new();
        for &unit in units {
            bar.set_message(format!("sensitivity of {unit}"));
            let losses = below().map(|precision| {
                let profile = unit.alone(precision, Precision::MAX)?;
                Ok(self.measure(&profile, &bar)?.mean - best)
            });
            sensitivities.push(Sensitivity::new(unit, &losses.collect::<anyhow::Result<Vec<_>>>()?));
        }
        bar.finish_and_clear();
        Ok(sensitivities)
    }

    /// The divergence of a profile, measured unless it was before.
    fn measure(
        &mut self,
        profile: &PrecisionProfile,
        bar: &indicatif::ProgressBar,
    ) -> anyhow::Result<Divergence> {
        if let Some(known) = self.state.get(profile) {
            bar.inc(1);
            return Ok(known);
        }
        let (model, reference) = match &mut self.model {
            Some(open) => open,
            empty => empty.insert(open(self.arguments, self.checkpoint, &self.sample, &self.cancel)?),
        };
        let divergence = reference.divergence(model, profile, &self.sample, &self.cancel)?;
        self.state.add(profile, divergence)?;
        bar.inc(1);
        Ok(divergence)
    }
}

/// Opens the packed model and has the unquantised one predict.
fn open(
    arguments: &Arguments,
    checkpoint: &Arc<Checkpoint>,
    sample: &Sample,
    cancel: &CancelToken,
) -> anyhow::Result<(Model, Reference)> {
    let architecture = checkpoint.architecture();
    let mut source = HuggingFaceFolder::open(&arguments.reference)?;
    ensure!(source.architecture() == architecture, "{} is another model", arguments.reference.display());
    let weights = FullWeights::load(architecture, &mut source)?;
    let full = Model::full_precision(architecture, weights, &CpuOptions::default())?;
    let bar = progress::bar(sample.tokens() as u64, "unquantised", "tokens");
    let reference = Reference::new(&full, sample, cancel, &mut |tokens| bar.inc(tokens as u64))?;
    bar.finish_and_clear();
    let options = OpenOptions { device: arguments.device, ..OpenOptions::default() };
    Ok((Model::on_device(Arc::clone(checkpoint), &options)?, reference))
}
