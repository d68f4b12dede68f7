#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{read_to_string, write};

use sefp::{Precision, Reconstruction};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::strategy::Width;

fn step(step: u64) -> StepRow {
    StepRow {
        step,
        width: Width::At(Precision::E5M8),
        others: [Precision::E5M4, Precision::E5M3].map(Width::At)[..step as usize % 3].to_vec(),
        loss: 1.0 / step as f64,
        other_losses: [0.1 + step as f64, 1.0 / 3.0][..step as usize % 3].to_vec(),
        learning_rate: 1e-3,
        gradient_norm: 0.7,
        tokens: 4096,
        seconds: 0.25,
        scores: [Some(0.1), None, Some(f64::INFINITY), None, None, Some(-3.0)],
    }
}

fn log_of_five() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("steps.csv");
    let mut log = Log::open(&path, 0).unwrap();
    (1..=5).for_each(|number| log.append(&step(number)).unwrap());
    (folder, path)
}

#[test]
fn rows_read_back_exactly() {
    let (_folder, path) = log_of_five();
    assert_eq!(read::<StepRow>(&path).unwrap(), (1..=5).map(step).collect::<Vec<_>>());
}

#[test]
fn evaluations_read_back_exactly() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("evaluations.csv");
    let row = |reconstruction, width| EvaluationRow {
        step: 0,
        reconstruction,
        width,
        perplexity: 11.31,
        tokens: 9,
    };
    let rows = [row(None, Width::Full), row(Some(Reconstruction::Truncate), Width::At(Precision::E5M4))];
    let mut log = Log::open(&path, 0).unwrap();
    rows.iter().for_each(|row| log.append(row).unwrap());
    assert_eq!(read::<EvaluationRow>(&path).unwrap(), rows);
}

#[test]
fn a_resumed_log_cuts_what_comes_again_and_a_torn_line() {
    let (_folder, path) = log_of_five();
    let whole = read_to_string(&path).unwrap();
    write(&path, format!("{whole}6,M8,,0.1")).unwrap();
    assert_eq!(read::<StepRow>(&path).unwrap().len(), 5);
    let mut log = Log::open(&path, 3).unwrap();
    assert_eq!(read::<StepRow>(&path).unwrap().len(), 3);
    (4..=5).for_each(|number| log.append(&step(number)).unwrap());
    assert_eq!(read_to_string(&path).unwrap(), whole);
}

#[test]
fn errors_name_file_line_and_column() {
    let (_folder, path) = log_of_five();
    let whole = read_to_string(&path).unwrap();
    let cases = [
        (whole.replacen("M8", "M9", 1), "steps.csv:2", "width 'M9'"),
        (whole.replacen(",4096", "", 2), "steps.csv:2", "14 fields where there must be 15"),
        (whole.replacen("loss", "los", 1), "steps.csv:1", "the header"),
    ];
    for (text, place, part) in cases {
        write(&path, text).unwrap();
        let error = format!("{:#}", read::<StepRow>(&path).unwrap_err());
        assert!(error.contains(place) && error.contains(part), "{error}");
    }
    let missing = format!("{:#}", read::<StepRow>(&path.with_file_name("none.csv")).unwrap_err());
    assert!(missing.contains("none.csv"), "{missing}");
}
