//! Many runs by one plan: every method on every model and data set, with several seeds.

mod plan;

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use otaro::CancelToken;
use otaro_trainer::{
    command::{Outcome, RunArguments, run as train, steps_path, summary_path},
    log,
    summary::RunSummary,
    train::Alone,
};

pub use plan::{Entry, Part, Plan};

use crate::{
    gradients::analyse,
    results::{self, GRADIENTS, Key, Record, RunSteps, Step, Steps},
};

/// Makes the runs that `plan.json` in a folder asks for and that `results.jsonl` beside it does not hold yet.
///
/// # Errors
/// Bad input, in the plan, in the results or in a run.
pub fn run(folder: &Path, cancel: &CancelToken) -> Result<Outcome> {
    let entries = Plan::read(&folder.join("plan.json"))?.entries()?;
    let path = results::path(folder);
    let mut done = done(&path)?;
    for (number, entry) in entries.iter().enumerate() {
        if done.contains(&entry.key) {
            continue;
        }
        eprintln!("[{}/{}] {}", number + 1, entries.len(), entry.key);
        let Some(records) = records(entry, cancel).with_context(|| entry.key.to_string())? else {
            return Ok(Outcome::Interrupted);
        };
        results::append(&path, &records)?;
        done.insert(entry.key.clone());
    }
    Ok(Outcome::Finished)
}

/// What has a result already. Steps alone are none.
fn done(path: &Path) -> Result<BTreeSet<Key>> {
    let records = results::read(path)?;
    Ok(records.iter().filter(|record| !matches!(record, Record::Steps(_))).map(Record::key).collect())
}

/// Makes one run in a folder of its own; nothing when it was interrupted.
fn records(entry: &Entry, cancel: &CancelToken) -> Result<Option<Vec<Record>>> {
    let place = tempfile::tempdir()?;
    let arguments = RunArguments { out: place.path().join("run"), ..entry.arguments.clone() };
    let Key { model, dataset, method, seed, .. } = entry.key.clone();
    if method == GRADIENTS {
        let mut analysis = match analyse(&arguments, cancel) {
            Err(_) if cancel.is_cancelled() => return Ok(None),
            analysis => analysis?,
        };
        (analysis.model, analysis.dataset) = (model, dataset);
        return Ok(Some(vec![Record::Gradients(Box::new(analysis))]));
    }
    if train(&arguments, &Alone, cancel)? == Outcome::Interrupted {
        return Ok(None);
    }
    let text = fs::read_to_string(summary_path(&arguments.out))?;
    let mut summary: RunSummary = serde_json::from_str(&text)?;
    (summary.model, summary.dataset, summary.method) = (model.clone(), dataset.clone(), method.clone());
    // Paths say where this machine keeps its data, names say which data it is.
    for private in ["data", "start", "data_fingerprint"] {
        summary.settings.remove(private);
    }
    let trained_reconstruction = summary.trained_reconstruction;
    let mut records = vec![Record::Run(Box::new(summary))];
    if entry.keeps_log {
        let steps = log::read(&steps_path(&arguments.out))?.iter().map(Step::from).collect();
        let steps = RunSteps { model, dataset, method, seed, trained_reconstruction, steps: Steps(steps) };
        records.insert(0, Record::Steps(Box::new(steps)));
    }
    Ok(Some(records))
}
