//! The two kinds of rows.

use std::{fmt::Display, str::FromStr};

use anyhow::{Context, Result, anyhow, ensure};
use sefp::Reconstruction;

use super::Row;
use crate::strategy::Width;

/// One step of training.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Steps done, this one included.
    pub step: u64,
    /// The width of its first pass.
    pub width: Width,
    /// The widths of its other passes.
    pub others: Vec<Width>,
    /// Mean cross-entropy at `width`, nats per token.
    pub loss: f64,
    /// Mean cross-entropy at each of the others, nats per token.
    pub other_losses: Vec<f64>,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Euclidean norm of the step's gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens of the step.
    pub tokens: u64,
    /// Seconds that the step took.
    pub seconds: f64,
    /// The bandit's scores after the step, M3 first; nothing where there is none.
    pub scores: [Option<f64>; 6],
}

impl StepRow {
    /// The width of every pass.
    pub fn widths(&self) -> impl Iterator<Item = Width> {
        [self.width].into_iter().chain(self.others.iter().copied())
    }
}

impl Row for StepRow {
    const HEADER: &'static str = "step,width,others,loss,other_losses,learning_rate,gradient_norm,tokens,\
        seconds,score_m3,score_m4,score_m5,score_m6,score_m7,score_m8";

    fn step(&self) -> u64 {
        self.step
    }

    fn format(&self) -> Vec<String> {
        let mut fields = vec![
            self.step.to_string(),
            self.width.to_string(),
            list(&self.others),
            self.loss.to_string(),
            list(&self.other_losses),
            self.learning_rate.to_string(),
            self.gradient_norm.to_string(),
            self.tokens.to_string(),
            self.seconds.to_string(),
        ];
        fields.extend(self.scores.map(optional));
        fields
    }

    fn parse(fields: &mut Fields) -> Result<Self> {
        let mut row = Self {
            step: fields.next()?,
            width: fields.next()?,
            others: fields.list()?,
            loss: fields.next()?,
            other_losses: fields.list()?,
            learning_rate: fields.next()?,
            gradient_norm: fields.next()?,
            tokens: fields.next()?,
            seconds: fields.next()?,
            scores: [None; 6],
        };
        for score in &mut row.scores {
            *score = fields.optional()?;
        }
        Ok(row)
    }
}

/// One measured perplexity.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationRow {
    /// Steps done before it.
    pub step: u64,
    /// How codes were decoded; nothing for unquantised weights.
    pub reconstruction: Option<Reconstruction>,
    /// The width of the weights.
    pub width: Width,
    /// `exp` of the mean negative log-likelihood, 1 or more.
    pub perplexity: f64,
    /// Tokens that were predicted.
    pub tokens: u64,
}

impl Row for EvaluationRow {
    const HEADER: &'static str = "step,reconstruction,width,perplexity,tokens";

    fn step(&self) -> u64 {
        self.step
    }

    fn format(&self) -> Vec<String> {
        vec![
            self.step.to_string(),
            optional(self.reconstruction),
            self.width.to_string(),
            self.perplexity.to_string(),
            self.tokens.to_string(),
        ]
    }

    fn parse(fields: &mut Fields) -> Result<Self> {
        Ok(Self {
            step: fields.next()?,
            reconstruction: fields.optional()?,
            width: fields.next()?,
            perplexity: fields.next()?,
            tokens: fields.next()?,
        })
    }
}

fn optional(value: Option<impl Display>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn list(values: &[impl Display]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The fields of a line, to be read from left to right.
pub struct Fields<'a> {
    /// Name and text of each.
    rest: std::vec::IntoIter<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(header: &'a str, line: &'a str) -> Result<Self> {
        let (names, texts): (Vec<_>, Vec<_>) = (header.split(',').collect(), line.split(',').collect());
        ensure!(names.len() == texts.len(), "{} fields where there must be {}", texts.len(), names.len());
        let fields: Vec<_> = names.into_iter().zip(texts).collect();
        Ok(Self { rest: fields.into_iter() })
    }

    /// The next field.
    ///
    /// # Errors
    /// Names the column and its text.
    #[expect(clippy::should_implement_trait, reason = "every call chooses its own type")]
    pub fn next<T: FromStr<Err: Display>>(&mut self) -> Result<T> {
        let (name, text) = self.rest.next().context("the line ends too early")?;
        parse(name, text)
    }

    /// The next field, any number of values with spaces between them.
    ///
    /// # Errors
    /// Names the column and the value.
    pub fn list<T: FromStr<Err: Display>>(&mut self) -> Result<Vec<T>> {
        let (name, text) = self.rest.next().context("the line ends too early")?;
        text.split_whitespace().map(|text| parse(name, text)).collect()
    }

    /// The next field, which may be empty.
    ///
    /// # Errors
    /// Names the column and its text.
    pub fn optional<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>> {
        if self.rest.as_slice().first().is_some_and(|(_, text)| text.is_empty()) {
            self.rest.next();
            return Ok(None);
        }
        self.next().map(Some)
    }
}

fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error| anyhow!("{name} '{text}': {error}"))
}
