//! What a search found: a table for people, data for programs, a plot, profiles to pack.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use otaro::{Architecture, NamedProfiles, PrecisionProfile};
use serde::Serialize;

use super::{Arguments, ascent::Sensitivity, measure::Divergence, plot, state::write};
use crate::table;

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table in Markdown
    #[default]
    Md,
    /// An object
    Json,
}

/// A profile, and what it costs and loses.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// In the file of profiles; none for a precision.
    pub name: Option<String>,
    pub profile: PrecisionProfile,
    pub bits_per_weight: f64,
    pub bytes_per_token: u64,
    #[serde(flatten)]
    pub divergence: Divergence,
    /// Whether no other row has fewer bits and loses less.
    pub pareto: bool,
}

impl Row {
    pub fn new(
        profile: &PrecisionProfile,
        architecture: &Architecture,
        divergence: Divergence,
    ) -> anyhow::Result<Self> {
        let precisions = profile.resolve(architecture)?;
        let bits_per_weight = precisions.bits_per_weight(architecture);
        let name = match profile.uniform() {
            Some(_) => None,
            None => Some(format!("bits-{bits_per_weight:.2}").replace('.', "-")),
        };
        let bytes_per_token = precisions.bytes_per_token(architecture);
        Ok(Self {
            name,
            profile: profile.clone(),
            bits_per_weight,
            bytes_per_token,
            divergence,
            pareto: false,
        })
    }

    fn cells(&self) -> Vec<String> {
        let profile = self.profile.to_string();
        let (name, entries) = match &self.name {
            Some(name) => (name.clone(), profile),
            None => (profile, String::new()),
        };
        let Divergence { mean, standard_error, top1 } = self.divergence;
        vec![
            name,
            format!("{:.3}", self.bits_per_weight),
            format!("{:.1}", self.bytes_per_token as f64 / 1e6),
            format!("{mean:.4}"),
            format!("{standard_error:.4}"),
            format!("{:.1} %", 100.0 * top1),
            if self.pareto { "yes" } else { "" }.to_string(),
            entries,
        ]
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    model: PathBuf,
    reference: PathBuf,
    text: PathBuf,
    context: usize,
    windows: usize,
    budget: f64,
    /// By bits per weight.
    rows: Vec<Row>,
    sensitivities: Vec<Sensitivity>,
}

impl Report {
    pub fn new(arguments: &Arguments, sensitivities: &[Sensitivity], mut rows: Vec<Row>) -> Self {
        mark_pareto(&mut rows);
        Self {
            model: arguments.model.clone(),
            reference: arguments.reference.clone(),
            text: arguments.text.clone(),
            context: arguments.context,
            windows: arguments.windows,
            budget: arguments.budget,
            rows,
            sensitivities: sensitivities.to_vec(),
        }
    }

    pub fn print(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Md => out.write_all(&self.markdown()?),
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)
            }
        }
    }

    /// Writes everything into a folder: `pareto.md`, `pareto.json`, `pareto.svg`, and `profiles.json`, as
    /// `otaro pack --profile-file` takes it.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let mut profiles = NamedProfiles::default();
        for row in self.rows.iter().filter(|row| row.pareto) {
            if let Some(name) = &row.name {
                profiles.insert(name.clone(), row.profile.clone())?;
            }
        }
        write(&folder.join("pareto.md"), &self.markdown()?)?;
        write(&folder.join("pareto.json"), &serde_json::to_vec_pretty(self)?)?;
        write(&folder.join("pareto.svg"), plot::pareto(&self.rows)?.as_bytes())?;
        write(&folder.join("profiles.json"), &serde_json::to_vec_pretty(&profiles)?)
    }

    fn markdown(&self) -> io::Result<Vec<u8>> {
        let header = ["profile", "bits/weight", "MB/token", "KL, nats", "±", "top-1", "Pareto", "entries"];
        let mut text = Vec::new();
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        table::markdown(&mut text, &header.map(String::from), &rows)?;
        let (windows, context) = (self.windows, self.context);
        writeln!(
            text,
            "\nKL divergence from the unquantised model, and how often both hold the same token for the most probable \
             one: means over {} tokens ({windows} windows of {context}); ± is the standard error.",
            windows * (context - 1)
        )?;
        Ok(text)
    }
}

/// Sorts rows by bits and marks those that no other one beats. Of equal ones the first counts.
fn mark_pareto(rows: &mut Vec<Row>) {
    rows.sort_by(|a, b| {
        a.bits_per_weight.total_cmp(&b.bits_per_weight).then(a.divergence.mean.total_cmp(&b.divergence.mean))
    });
    let mut least = f64::INFINITY;
    for row in rows {
        row.pareto = row.divergence.mean < least;
        least = least.min(row.divergence.mean);
    }
}

#[cfg(test)]
mod tests {
    use otaro::pack::Shape;

    use super::*;

    #[test]
    fn rows_that_others_beat_are_not_on_the_front() {
        let architecture = &Shape::find("stories15m").expect("a known shape").architecture;
        let row = |text: &str, mean| {
            let profile: PrecisionProfile = text.parse().expect("a profile");
            let divergence = Divergence { mean, standard_error: 0.0, top1: 1.0 };
            Row::new(&profile, architecture, divergence).expect("of the model")
        };
        let mut rows =
            vec![row("5", 0.2), row("3", 0.9), row("4", 0.5), row("4,layers.0=5", 0.6), row("3,mlp=4", 0.4)];
        mark_pareto(&mut rows);
        let marks: Vec<_> = rows.iter().map(|row| (row.profile.to_string(), row.pareto)).collect();
        let expected =
            [("E5M3", true), ("3,mlp=4", true), ("E5M4", false), ("4,layers.0=5", false), ("E5M5", true)];
        assert_eq!(marks, expected.map(|(profile, pareto)| (profile.to_string(), pareto)));
        assert!(rows[1].name.as_ref().is_some_and(|name| name.starts_with("bits-4-")), "{:?}", rows[1].name);
        assert_eq!(rows[0].name, None);
    }
}
