//! The results of a study: a JSON-lines file that grows by a few lines with every run.
//!
//! A line is a [`Record`]. Lines are only ever added, under a lock, so a study that was interrupted goes
//! on, and several may fill one file. A last line without its end, torn by a crash, counts for nothing.

mod gradients;
mod steps;
#[cfg(test)]
mod tests;

use std::{
    fmt::{self, Display, Formatter},
    fs::{File, create_dir_all, read_to_string},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use otaro_trainer::summary::RunSummary;
use sefp::Reconstruction;
use serde::{Deserialize, Serialize};

pub use gradients::GradientAnalysis;
pub use steps::{RunSteps, Step, Steps};

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// A run and its final evaluations.
    Run(Box<RunSummary>),
    /// How the gradients of the widths differ.
    Gradients(Box<GradientAnalysis>),
    /// The steps of a run, of which plots are drawn.
    Steps(Box<RunSteps>),
}

/// What tells the results of a study apart. Ordered as reports list them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Name of the model.
    pub model: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Label of the method; `gradients` for an analysis.
    pub method: String,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the reconstruction in training; nothing where no weight was quantised.
    pub reconstruction: Option<&'static str>,
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { model, dataset, method, seed, reconstruction } = self;
        write!(f, "{model} on {dataset}, {method}, seed {seed}")?;
        reconstruction.map_or(Ok(()), |name| write!(f, ", {name}"))
    }
}

/// The method of an analysis of gradients.
pub const GRADIENTS: &str = "gradients";

impl Record {
    /// What it is the result of.
    pub fn key(&self) -> Key {
        let key = |names: [&String; 2], method: &str, seed, reconstruction: Option<Reconstruction>| {
            let [model, dataset] = names.map(Clone::clone);
            let reconstruction = reconstruction.map(Reconstruction::name);
            Key { model, dataset, method: method.to_string(), seed, reconstruction }
        };
        match self {
            Self::Run(it) => key([&it.model, &it.dataset], &it.method, it.seed, it.trained_reconstruction),
            Self::Gradients(it) => key([&it.model, &it.dataset], GRADIENTS, it.seed, Some(it.reconstruction)),
            Self::Steps(it) => key([&it.model, &it.dataset], &it.method, it.seed, it.trained_reconstruction),
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Run(run) => run.check(),
            Self::Gradients(analysis) => analysis.check(),
            Self::Steps(_) => Ok(()),
        }
    }
}

/// Where the results lie in the folder of a study.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("results.jsonl")
}

/// All records of a file, in their order; none where there is no file yet.
///
/// # Errors
/// Names file and line of what is no record or contradicts itself.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let record = |(number, line): (usize, &str)| {
        let record = || -> Result<Record> {
            let record: Record = serde_json::from_str(line)?;
            record.check().map(|()| record)
        };
        record().with_context(|| format!("{}:{}", path.display(), number + 1))
    };
    text[..complete(text.as_bytes())].lines().enumerate().map(record).collect()
}

/// Adds records to the end of a file, all of them or, when the disk is full, none.
///
/// # Errors
/// A record that contradicts itself; the file cannot be written. Names the path.
pub fn append(path: &Path, records: &[Record]) -> Result<()> {
    let mut lines = Vec::new();
    for record in records {
        record.check().with_context(|| format!("the result of {}", record.key()))?;
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    append_lines(path, &lines).with_context(|| format!("cannot add results to {}", path.display()))
}

fn append_lines(path: &Path, lines: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    // Released when the file is closed, by the end of the process too.
    file.lock()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = complete(&bytes) as u64;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    if let Err(error) = file.write_all(lines).and_then(|()| file.sync_all()) {
        // The error that counts is that of the write; what it left would be cut by the next one anyway.
        let _ = file.set_len(end);
        return Err(error.into());
    }
    Ok(())
}

/// The length of the lines that have an end.
fn complete(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)
}
