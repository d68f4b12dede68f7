//! One run, from its first batch to the packed model.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, FloatDType};
use indicatif::{ProgressBar, ProgressStyle};
use otaro::CancelToken;

use super::{
    arguments::{DeviceName, RunArguments},
    evaluate::evaluate,
    finish,
    start::{Start, weights},
};
use crate::{
    data::Dataset,
    log::{EvaluationRow, Log, StepRow},
    model::parameters,
    strategy::Width,
    summary::{Evaluation, RunSummary},
    train::{GradientReducer, State, StepReport, Trainer, agree},
};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done, the model is written.
    Finished,
    /// Stopped on request; `--resume` goes on.
    Interrupted,
}

/// Trains as the arguments say, until the last step or until `cancel`.
///
/// # Errors
/// Bad input, a loss that is not finite, a full disk. What was saved last is kept.
pub fn run(arguments: &RunArguments, reducer: &dyn GradientReducer, cancel: &CancelToken) -> Result<Outcome> {
    let path = state_path(arguments);
    ensure!(
        arguments.resume || !path.exists(),
        "{} holds a run already: give --resume to go on with it, or another --out",
        arguments.out.display()
    );
    if reducer.rank() == 0 {
        fs::create_dir_all(&arguments.out)
            .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
    }
    let (device, threads) = (device(arguments.device), threads(arguments, reducer));
    ensure!(
        !arguments.mixed_precision || device.supports_dtype(FloatDType::F16),
        "this device does not multiply in 16-bit floats: leave --mixed-precision out"
    );
    share_cores(arguments.device, reducer, threads)?;
    let start = Start::prepare(arguments, reducer)?;
    let mut trainer = if arguments.resume {
        let state = State::load(&path, &parameters(&start.settings.architecture), &device)?;
        state.progress.settings.must_equal(&start.settings)?;
        Trainer::resume(state, &start.training, reducer, device, threads)
    } else {
        let weights = weights(arguments, &start.settings.architecture)?;
        Trainer::start(start.settings.clone(), weights, &start.training, reducer, device, threads)?
    };
    if let Some(teacher) = &start.teacher {
        trainer = trainer.with_teacher(teacher)?;
    }
    trainer.join()?;
    let session = Session { arguments, reducer, path, evaluation: start.evaluation.as_ref() };
    let outcome = session.train(&mut trainer, cancel)?;
    if outcome == Outcome::Finished && reducer.rank() == 0 {
        let summary = finish::finish(arguments, &trainer, &start)?;
        show_perplexities(&summary);
        println!("{}", arguments.out.join("model.sefp.safetensors").display());
    }
    reducer.wait()?;
    Ok(outcome)
}

/// Where the state of a run lies.
fn state_path(arguments: &RunArguments) -> PathBuf {
    arguments.out.join("state.safetensors")
}

/// The device of a name.
pub fn device(name: DeviceName) -> Device {
    match name {
        DeviceName::Cpu => Device::flex(),
        #[cfg(feature = "gpu")]
        DeviceName::Gpu => Device::wgpu(Default::default()),
    }
}

/// How many threads to use: one for a GPU, since the framework mixes up the work that it is given for one
/// device by several.
pub fn threads(arguments: &RunArguments, reducer: &dyn GradientReducer) -> usize {
    if arguments.device != DeviceName::Cpu {
        return 1;
    }
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    arguments.threads.unwrap_or_else(|| (cores() / reducer.ranks_here()).max(1))
}

/// Keeps the framework, which would use every core for a large product, to the cores of this rank; with a
/// GPU, to the thread that calls.
fn share_cores(device: DeviceName, reducer: &dyn GradientReducer, threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    if device != DeviceName::Cpu {
        // An error says that an earlier run of this process has done it already.
        let _ = pool.use_current_thread().build_global();
        return Ok(());
    }
    if reducer.ranks() == 1 {
        return Ok(());
    }
    if reducer.rank() == 0 {
        eprintln!("{} processes, {threads} threads in each", reducer.ranks());
    }
    Ok(pool.build_global()?)
}

struct Session<'a> {
    arguments: &'a RunArguments,
    reducer: &'a dyn GradientReducer,
    path: PathBuf,
    evaluation: Option<&'a Dataset>,
}

