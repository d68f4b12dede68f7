//! What a search found: a table for people, data for programs, a plot, profiles to pack.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use otaro::{Architecture, NamedProfiles, PrecisionProfile};
use serde::Serialize;

use super::{
    Arguments,
    ascent::Sensitivity,
    measure::{Divergence, Sample},
    plot,
    state::write,
};

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
    pub fn new(
        arguments: &Arguments,
        sample: &Sample,
        sensitivities: &[Sensitivity],
        mut rows: Vec<Row>,
    ) -> Self {
        mark_pareto(&mut rows);
        Self {
            model: arguments.model.clone(),
            reference: arguments.reference.clone(),
            text: arguments.text.clone(),
            context: arguments.context,
            windows: sample.windows.len(),
            budget: arguments.budget,
            rows,
            sensitivities: sensitivities.to_vec(),
        }
    }

    pub fn print(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Md => write!(out, "{}", self.markdown()),
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
        write(&folder.join("pareto.md"), self.markdown().as_bytes())?;
        write(&folder.join("pareto.json"), &serde_json::to_vec_pretty(self)?)?;
        write(&folder.join("pareto.svg"), plot::pareto(&self.rows)?.as_bytes())?;
        write(&folder.join("profiles.json"), &serde_json::to_vec_pretty(&profiles)?)
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| profile | bits/weight | MB/token | KL, nats | ± | top-1 | Pareto | entries |\n\
             |---|---:|---:|---:|---:|---:|---|---|\n",
        );
        for row in &self.rows {
            let profile = row.profile.to_string();
            let (name, entries) = match &row.name {
                Some(name) => (name, profile.as_str()),
                None => (&profile, ""),
            };
            let (bits, megabytes) = (row.bits_per_weight, row.bytes_per_token as f64 / 1e6);
            let Divergence { mean, standard_error, top1 } = row.divergence;
            let pareto = if row.pareto { "yes" } else { "" };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {name} | {bits:.3} | {megabytes:.1} | {mean:.4} | {standard_error:.4} | {:.1} % | {pareto} | {entries} |",
                100.0 * top1
            );
        }
        let compared = self.windows * (self.context - 1);
        let _ = writeln!(
            text,
            "\nKL divergence from the unquantised model and agreement of the most probable token, mean over {compared} \
             tokens ({} windows of {}); ± is the standard error.",
            self.windows, self.context
        );
        text
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
