//! Which runs a study is made of.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use clap::Parser;
use otaro_trainer::command::RunArguments;
use serde::Deserialize;

use crate::results::{GRADIENTS, Key};

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
#[derive(Clone, Debug)]
pub struct Entry {
    /// What its result is found by.
    pub key: Key,
    /// Whether its steps are kept.
    pub keeps_log: bool,
    /// The flags of all its parts together.
    pub arguments: RunArguments,
}

/// The flags of a run, as on the command line of `otaro-train run`.
#[derive(Parser)]
#[command(name = "otaro-train run", no_binary_name = true, args_override_self = true)]
struct Flags {
    #[command(flatten)]
    arguments: RunArguments,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Every run, in order.
    ///
    /// # Errors
    /// A name that the plan does not explain, flags that `otaro-train run` would refuse.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for part in &self.parts {
            for model in &part.models {
                for dataset in &part.datasets {
                    for &seed in &part.seeds {
                        for method in &part.methods {
                            entries.push(entry(self, part, [model, dataset, method], seed)?);
                        }
                    }
                }
            }
        }
        Ok(entries)
    }
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
    let arguments = Flags::try_parse_from(words)?.arguments;
    let quantised = method == GRADIENTS || arguments.strategy.method.quantizes();
    let key = Key {
        model: model.clone(),
        dataset: dataset.clone(),
        method: method.clone(),
        seed,
        reconstruction: quantised.then_some(arguments.reconstruction.name()),
    };
    let keeps_log = plan.logs.contains(method) && part.seeds.first() == Some(&seed);
    Ok(Entry { key, keeps_log, arguments })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::BTreeSet;

    use super::*;

    fn entries(study: &str) -> Vec<Entry> {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results");
        Plan::read(&results.join(study).join("plan.json")).unwrap().entries().unwrap()
    }

    #[test]
    fn the_plans_of_the_repository_name_every_run_once() {
        for study in ["otaro", "teachers"] {
            let entries = entries(study);
            let keys: BTreeSet<_> = entries.iter().map(|entry| &entry.key).collect();
            assert_eq!(keys.len(), entries.len(), "{study}");
            for Entry { key, arguments, .. } in &entries {
                let settings = arguments.strategy.settings(arguments.seed, arguments.steps);
                assert!(key.method == "none" || settings.check().is_ok(), "{study}: {key}");
            }
        }
    }

    #[test]
    fn flags_of_a_method_and_of_a_part_replace_the_common_ones() {
        let entries = entries("teachers");
        let steps = |method: &str| {
            let entry = entries.iter().find(|entry| entry.key.method == method).unwrap();
            (entry.arguments.steps, entry.arguments.optimizer.warmup, entry.arguments.batch)
        };
        assert_eq!(steps("fixed-M3"), (300, 30, 16));
        assert_eq!(steps("fixed-M3-sixth"), (50, 5, 16));
    }
}
