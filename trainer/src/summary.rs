//! The summary of one run, `summary.json` in its folder.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use sefp::Reconstruction;
use serde::{Deserialize, Serialize};

use crate::strategy::{MATRYOSHKA, Width, text};

/// One run and its final evaluations. `none` is a run of no steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// Name of the model.
    pub model: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Label of the method: [`crate::strategy::Method::label`], for a variant with a suffix
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
    /// Passes, forward and backward, at every width that was trained.
    pub path_counts: BTreeMap<Width, u64>,
    /// Passes of a teacher beside them, forward only.
    #[serde(default)]
    pub teacher_passes: u64,
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
    /// Passes, forward and backward.
    pub fn passes(&self) -> u64 {
        self.path_counts.values().sum()
    }

    /// What it cost, in passes forward and backward: one that is forward only is a third of that.
    pub fn cost(&self) -> f64 {
        self.passes() as f64 + self.teacher_passes as f64 / 3.0
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
        let passes = self.passes();
        let most = MATRYOSHKA.len() as u64 * self.steps;
        ensure!(
            (self.steps..=most).contains(&passes),
            "path_counts has {passes} passes for {} steps; there are one to three a step",
            self.steps
        );
        ensure!(
            self.teacher_passes <= self.steps,
            "there are {} passes of a teacher in {} steps; there is one a step at most",
            self.teacher_passes,
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

/// Checks a name that is to be part of a file's name on every file system, and of a link.
///
/// # Errors
/// Names the field and says what a name is made of.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    ensure!(
        name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(allowed),
        "{field} is '{name}'; it must be letters, digits, '-', '_' and '.', and start with a letter or digit"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use sefp::Precision;

    use super::*;

    fn summary(trained: Option<Reconstruction>) -> RunSummary {
        let at = |reconstruction, width| Evaluation { reconstruction, width, perplexity: 9.1, tokens: 10 };
        let low = Width::At(Precision::E5M3);
        RunSummary {
            model: "tiny".to_string(),
            dataset: "plays".to_string(),
            method: "bps".to_string(),
            seed: 3,
            trained_reconstruction: trained,
            settings: BTreeMap::from([("batch".to_string(), "16".to_string())]),
            steps: 60,
            tokens: 600,
            seconds: 0.1 + 0.2,
            evaluations: vec![at(None, Width::Full), at(Some(Reconstruction::Midpoint), low)],
            path_counts: BTreeMap::from([(low, 60)]),
            teacher_passes: 0,
            revision: "abc".to_string(),
        }
    }

    #[test]
    fn summaries_read_back() {
        for trained in [None, Some(Reconstruction::Truncate)] {
            let text = serde_json::to_string(&summary(trained)).unwrap();
            assert_eq!(serde_json::from_str::<RunSummary>(&text).unwrap(), summary(trained));
        }
    }

    #[test]
    fn contradictions_are_named() {
        let refused = |change: &dyn Fn(&mut RunSummary), part: &str| {
            let mut summary = summary(Some(Reconstruction::Midpoint));
            summary.check().unwrap();
            change(&mut summary);
            let error = format!("{:#}", summary.check().unwrap_err());
            assert!(error.contains(part), "{error}");
        };
        refused(&|it| it.method = "../bps".to_string(), "method is '../bps'");
        refused(&|it| it.steps = 10, "60 passes for 10 steps");
        refused(&|it| it.teacher_passes = 61, "61 passes of a teacher");
        refused(&|it| it.evaluations[1].perplexity = f64::NAN, "the perplexity is NaN");
        refused(&|it| it.evaluations[0].reconstruction = Some(Reconstruction::Midpoint), "others have none");
        refused(&|it| it.evaluations.push(it.evaluations[1].clone()), "two evaluations at M3 midpoint");
    }
}
