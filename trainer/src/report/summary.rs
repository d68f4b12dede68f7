//! The summary of one run: what the trainer writes and the report reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sefp::Reconstruction;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    atomic,
    strategy::{Width, text},
};

/// One run and its final evaluations. `none` is a run of no steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// Name of the model, as a folder.
    pub model: String,
    /// Name of the dataset, as a folder.
    pub dataset: String,
    /// Label of the method, as a folder: [`crate::strategy::Method::label`], for a variant with a suffix
    /// (`otaro-joined`).
    pub method: String,
    /// Seed of the order of the data and of the draws of the strategy.
    pub seed: u64,
    /// How codes were decoded during training; nothing where no weight was quantised.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub trained_reconstruction: Option<Reconstruction>,
    /// Every setting as text; what differs between methods becomes the table of variants.
    pub settings: BTreeMap<String, String>,
    /// Updates planned, accumulated ones included.
    pub steps: u64,
    /// Tokens scored in training; a second pass over the same text does not count.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Perplexities at the end.
    pub evaluations: Vec<Evaluation>,
    /// Passes at every width that was trained.
    pub path_counts: BTreeMap<Width, u64>,
    /// Revision of the source that trained it.
    pub revision: String,
}

/// A perplexity of the final weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// How codes were decoded; nothing at full width, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub reconstruction: Option<Reconstruction>,
    /// The width of the weights.
    pub width: Width,
    /// `exp` of the mean negative log-likelihood, 1 or more.
    pub perplexity: f64,
    /// Tokens that were predicted.
    pub tokens: u64,
}

impl RunSummary {
    /// Where it lies: `<model>/<dataset>/<method>/seed-<n>.json`, with `-truncate` before the `.json` if it
    /// was trained with that reconstruction.
    pub fn relative_path(&self) -> PathBuf {
        relative_path([&self.model, &self.dataset, &self.method], self.seed, self.trained_reconstruction)
    }

    /// Checks it and writes it below the folder of the results. Returns the path of the file.
    ///
    /// # Errors
    /// As [`Self::check`], or the disk is full.
    pub fn write(&self, results: &Path) -> Result<PathBuf> {
        self.check()?;
        write(self, &results.join(self.relative_path()))
    }

    /// The perplexity at a width, decoded one way.
    pub fn perplexity(&self, reconstruction: Reconstruction, width: Width) -> Option<f64> {
        let wanted = (width != Width::Full).then_some(reconstruction);
        let found = self.evaluations.iter().find(|it| it.reconstruction == wanted && it.width == width);
        found.map(|evaluation| evaluation.perplexity)
    }

    /// # Errors
    /// Names the field that contradicts its description.
    pub fn check(&self) -> Result<()> {
        for (field, name) in [("model", &self.model), ("dataset", &self.dataset), ("method", &self.method)] {
            check_name(field, name)?;
        }
        ensure!(!self.revision.is_empty(), "the revision is empty");
        ensure!(self.seconds.is_finite() && self.seconds >= 0.0, "seconds is {}", self.seconds);
        let passes: u64 = self.path_counts.values().sum();
        ensure!(
            (self.steps..=2 * self.steps).contains(&passes),
            "path_counts has {passes} passes for {} steps; there are one or two a step",
            self.steps
        );
        ensure!(!self.evaluations.is_empty(), "there are no evaluations");
        let mut seen = BTreeSet::new();
        for evaluation in &self.evaluations {
            evaluation.check().with_context(|| format!("the evaluation at {}", evaluation.width))?;
            let key = (evaluation.reconstruction.map(Reconstruction::name), evaluation.width);
            ensure!(seen.insert(key), "there are two evaluations at {} {}", key.1, key.0.unwrap_or_default());
        }
        Ok(())
    }
}

impl Evaluation {
    fn check(&self) -> Result<()> {
        let Self { reconstruction, width, perplexity, tokens } = self;
        ensure!(perplexity.is_finite() && *perplexity >= 1.0, "the perplexity is {perplexity}");
        ensure!(*tokens > 0, "no token was predicted");
        ensure!(
            reconstruction.is_none() == (*width == Width::Full),
            "quantised weights have a reconstruction, others have none"
        );
        Ok(())
    }
}

/// Where the results of a model, a dataset and a method with some seed lie.
pub fn relative_path(names: [&str; 3], seed: u64, reconstruction: Option<Reconstruction>) -> PathBuf {
    let file = match reconstruction {
        Some(Reconstruction::Truncate) => format!("seed-{seed}-truncate.json"),
        _ => format!("seed-{seed}.json"),
    };
    names.iter().collect::<PathBuf>().join(file)
}

/// A name that is a folder on every file system and a part of a link.
pub(super) fn check_name(field: &str, name: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    ensure!(
        name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(allowed),
        "{field} is '{name}'; it must be letters, digits, '-', '_' and '.', and start with a letter or digit"
    );
    Ok(())
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what its place says", path.display()))
}

pub(super) fn write(value: &impl Serialize, path: &Path) -> Result<PathBuf> {
    atomic::write(path, &(serde_json::to_string_pretty(value)? + "\n"))?;
    Ok(path.to_path_buf())
}
