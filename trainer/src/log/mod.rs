//! The log of a run: CSV files that grow by a row and survive an interruption.
//!
//! One file for the steps ([`StepRow`]) and one for the evaluations ([`EvaluationRow`]). A field is a
//! number, a name without commas, some of them with spaces between, or empty; nothing is ever quoted.

mod rows;
#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions, read_to_string},
    io::Write,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::atomic;
pub use rows::{EvaluationRow, Fields, StepRow};

/// A line of a log.
pub trait Row: Sized {
    /// The first line of the file.
    const HEADER: &'static str;

    /// The step it belongs to, counted from 1; 0 is before the first step.
    fn step(&self) -> u64;

    /// The text of every column.
    fn format(&self) -> Vec<String>;

    /// # Errors
    /// Names the column that cannot be read.
    fn parse(fields: &mut Fields) -> Result<Self>;
}

/// A log that rows can be added to.
#[derive(Debug)]
pub struct Log<R> {
    file: File,
    path: PathBuf,
    row: PhantomData<R>,
}

impl<R: Row> Log<R> {
    /// Continues after step `last`, and cuts the rows beyond it, which the resumed run writes again. With 0
    /// only what was measured before the first step remains; a file that is missing begins empty.
    ///
    /// # Errors
    /// The file is no such log or cannot be written.
    pub fn open(path: &Path, last: u64) -> Result<Self> {
        let mut text = format!("{}\n", R::HEADER);
        if path.exists() {
            for row in read::<R>(path)?.iter().filter(|row| row.step() <= last) {
                text += &line(row);
            }
        }
        atomic::write(path, &text)?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .with_context(|| format!("cannot append to {}", path.display()))?;
        Ok(Self { file, path: path.to_path_buf(), row: PhantomData })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The disk is full; names the path.
    pub fn append(&mut self, row: &R) -> Result<()> {
        self.file
            .write_all(line(row).as_bytes())
            .with_context(|| format!("cannot append to {}", self.path.display()))
    }
}

fn line<R: Row>(row: &R) -> String {
    row.format().join(",") + "\n"
}

/// All rows of a log. A last line without its end, torn by a crash, is left out.
///
/// # Errors
/// Names the file and, where it is not such a log, line and column.
pub fn read<R: Row>(path: &Path) -> Result<Vec<R>> {
    let text = read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(complete.lines()) {
        let parsed = if number == 1 { check_header::<R>(line).map(|()| None) } else { parse(line).map(Some) };
        rows.extend(parsed.with_context(|| format!("{}:{number}", path.display()))?);
    }
    Ok(rows)
}

fn check_header<R: Row>(line: &str) -> Result<()> {
    ensure!(line == R::HEADER, "the header is '{line}', not '{}'", R::HEADER);
    Ok(())
}

fn parse<R: Row>(line: &str) -> Result<R> {
    let mut fields = Fields::new(R::HEADER, line)?;
    R::parse(&mut fields)
}
