//! What an evaluation prints.

use std::io::{self, Write};

use otaro::Reconstruction;
use otaro_eval::{
    Comparison, Estimate, Scores,
    task::{Answers, Task},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{arguments::Format, subjects::Label};
use crate::table::{self, Fields};

/// All results of one call.
pub struct Report {
    /// What was measured, in words.
    pub conditions: Vec<String>,
    /// The same as fields.
    pub fields: Vec<(&'static str, Value)>,
    pub rows: Vec<Row>,
}

/// One model, read in one way.
pub struct Row {
    pub label: Label,
    pub is_reference: bool,
    pub figures: Vec<Figure>,
}

/// A number that was measured, with the ends of its interval of 95 %.
pub struct Figure {
    /// In CSV and JSON; with `_low` and `_high` for the interval.
    pub name: String,
    /// In tables.
    title: String,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
    /// How a table shows it.
    style: Style,
}

#[derive(Clone, Copy)]
enum Style {
    Decimals(usize),
    Scientific,
    Percent,
    /// Not in tables.
    Hidden,
}

impl Figure {
    fn new(name: &str, title: &str, style: Style, value: f64) -> Self {
        Self { name: name.to_string(), title: title.to_string(), value, interval: None, style }
    }

    fn of(name: &str, title: &str, style: Style, estimate: Estimate) -> Self {
        Self { interval: Some(estimate.interval()), ..Self::new(name, title, style, estimate.mean) }
    }

    /// The exponential of a mean.
    fn exponential(name: &str, title: &str, style: Style, estimate: Estimate) -> Self {
        let interval = Some(estimate.interval().map(f64::exp));
        Self { interval, ..Self::new(name, title, style, estimate.mean.exp()) }
    }

    fn cell(&self) -> String {
        let number = |value: f64| match self.style {
            Style::Decimals(decimals) => format!("{value:.decimals$}"),
            Style::Percent => format!("{:.2}", value * 100.0),
            Style::Scientific | Style::Hidden => format!("{value:.2e}"),
        };
        match self.interval {
            Some([low, high]) => format!("{} ± {}", number(self.value), number((high - low) / 2.0)),
            None => number(self.value),
        }
    }
}

impl Row {
    pub fn new(label: Label, is_reference: bool) -> Self {
        Self { label, is_reference, figures: Vec::new() }
    }

    /// A figure by its name.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Adds what a text has shown.
    pub fn add_text(&mut self, scores: &Scores, comparison: Option<Comparison>) {
        let likelihood = scores.negative_log_likelihood();
        self.figures.extend([
            Figure::new("scored_tokens", "tokens", Style::Hidden, scores.tokens() as f64),
            Figure::exponential("perplexity", "perplexity", Style::Decimals(3), likelihood),
            Figure::of("negative_log_likelihood", "NLL", Style::Hidden, likelihood),
        ]);
        let Some(comparison) = comparison else { return };
        let Comparison { divergence, median_divergence, divergence_p99, agreement, log_ratio } = comparison;
        self.figures.extend([
            Figure::exponential("perplexity_ratio", "ratio", Style::Decimals(4), log_ratio),
            Figure::of("kl_divergence", "KL, nats", Style::Scientific, divergence),
            Figure::new("kl_divergence_median", "median", Style::Scientific, median_divergence),
            Figure::new("kl_divergence_p99", "99 %", Style::Scientific, divergence_p99),
            Figure::of("top1_agreement", "top-1, %", Style::Percent, agreement),
        ]);
    }

    /// Adds what questions have shown.
    pub fn add_task(&mut self, task: Task, answers: &Answers) {
        let (name, count) = (|what: &str| format!("{task}_{what}"), answers.right.len() as f64);
        self.figures.push(Figure::new(&name("questions"), "", Style::Hidden, count));
        let title = format!("{task}, %");
        self.figures.push(Figure::of(&name("accuracy"), &title, Style::Percent, answers.accuracy()));
        if task.is_normalised() {
            let title = format!("{task} normalised, %");
            let accuracy = answers.normalised_accuracy();
            self.figures.push(Figure::of(&name("accuracy_normalised"), &title, Style::Percent, accuracy));
        }
    }

    fn precision(&self) -> String {
        self.label.reading.as_ref().map_or("f32".to_string(), |reading| reading.profile.to_string())
    }

    /// All fields, those that only other rows have as null.
    fn fields(&self, figures: &[&Figure]) -> Fields {
        let label = &self.label;
        let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        let mut fields = vec![
            ("model".to_string(), json!(label.model)),
            ("reference".to_string(), json!(self.is_reference)),
            ("precision".to_string(), json!(self.precision())),
            (
                "reconstruction".to_string(),
                json!(label.reading.as_ref().map(|reading| reading.reconstruction.name())),
            ),
            ("bits_per_weight".to_string(), number(label.bits_per_weight)),
            ("bytes_per_token".to_string(), number(label.bytes_per_token)),
            ("device".to_string(), json!(label.device)),
        ];
        for known in figures {
            let figure = self.figure(&known.name);
            let is_count =
                figure.is_some_and(|figure| figure.interval.is_none() && figure.value.fract() == 0.0);
            let value = figure.map(|figure| figure.value);
            let value = if is_count { json!(value.map(|value| value as u64)) } else { number(value) };
            fields.push((known.name.clone(), value));
            if known.interval.is_some() {
                let interval = figure.and_then(|figure| figure.interval);
                fields.push((format!("{}_low", known.name), number(interval.map(|[low, _]| low))));
                fields.push((format!("{}_high", known.name), number(interval.map(|[_, high]| high))));
            }
        }
        Fields(fields)
    }
}

impl Report {
    /// Adds to a field that is a list.
    pub fn add_to_list(&mut self, name: &'static str, item: Value) {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, Value::Array(items))) => items.push(item),
            _ => self.fields.push((name, json!([item]))),
        }
    }

    /// Every figure that some row has, in order.
    fn figures(&self) -> Vec<&Figure> {
        let mut figures: Vec<&Figure> = Vec::new();
        for row in self.rows.iter().rev() {
            for (place, figure) in row.figures.iter().enumerate() {
                if !figures.iter().any(|known| known.name == figure.name) {
                    figures.insert(place.min(figures.len()), figure);
                }
            }
        }
        figures
    }

    /// Writes the report.
    pub fn write(&self, out: &mut impl Write, format: Format) -> io::Result<()> {
        let figures = self.figures();
        let records = || self.rows.iter().map(|row| row.fields(&figures)).collect::<Vec<_>>();
        match format {
            Format::Csv => table::csv(out, &records()),
            Format::Json => {
                #[derive(Serialize)]
                struct WithRows<'a> {
                    #[serde(flatten)]
                    fields: Fields,
                    rows: &'a [Fields],
                }
                let fields = self.fields.iter().map(|(name, value)| (name.to_string(), value.clone()));
                let fields = Fields(fields.collect());
                serde_json::to_writer_pretty(&mut *out, &WithRows { fields, rows: &records() })?;
                writeln!(out)
            }
            Format::Markdown => self.markdown(out, &figures),
        }
    }

    fn markdown(&self, out: &mut impl Write, figures: &[&Figure]) -> io::Result<()> {
        for line in &self.conditions {
            writeln!(out, "{line}")?;
        }
        let shown: Vec<_> = figures.iter().filter(|figure| !matches!(figure.style, Style::Hidden)).collect();
        let titles = shown.iter().map(|figure| figure.title.clone());
        let fixed = ["model", "precision", "bits/weight", "MB/token"].map(str::to_string);
        let header: Vec<_> = fixed.into_iter().chain(titles).collect();
        let rows: Vec<_> = self.rows.iter().map(|row| row.cells(&shown)).collect();
        writeln!(out)?;
        table::markdown(out, &header, &rows)?;
        writeln!(out, "\n±: half of an interval of 95 %")
    }
}

impl Row {
    fn cells(&self, figures: &[&&Figure]) -> Vec<String> {
        let label = &self.label;
        let or_dash = |value: Option<String>| value.unwrap_or("-".to_string());
        let reading = label.reading.as_ref().map(|reading| match reading.reconstruction {
            Reconstruction::Midpoint => reading.profile.to_string(),
            other => format!("{} {}", reading.profile, other.name()),
        });
        let fixed = [
            if self.is_reference { format!("{} (reference)", label.model) } else { label.model.clone() },
            reading.unwrap_or_else(|| self.precision()),
            or_dash(label.bits_per_weight.map(|bits| format!("{bits:.3}"))),
            or_dash(label.bytes_per_token.map(|bytes| format!("{:.1}", bytes / 1e6))),
        ];
        let figures = figures.iter().map(|known| or_dash(self.figure(&known.name).map(Figure::cell)));
        fixed.into_iter().chain(figures).collect()
    }
}
