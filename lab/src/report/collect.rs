//! Sorts the results by model and dataset.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use otaro_trainer::summary::RunSummary;

use crate::results::{self, GradientAnalysis, Record, Step};

/// Everything about one model on one dataset.
#[derive(Default)]
pub(super) struct Study {
    /// By method and seed.
    pub runs: Vec<RunSummary>,
    /// By seed.
    pub gradients: Vec<GradientAnalysis>,
    /// The name of a run (`otaro-seed-1`) and its steps, where they were kept.
    pub steps: BTreeMap<String, Vec<Step>>,
}

/// Model and dataset.
pub(super) type Subject = (String, String);

/// Every study in a file of results.
pub(super) fn collect(path: &Path) -> Result<BTreeMap<Subject, Study>> {
    let mut records = BTreeMap::new();
    let mut studies = BTreeMap::<_, Study>::new();
    for record in results::read(path)? {
        let key = record.key();
        let subject = (key.model.clone(), key.dataset.clone());
        if let Record::Steps(steps) = record {
            // Twice where a run ended before its summary was there; then the last ones are those of its end.
            let run = format!("{}-seed-{}", key.method, key.seed);
            studies.entry(subject).or_default().steps.insert(run, steps.steps.0);
        } else if records.insert(key.clone(), record).is_some() {
            return Err(anyhow::anyhow!("there are two results of {key}"))
                .context(path.display().to_string());
        }
    }
    for (key, record) in records {
        let study = studies.entry((key.model, key.dataset)).or_default();
        match record {
            Record::Run(run) => study.runs.push(*run),
            Record::Gradients(analysis) => study.gradients.push(*analysis),
            Record::Steps(_) => {}
        }
    }
    for study in studies.values() {
        check_settings(&study.runs).with_context(|| path.display().to_string())?;
    }
    Ok(studies)
}

/// Runs that differ by more than their seed have no mean.
fn check_settings(runs: &[RunSummary]) -> Result<()> {
    let mut first = BTreeMap::new();
    for run in runs {
        let key = (&run.method, run.trained_reconstruction.map(|it| it.name()));
        let first: &&RunSummary = first.entry(key).or_insert(run);
        ensure!(
            comparable(run).eq(comparable(first)) && run.steps == first.steps,
            "the runs of {} on {}, {}, with the seeds {} and {} have different settings or steps, so they are \
             not seeds of one method",
            run.model,
            run.dataset,
            run.method,
            first.seed,
            run.seed
        );
    }
    Ok(())
}

/// The settings that must not differ between the seeds of a method; its draws have the same seed as the data.
pub(super) fn comparable(run: &RunSummary) -> impl Iterator<Item = (&String, &String)> {
    run.settings.iter().filter(|(key, _)| !matches!(key.as_str(), "seed" | "strategy.seed"))
}
