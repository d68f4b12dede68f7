//! What an evaluation prints.

use std::{
    io::{self, Write, stdout},
    path::PathBuf,
};

use otaro::{Model, Precision, Reconstruction};
use serde::Serialize;

use super::perplexity::{Measured, Windows};

/// All results of one call.
#[derive(Serialize)]
pub struct Report {
    model: PathBuf,
    context: usize,
    windows: usize,
    pub rows: Vec<Row>,
}

/// One precision with one reconstruction.
#[derive(Serialize)]
pub struct Row {
    /// `E5M3` to `E5M8`, or `f32` for the unquantised reference.
    precision: String,
    bits_per_weight: f64,
    reconstruction: Option<&'static str>,
    device: String,
    perplexity: f64,
    mean_negative_log_likelihood: f64,
    scored_tokens: usize,
    tokens_per_second: f64,
}

impl Row {
    /// Without a reconstruction it is the unquantised reference.
    pub fn new(
        model: &Model,
        precision: Precision,
        reconstruction: Option<Reconstruction>,
        measured: &Measured,
    ) -> Self {
        let quantised = reconstruction.is_some();
        Self {
            precision: if quantised { precision.to_string() } else { "f32".to_string() },
            bits_per_weight: if quantised { precision.bits_per_weight() } else { 32.0 },
            reconstruction: reconstruction.map(Reconstruction::name),
            device: model.device_info().to_string(),
            perplexity: measured.mean_negative_log_likelihood.exp(),
            mean_negative_log_likelihood: measured.mean_negative_log_likelihood,
            scored_tokens: measured.scored_tokens,
            tokens_per_second: measured.scored_tokens as f64 / measured.time.as_secs_f64(),
        }
    }
}

impl Report {
    pub fn new(model: PathBuf, windows: &Windows) -> Self {
        Self { model, context: windows.context, windows: windows.count(), rows: Vec::new() }
    }

    /// Prints a table, or JSON.
    pub fn print(&self, json: bool) -> io::Result<()> {
        let mut out = stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        writeln!(out, "{}: {} windows of {} tokens", self.model.display(), self.windows, self.context)?;
        let mut device = "";
        for row in &self.rows {
            if row.device != device {
                device = &row.device;
                writeln!(out, "\n{device}\nprecision  bits/weight  reconstruction  perplexity  tokens/s")?;
            }
            writeln!(
                out,
                "{:<9}  {:>11.3}  {:<14}  {:>10.4}  {:>8.0}",
                row.precision,
                row.bits_per_weight,
                row.reconstruction.unwrap_or("-"),
                row.perplexity,
                row.tokens_per_second
            )?;
        }
        Ok(())
    }
}
