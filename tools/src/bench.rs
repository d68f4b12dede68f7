//! `otaro bench`: how fast, how much memory, how long until it is ready.

mod arguments;
mod latency;
mod measure;
mod memory;
mod models;
mod plan;
mod probe;
mod report;
mod row;
mod statistics;

use std::io::stdout;

use indicatif::ProgressBar;
use otaro::{Architecture, CancelToken, Checkpoint, Model, PrecisionProfile};

pub use self::arguments::{Arguments, as_llama_bench_spells};
use self::{
    latency::LatencyRow,
    measure::Runner,
    memory::Resident,
    models::Subject,
    plan::{Setup, Test},
    probe::Probe,
    row::{Measurement, Row},
};
use crate::progress;

/// A model, and everything that is to be done with it.
struct Work {
    subject: Subject,
    architecture: Architecture,
    profiles: Vec<PrecisionProfile>,
    tests: Vec<Test>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let setups = plan::setups(arguments)?;
    let cancel = progress::cancel_on_interrupt()?;
    let mut work = Vec::new();
    for subject in models::subjects(arguments, &cancel)? {
        let checkpoint = Checkpoint::open(&subject.path)?;
        let architecture = checkpoint.architecture().clone();
        let profiles = plan::profiles(arguments, &checkpoint)?;
        let tests = plan::tests(arguments, &architecture)?;
        work.push(Work { subject, architecture, profiles, tests });
    }
    match arguments.latency {
        true => latencies(arguments, &work, &setups, &cancel),
        false => speeds(arguments, &work, &setups, &cancel),
    }
}

/// Hours of work are not thrown away: what is finished is printed, whatever came between.
fn speeds(
    arguments: &Arguments,
    work: &[Work],
    setups: &[Setup],
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let probe = (arguments.probe > 0).then(|| Probe::new(arguments.probe));
    let runner = Runner {
        repetitions: arguments.repetitions,
        warmup: !arguments.no_warmup,
        probe: probe.as_ref(),
        cancel,
    };
    let tests: usize = work.iter().map(|work| work.profiles.len() * work.tests.len()).sum();
    let runs = tests * setups.len() * runner.repetitions;
    let bar = progress::bar(runs as u64, "measuring", "runs");
    let mut rows = Vec::new();
    let result = work.iter().try_for_each(|work| {
        let each = setups.iter().flat_map(|setup| work.profiles.iter().map(move |profile| (setup, profile)));
        { each }.try_for_each(|(setup, profile)| work.run(setup, profile, &runner, &bar, &mut rows))
    });
    bar.finish_and_clear();
    let note = match &probe {
        Some(_) => format!(
            "probe: the same number of threads reads every cache line of a buffer of {} MiB before every run; \
             their median",
            arguments.probe
        ),
        None => "no probe".to_string(),
    };
    report::print(&mut stdout().lock(), arguments.output, &rows, &note)?;
    result
}

fn latencies(
    arguments: &Arguments,
    work: &[Work],
    setups: &[Setup],
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let mut rows: Vec<LatencyRow> = Vec::new();
    let mut each = work.iter().flat_map(|work| setups.iter().map(move |setup| (work, setup)));
    let result = each.try_for_each(|(work, setup)| {
        latency::measure(&work.subject, setup, &work.profiles, arguments.repetitions, cancel, &mut rows)
    });
    let note = "E5Mx to E5My: the first token after the change, less the token after it";
    report::print(&mut stdout().lock(), arguments.output, &rows, note)?;
    Ok(result?)
}

impl Work {
    /// The tests with one profile. The model is opened for them alone, so that what is resident is
    /// what this profile has read.
    fn run(
        &self,
        setup: &Setup,
        profile: &PrecisionProfile,
        runner: &Runner<'_>,
        bar: &ProgressBar,
        rows: &mut Vec<Row>,
    ) -> anyhow::Result<()> {
        let model = Model::open(&self.subject.path, &setup.options())?;
        let (mut session, mut depth) = (model.session(profile)?, 0);
        let other_bytes = runner.probe.map_or(0, Probe::bytes) as u64;
        for test in &self.tests {
            bar.set_message(format!("{} {profile} {test}", self.subject.name));
            if test.depth < depth {
                // Caches do not shrink: a smaller depth gets one of its own.
                session = model.session(profile)?;
            }
            depth = test.depth;
            let has_peak = memory::forget_peak();
            let vocab_size = self.architecture.vocab_size;
            let samples = runner.run(&mut session, vocab_size, setup.threads, test, &mut || bar.inc(1))?;
            let mut resident = Resident::now(&self.subject.path, other_bytes);
            resident.peak = resident.peak.filter(|_| has_peak);
            let of = Measurement { subject: &self.subject, model: &model, setup, profile, test };
            rows.push(Row::new(&of, &session, samples, resident));
        }
        Ok(())
    }
}
