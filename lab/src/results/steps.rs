//! What plots need of the log of a run.

use anyhow::{Context, Result, ensure};
use otaro_trainer::{
    log::StepRow,
    strategy::{Width, text},
};
use sefp::Reconstruction;
use serde::{Deserialize, Serialize};

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its number, from 1.
    pub number: u64,
    /// The width of its first pass.
    pub width: Width,
    /// The widths of its other passes.
    pub others: Vec<Width>,
    /// Mean cross-entropy at `width`, nats per token.
    pub loss: f32,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f32,
}

impl Step {
    /// The width of every pass.
    pub fn widths(&self) -> impl Iterator<Item = Width> {
        [self.width].into_iter().chain(self.others.iter().copied())
    }
}

/// The steps of a run, from the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSteps {
    /// As in the run's summary.
    pub model: String,
    /// As in the run's summary.
    pub dataset: String,
    /// As in the run's summary.
    pub method: String,
    /// As in the run's summary.
    pub seed: u64,
    /// As in the run's summary.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub trained_reconstruction: Option<Reconstruction>,
    /// One by one.
    #[serde(flatten)]
    pub steps: Steps,
}

/// Steps, stored by columns: a tenth of the log's size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Columns", into = "Columns")]
pub struct Steps(pub Vec<Step>);

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Columns {
    /// The widths of every step (`M8` or `M8+M3`), with spaces between the steps.
    widths: String,
    loss: Vec<f32>,
    gradient_norm: Vec<f32>,
}

impl From<&StepRow> for Step {
    fn from(row: &StepRow) -> Self {
        Self {
            number: row.step,
            width: row.width,
            others: row.others.clone(),
            loss: row.loss as f32,
            gradient_norm: row.gradient_norm as f32,
        }
    }
}

impl From<Steps> for Columns {
    fn from(Steps(steps): Steps) -> Self {
        let widths = |step: &Step| step.widths().map(|width| width.to_string()).collect::<Vec<_>>().join("+");
        Self {
            widths: steps.iter().map(widths).collect::<Vec<_>>().join(" "),
            loss: steps.iter().map(|step| step.loss).collect(),
            gradient_norm: steps.iter().map(|step| step.gradient_norm).collect(),
        }
    }
}

impl TryFrom<Columns> for Steps {
    type Error = anyhow::Error;

    fn try_from(Columns { widths, loss, gradient_norm }: Columns) -> Result<Self> {
        let widths: Vec<_> = widths.split_whitespace().collect();
        ensure!(
            widths.len() == loss.len() && loss.len() == gradient_norm.len(),
            "the steps have {} widths, {} losses and {} norms: as many of each belong there",
            widths.len(),
            loss.len(),
            gradient_norm.len()
        );
        let step = |(index, widths): (usize, &str)| -> Result<Step> {
            let mut widths = widths.split('+').map(str::parse);
            let width = widths.next().context("a step without a width")??;
            Ok(Step {
                number: index as u64 + 1,
                width,
                others: widths.collect::<Result<_>>()?,
                loss: loss[index],
                gradient_norm: gradient_norm[index],
            })
        };
        widths.into_iter().enumerate().map(step).collect::<Result<_>>().map(Self)
    }
}
