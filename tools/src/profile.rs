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
use otaro::{CancelToken, Checkpoint, DeviceChoice, Precision, PrecisionProfile};
use otaro_eval::Windows;

use self::{
    ascent::Sensitivity,
    measure::{Comparison, Divergence},
    report::{Format, Report, Row},
    state::{Search, State},
    units::Unit,
};
use crate::progress;

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
    /// Windows, at even distances in the text; the logits of the unquantised model are kept in the folder of the
    /// results, two bytes for every token of the vocabulary at each position
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
    let windows = measure::windows(arguments, &checkpoint)?;
    let cancel = progress::cancel_on_interrupt()?;
    let search = Search::new(&checkpoint, &arguments.reference, &windows, arguments.device)?;
    let state = State::open(&arguments.out, search)?;
    let mut measuring =
        Measuring { arguments, checkpoint: &checkpoint, windows, state, comparison: None, cancel };
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

/// A search in progress.
struct Measuring<'a> {
    arguments: &'a Arguments,
    checkpoint: &'a Arc<Checkpoint>,
    windows: Windows,
    state: State,
    /// Once something has to be measured.
    comparison: Option<Comparison>,
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
        Ok(Report::new(self.arguments, &sensitivities, rows))
    }

    /// What each part loses, everything else being at the highest precision.
    fn sensitivities(&mut self, units: &[Unit]) -> anyhow::Result<Vec<Sensitivity>> {
        let measurements = units.len() * Sensitivity::MEASURED.len() + 1;
        let bar = progress::bar(measurements as u64, "sensitivities", "measurements");
        let best = self.measure(&Precision::MAX.into(), &bar)?.mean;
        let mut sensitivities = Vec::new();
        for &unit in units {
            bar.set_message(format!("sensitivity of {unit}"));
            let mut losses = [0.0; Sensitivity::MEASURED.len()];
            for (loss, precision) in losses.iter_mut().zip(Sensitivity::MEASURED) {
                *loss = self.measure(&unit.alone(precision, Precision::MAX)?, &bar)?.mean - best;
            }
            sensitivities.push(Sensitivity::new(unit, losses));
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
        let comparison = match &mut self.comparison {
            Some(open) => open,
            empty => {
                empty.insert(Comparison::new(self.arguments, self.checkpoint, &self.windows, &self.cancel)?)
            }
        };
        let divergence = comparison.divergence(profile, &self.windows, &self.cancel)?;
        self.state.add(profile, divergence)?;
        bar.inc(1);
        Ok(divergence)
    }
}