impl Session<'_> {
    fn train(&self, trainer: &mut Trainer<'_>, cancel: &CancelToken) -> Result<Outcome> {
        let steps = trainer.progress().settings.steps;
        let (mut log, mut evaluations) = (self.log(trainer)?, self.evaluations(trainer)?);
        let bar = self.progress_bar(trainer.progress().step, steps);
        let every = Duration::from_secs_f64(self.arguments.checkpoint_minutes.max(0.0) * 60.0);
        let mut saved = Instant::now();
        while trainer.progress().step < steps {
            let [must_stop, must_save] = self.asked([cancel.is_cancelled(), saved.elapsed() >= every])?;
            if must_save || must_stop {
                self.save(trainer)?;
                saved = Instant::now();
            }
            if must_stop {
                bar.abandon_with_message("interrupted; --resume goes on");
                return Ok(Outcome::Interrupted);
            }
            let report = trainer.step()?;
            self.show(&bar, &report);
            if let Some(log) = &mut log {
                log.append(&row(&report, trainer))?;
            }
            if let Some(evaluations) = &mut evaluations
                && report.step.is_multiple_of(self.arguments.eval_every)
            {
                self.evaluate(trainer, evaluations)?;
            }
        }
        self.save(trainer)?;
        bar.finish();
        Ok(Outcome::Finished)
    }

    /// What any rank asks for: all of them stop together, and save after the same step.
    fn asked<const N: usize>(&self, here: [bool; N]) -> Result<[bool; N]> {
        let mut ranks = here.map(|asked| f64::from(u8::from(asked)));
        self.reducer.sum_exact(&mut ranks)?;
        Ok(ranks.map(|ranks| ranks > 0.0))
    }

    fn save(&self, trainer: &Trainer<'_>) -> Result<()> {
        agree(self.reducer, trainer.progress())?;
        if self.reducer.rank() > 0 {
            return Ok(());
        }
        trainer.state().save(&self.path, trainer.parameters())
    }

    /// The log of steps, without those that were not saved before the run ended last time.
    fn log(&self, trainer: &Trainer<'_>) -> Result<Option<Log<StepRow>>> {
        if self.reducer.rank() > 0 {
            return Ok(None);
        }
        Log::open(&finish::steps_path(&self.arguments.out), trainer.progress().step).map(Some)
    }

    /// The log of evaluations on the way, where they are wanted.
    fn evaluations(&self, trainer: &Trainer<'_>) -> Result<Option<Log<EvaluationRow>>> {
        if self.reducer.rank() > 0 || self.arguments.eval_every == 0 || self.evaluation.is_none() {
            return Ok(None);
        }
        Log::open(&self.arguments.out.join("evaluations.csv"), trainer.progress().step).map(Some)
    }

    fn evaluate(&self, trainer: &Trainer<'_>, log: &mut Log<EvaluationRow>) -> Result<()> {
        let Some(data) = self.evaluation else { return Ok(()) };
        let step = trainer.progress().step;
        for evaluation in evaluate(trainer, data, &[self.arguments.reconstruction])? {
            let Evaluation { reconstruction, width, perplexity, tokens } = evaluation;
            log.append(&EvaluationRow { step, reconstruction, width, perplexity, tokens })?;
        }
        Ok(())
    }

    fn progress_bar(&self, done: u64, steps: u64) -> ProgressBar {
        if self.reducer.rank() > 0 {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(steps).with_position(done);
        let style = "{bar:24} {pos}/{len} {msg} ETA {eta}";
        bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    fn show(&self, bar: &ProgressBar, report: &StepReport) {
        let speed = report.tokens as f64 / report.seconds;
        let low: String = report.other_losses.iter().map(|loss| format!(" low {loss:.3}")).collect();
        bar.set_message(format!("{} loss {:.3}{low} {speed:.0} tokens/s", report.plan.primary, report.loss));
        bar.set_position(report.step);
        if bar.is_hidden() && self.reducer.rank() == 0 && report.step.is_multiple_of(50) {
            eprintln!(
                "step {} {} loss {:.4} {speed:.0} tokens/s",
                report.step, report.plan.primary, report.loss
            );
        }
    }
}

fn row(report: &StepReport, trainer: &Trainer<'_>) -> StepRow {
    StepRow {
        step: report.step,
        width: report.plan.primary,
        others: report.plan.others.iter().copied().map(Width::At).collect(),
        loss: report.loss,
        other_losses: report.other_losses.clone(),
        learning_rate: report.rate,
        gradient_norm: report.gradient_norm,
        tokens: report.tokens as u64,
        seconds: report.seconds,
        scores: trainer.progress().strategy.scores(),
    }
}

fn show_perplexities(summary: &RunSummary) {
    for Evaluation { reconstruction, width, perplexity, .. } in &summary.evaluations {
        let reconstruction =
            reconstruction.map_or(String::new(), |reconstruction| reconstruction.to_string());
        println!("{width:>4} {reconstruction:<8} perplexity {perplexity:.3}");
    }
}
