//! The generator behind `docs/results/otaro.md`: numbers from the summaries of the runs, prose from a file
//! written by hand.
//!
//! The folder of the results holds, per run, `<model>/<dataset>/<method>/seed-<n>.json` ([`RunSummary`])
//! and, where it was kept, the log of its steps as `seed-<n>.steps.csv` beside it; per analysis,
//! `<model>/<dataset>/gradients/seed-<n>.json` ([`GradientAnalysis`]); and `discussion.md`. The same folder
//! gives the same bytes.

mod collect;
mod gradients;
mod methods;
mod perplexities;
mod statistics;
mod study;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::atomic;
pub use gradients::GradientAnalysis;
pub use summary::{Evaluation, RunSummary, relative_path};

/// A document and its plots.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The document, as Markdown.
    pub markdown: String,
    /// SVGs by their file name in the folder `plots`.
    pub plots: BTreeMap<String, String>,
}

/// Reads the results in a folder (`docs/results/otaro`).
///
/// # Errors
/// The folder has no results, or a file that contradicts itself, its place or another seed; names it.
pub fn generate(folder: &Path) -> Result<Report> {
    let studies = collect::collect(folder)?;
    ensure!(!studies.is_empty(), "there are no results in {}", folder.display());
    let name = folder.file_name().context("the folder of the results has no name")?.to_string_lossy();
    let mut report = Report { markdown: introduction(folder, &name)?, plots: BTreeMap::new() };
    for ((model, dataset), study) in &studies {
        study::write(
            &mut report,
            &name,
            &format!("{model} on {dataset}"),
            &format!("{model}-{dataset}"),
            study,
        )?;
    }
    report.markdown = report.markdown.trim_end().to_string() + "\n";
    Ok(report)
}

/// The title and the prose written by hand, if there is any yet.
fn introduction(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join("discussion.md");
    let discussion = match path.exists() {
        true => std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        false => String::new(),
    };
    Ok(format!(
        "<!-- Generated from the summaries in {name}/; edit {name}/discussion.md for the prose. -->\n\n\
         # OTARo: results\n\n{}\n\n",
        discussion.trim()
    ))
}

impl Report {
    /// Writes the document beside the folder (`docs/results/otaro.md`) and the plots into it. Returns the
    /// path of the document.
    ///
    /// # Errors
    /// The disk is full or a folder cannot be written; names the path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        for (name, svg) in &self.plots {
            atomic::write(&folder.join("plots").join(name), svg)?;
        }
        let document = folder.with_extension("md");
        atomic::write(&document, &self.markdown)?;
        Ok(document)
    }
}
