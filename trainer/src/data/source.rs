//! Files of a training mix, and how often each of them counts.

use std::{path::PathBuf, str::FromStr};

use anyhow::{Context, Result, bail, ensure};

use super::{Encoder, Example, order, read, reader::Format};

/// A file of training data and its share in the mix.
///
/// Written as `PATH` or `PATH:REPEAT` on the command line: `chats.jsonl:3`, `stories.txt.zst:0.5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The file, of a kind that [`read`] knows.
    pub path: PathBuf,
    /// How often each document counts in an epoch; greater than 0. Of a part of a repetition, a
    /// random choice of the documents is taken.
    pub repeat: f64,
}

impl FromStr for Source {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "the name of a data file is empty");
        let whole = || Self { path: PathBuf::from(text), repeat: 1.0 };
        let Some((path, repeat)) = text.rsplit_once(':') else { return Ok(whole()) };
        let Ok(repeat) = repeat.trim().parse::<f64>() else {
            // The colon belongs to the name, as in `C:\data.txt`, unless the name is complete before it.
            if Format::of(path.as_ref()).is_ok() {
                bail!("{text}: `{repeat}` is not a number; write FILE:REPEAT, as in chats.jsonl:3");
            }
            return Ok(whole());
        };
        ensure!(!path.is_empty(), "{text}: the name of the file is missing");
        ensure!(
            repeat.is_finite() && repeat > 0.0,
            "{text}: the number of repetitions must be greater than 0, not {repeat}"
        );
        Ok(Self { path: path.into(), repeat })
    }
}

/// Reads and encodes the files of a mix, each as often as it says. `seed` chooses the documents of
/// a part of a repetition.
///
/// # Errors
/// As [`read`] and [`Encoder::encode`], with the file; if nothing is left of a file.
pub fn encode_sources(sources: &[Source], encoder: &Encoder, seed: u64) -> Result<Vec<Example>> {
    let mut mix = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let documents = read(&source.path)?;
        let examples = encoder.encode(&documents).with_context(|| source.path.display().to_string())?;
        let before = mix.len();
        mix.extend(repeat(&examples, source.repeat, seed.wrapping_add(number as u64)));
        ensure!(
            mix.len() > before,
            "{}: nothing is left of {} documents at {} repetitions",
            source.path.display(),
            documents.len(),
            source.repeat
        );
    }
    Ok(mix)
}

/// Every example `times` times; of the fraction, a random choice in its order.
fn repeat(examples: &[Example], times: f64, seed: u64) -> impl Iterator<Item = Example> {
    let part = (times.fract() * examples.len() as f64).round() as usize;
    let mut chosen = order::permutation("part", seed, 0, examples.len());
    chosen.truncate(part);
    chosen.sort_unstable();
    let whole = (0..times as usize).flat_map(move |_| examples).cloned();
    whole.chain(chosen.into_iter().map(move |index| examples[index as usize].clone()))
}
