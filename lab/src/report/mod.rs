//! The generator behind `docs/results/otaro.md`: numbers from the summaries of the runs, prose from a file
//! written by hand.
//!
//! The folder of a study holds `results.jsonl` ([`crate::results`]) and `discussion.md`. The same folder
//! gives the same bytes.

mod chapter;
mod collect;
mod costs;
mod methods;
mod perplexities;
mod statistics;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use otaro_trainer::atomic;

use crate::results;

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
/// The folder has no results, or one that contradicts itself or another seed; names its line.
pub fn generate(folder: &Path) -> Result<Report> {
    let path = results::path(folder);
    let studies = collect::collect(&path)?;
    ensure!(!studies.is_empty(), "there are no results in {}", path.display());
    let name = folder.file_name().context("the folder of the results has no name")?.to_string_lossy();
    let mut report = Report { markdown: introduction(folder, &name)?, plots: BTreeMap::new() };
    for ((model, dataset), study) in &studies {
        chapter::write(
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
        "<!-- Generated from {name}/results.jsonl; edit {name}/discussion.md for the prose. -->\n\n\
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
