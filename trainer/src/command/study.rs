//! Many runs by one plan: every method on every model and data set, with several seeds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use otaro::CancelToken;
use serde::Deserialize;

use super::{
    arguments::{Arguments, Chore, RunArguments},
    finish::steps_path,
    gradients,
    run::{Outcome, run},
};
use crate::{
    atomic::replace,
    report::{RunSummary, relative_path},
    train::Alone,
};

/// A plan, as it stands in a JSON file. Flags are those of `otaro-train run`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Flags of every run.
    pub common: String,
    /// Name of a model to its flags.
    pub models: BTreeMap<String, String>,
    /// Name of a data set to its flags.
    pub datasets: BTreeMap<String, String>,
    /// Name of a method to its flags.
    pub methods: BTreeMap<String, String>,
    /// Methods of which the log of the steps is kept, for the first seed.
    #[serde(default)]
    pub logs: Vec<String>,
    /// What to run, in this order.
    pub parts: Vec<Part>,
}

/// Some of the runs of a plan.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Names of models.
    pub models: Vec<String>,
    /// Names of data sets.
    pub datasets: Vec<String>,
    /// Names of methods; `gradients` compares the gradients of the widths instead of training.
    pub methods: Vec<String>,
    /// One run each.
    pub seeds: Vec<u64>,
    /// Flags of these runs alone.
    #[serde(default)]
    pub flags: String,
}

/// One run of a plan.
struct Entry {
    model: String,
    dataset: String,
    method: String,
    seed: u64,
    keeps_log: bool,
    arguments: RunArguments,
}

/// The method that trains nothing and compares gradients.
const GRADIENTS: &str = "gradients";

/// Runs what a plan asks for and what `results` does not hold yet.
///
/// # Errors
/// Bad input, in the plan or in a run.
pub fn study(plan: &Path, results: &Path, cancel: &CancelToken) -> Result<Outcome> {
    let text = fs::read_to_string(plan).with_context(|| format!("cannot read {}", plan.display()))?;
    let plan: Plan = serde_json::from_str(&text).with_context(|| plan.display().to_string())?;
    let entries = entries(&plan)?;
    for (number, entry) in entries.iter().enumerate() {
        let path = entry.path(results);
        if path.exists() {
            continue;
        }
        let Entry { model, dataset, method, seed, .. } = entry;
        eprintln!("[{}/{}] {model} {dataset} {method} seed {seed}", number + 1, entries.len());
        if entry.run(results, cancel).with_context(|| path.display().to_string())? == Outcome::Interrupted {
            return Ok(Outcome::Interrupted);
        }
    }
    Ok(Outcome::Finished)
}

fn entries(plan: &Plan) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for part in &plan.parts {
        for model in &part.models {
            for dataset in &part.datasets {
                for &seed in &part.seeds {
                    for method in &part.methods {
                        entries.push(entry(plan, part, [model, dataset, method], seed)?);
                    }
                }
            }
        }
    }
    Ok(entries)
}

fn entry(plan: &Plan, part: &Part, [model, dataset, method]: [&String; 3], seed: u64) -> Result<Entry> {
    let lookup = |kind: &str, names: &BTreeMap<String, String>, name: &String| {
        names.get(name).cloned().with_context(|| format!("the plan has no {kind} '{name}'"))
    };
    let flags = [
        plan.common.clone(),
        lookup("model", &plan.models, model)?,
        lookup("data set", &plan.datasets, dataset)?,
        if method == GRADIENTS { String::new() } else { lookup("method", &plan.methods, method)? },
        part.flags.clone(),
        format!("--seed {seed} --out unused"),
    ];
    let words = flags.iter().flat_map(|flags| flags.split_whitespace());
    let Chore::Run(arguments) =
        Arguments::try_parse_from(["otaro-train", "run"].into_iter().chain(words))?.chore
    else {
        unreachable!("the subcommand is 'run'")
    };
    Ok(Entry {
        model: model.clone(),
        dataset: dataset.clone(),
        method: method.clone(),
        seed,
        keeps_log: plan.logs.contains(method) && part.seeds.first() == Some(&seed),
        arguments: *arguments,
    })
}

impl Entry {
    /// Where its result lies.
    fn path(&self, results: &Path) -> PathBuf {
        let names = [&self.model, &self.dataset, &self.method].map(String::as_str);
        let quantised = self.method == GRADIENTS || self.arguments.strategy.method.quantizes();
        let reconstruction = quantised.then_some(self.arguments.reconstruction);
        results.join(relative_path(names, self.seed, reconstruction))
    }

    fn run(&self, results: &Path, cancel: &CancelToken) -> Result<Outcome> {
        let place = tempfile::tempdir()?;
        let arguments = RunArguments { out: place.path().join("run"), ..self.arguments.clone() };
        if self.method == GRADIENTS {
            let mut analysis = gradients::analyse(&arguments, cancel)?;
            (analysis.model, analysis.dataset) = (self.model.clone(), self.dataset.clone());
            analysis.write(results)?;
            return Ok(Outcome::Finished);
        }
        if run(&arguments, &Alone, cancel)? == Outcome::Interrupted {
            return Ok(Outcome::Interrupted);
        }
        let text = fs::read_to_string(arguments.out.join("summary.json"))?;
        let mut summary: RunSummary = serde_json::from_str(&text)?;
        summary.model.clone_from(&self.model);
        summary.dataset.clone_from(&self.dataset);
        summary.method.clone_from(&self.method);
        // Paths say where this machine keeps its data, names say which data it is.
        for private in ["data", "start", "data_fingerprint"] {
            summary.settings.remove(private);
        }
        // The summary comes last: it says that the run is done.
        if self.keeps_log {
            let log = results.join(summary.relative_path()).with_extension("steps.csv");
            replace(&log, |temporary| Ok(fs::copy(steps_path(&arguments.out), temporary).map(drop)?))?;
        }
        summary.write(results)?;
        Ok(Outcome::Finished)
    }
}
