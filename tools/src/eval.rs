//! `otaro eval`: what every precision costs, in perplexity, divergence and answers.

mod arguments;
mod plot;
mod report;
mod subjects;
mod tasks;
mod texts;

use std::{
    io::{Write, stdout},
    path::Path,
};

use anyhow::Context;
use otaro::CancelToken;
use otaro_eval::BosPolicy;
use serde_json::json;

pub use self::arguments::Arguments;
use self::{
    report::{Report, Row},
    subjects::{Candidate, Subject, check_vocabularies},
    tasks::Questions,
    texts::TextSource,
};
use crate::{files, progress};

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cancel = progress::cancel_on_interrupt()?;
    let subjects = arguments.models.iter().map(Subject::open).collect::<anyhow::Result<Vec<_>>>()?;
    let reference = arguments.reference.as_deref().map(|folder| Subject::open_folder(folder, None));
    let reference = reference.transpose()?;
    let all: Vec<&Subject> = subjects.iter().chain(&reference).collect();
    check_vocabularies(&all)?;
    let text = TextSource::open(arguments, &all)?;
    let questions = Questions::open(arguments, &all)?;
    let models = Models::load(arguments, &subjects, reference.as_ref())?;
    measure(arguments, models, text, &questions, &cancel)
}

/// The models with their weights.
pub struct Models {
    pub reference: Option<Candidate>,
    pub candidates: Vec<Candidate>,
}

impl Models {
    fn load(
        arguments: &Arguments,
        subjects: &[Subject],
        reference: Option<&Subject>,
    ) -> anyhow::Result<Self> {
        let mut candidates = Vec::new();
        for subject in subjects {
            candidates.extend(subject.candidates(arguments)?);
        }
        let reference = reference.map(|subject| subject.candidates(arguments)).transpose()?;
        Ok(Self { reference: reference.and_then(|mut candidates| candidates.pop()), candidates })
    }

    /// The reference first, if it is a model.
    fn all(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.reference.iter_mut().chain(&mut self.candidates)
    }
}

/// Measures everything that was asked for. Hours of work are not thrown away: what is finished is printed,
/// whatever came between.
fn measure(
    arguments: &Arguments,
    mut models: Models,
    text: Option<TextSource>,
    questions: &Questions,
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let mut report = Report { conditions: Vec::new(), fields: Vec::new(), rows: Vec::new() };
    report.rows.extend(models.reference.iter().map(|reference| Row::new(reference.label.clone(), true)));
    report.rows.extend(models.candidates.iter().map(|candidate| Row::new(candidate.label.clone(), false)));
    let names: Vec<_> = arguments.models.iter().map(|model| model.path.display().to_string()).collect();
    report.fields.push(("models", json!(names)));
    let result = match text {
        Some(text) => text.measure(arguments, &mut models, &mut report, cancel),
        None => Ok(()),
    };
    let result = result.and_then(|()| questions.measure(&mut models, &mut report, cancel));
    let finished = report.rows.iter().any(|row| !row.figures.is_empty());
    if result.is_ok() || finished {
        publish(arguments, &report)?;
    }
    result
}

/// Prints the report, or writes it where it is to go.
fn publish(arguments: &Arguments, report: &Report) -> anyhow::Result<()> {
    if let Some(path) = &arguments.plot {
        write_file(path, plot::draw(report)?.as_bytes())?;
    }
    let mut bytes = Vec::new();
    report.write(&mut bytes, arguments.format)?;
    if let Some(path) = &arguments.out {
        match write_file(path, &bytes) {
            Ok(()) => return Ok(()),
            // It is printed after all, not lost.
            Err(error) => {
                stdout().write_all(&bytes)?;
                return Err(error);
            }
        }
    }
    Ok(stdout().write_all(&bytes)?)
}

/// What was done about BOS, in words.
fn describe_bos(policy: BosPolicy, bos: Option<u32>) -> String {
    match bos {
        Some(bos) => format!("each after BOS {bos} (--bos {policy})"),
        None => format!("no BOS (--bos {policy})"),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    files::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
