#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeMap, fs, thread};

use otaro_trainer::{strategy::Width, summary::Evaluation};
use sefp::Precision;
use tempfile::{TempDir, tempdir};

use super::*;

fn run(seed: u64) -> RunSummary {
    let evaluation =
        |reconstruction, width| Evaluation { reconstruction, width, perplexity: 9.1, tokens: 10 };
    let midpoint = Some(Reconstruction::Midpoint);
    RunSummary {
        model: "tiny".to_string(),
        dataset: "plays".to_string(),
        method: "bps".to_string(),
        seed,
        trained_reconstruction: midpoint,
        settings: BTreeMap::from([("batch".to_string(), "16".to_string())]),
        steps: 60,
        tokens: 600,
        seconds: 0.1 + 0.2,
        evaluations: vec![evaluation(None, Width::Full), evaluation(midpoint, Width::At(Precision::E5M3))],
        path_counts: BTreeMap::from([(Width::At(Precision::E5M3), 60)]),
        teacher_passes: 0,
        revision: "abc".to_string(),
    }
}

fn analysis() -> GradientAnalysis {
    let cosine = |row: usize, column: usize| 1.0 - 0.1 * row.abs_diff(column) as f64;
    GradientAnalysis {
        model: "tiny".to_string(),
        dataset: "plays".to_string(),
        seed: 1,
        reconstruction: Reconstruction::Truncate,
        batches: 8,
        cosine: std::array::from_fn(|row| std::array::from_fn(|column| cosine(row, column))),
        norm_error: std::array::from_fn(|width| width as f64 / 10.0),
        revision: "abc".to_string(),
    }
}

fn steps() -> RunSteps {
    let step = |number: u64, others: &[Precision]| Step {
        number,
        width: Width::At(Precision::E5M8),
        others: others.iter().copied().map(Width::At).collect(),
        loss: 1.0 / number as f32,
        gradient_norm: 0.7,
    };
    let RunSummary { model, dataset, method, seed, trained_reconstruction, .. } = run(1);
    let steps = Steps(vec![step(1, &[]), step(2, &[Precision::E5M4, Precision::E5M3]), step(3, &[])]);
    RunSteps { model, dataset, method, seed, trained_reconstruction, steps }
}

fn records() -> Vec<Record> {
    vec![
        Record::Steps(Box::new(steps())),
        Record::Run(Box::new(run(1))),
        Record::Gradients(Box::new(analysis())),
    ]
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = path(&folder.path().join("study"));
    (folder, path)
}

#[test]
fn records_read_back_exactly() {
    let (_folder, path) = file();
    assert_eq!(read(&path).unwrap(), []);
    append(&path, &records()[..2]).unwrap();
    append(&path, &records()[2..]).unwrap();
    assert_eq!(read(&path).unwrap(), records());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    let keys: Vec<_> = records().iter().map(|record| record.key().to_string()).collect();
    assert_eq!(keys[0], keys[1], "steps belong to their run");
    assert_eq!(keys[2], "tiny on plays, gradients, seed 1, truncate");
}

#[test]
fn a_torn_line_is_left_out_and_then_cut() {
    let (_folder, path) = file();
    append(&path, &records()).unwrap();
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in [1, second - 1, second, second + 1, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let left = read(&path).unwrap();
        assert_eq!(left, records()[..left.len()], "cut at {cut}");
        append(&path, &[records()[2].clone()]).unwrap();
        let expected: Vec<_> = left.into_iter().chain([records()[2].clone()]).collect();
        assert_eq!(read(&path).unwrap(), expected, "cut at {cut}");
    }
}

#[test]
fn several_studies_may_fill_one_file() {
    let (_folder, path) = file();
    thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            let add = move |seed| append(path, &[Record::Run(Box::new(run(seed)))]).unwrap();
            scope.spawn(move || (0..8).for_each(|number| add(8 * writer + number)));
        }
    });
    let mut seeds: Vec<_> = read(&path).unwrap().iter().map(|record| record.key().seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (0..32).collect::<Vec<_>>());
}

#[test]
fn what_is_no_record_or_contradicts_itself_is_named_with_its_line() {
    let (_folder, path) = file();
    append(&path, &records()).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let cases = [
        (whole.replacen("M8+M4", "M8+M9", 1), ":1", "'M9'"),
        (whole.replacen("[1.0,", "[", 1), ":1", "3 widths, 2 losses"),
        (whole.replacen("\"steps\":60", "\"steps\":200", 1), ":2", "60 passes for 200 steps"),
        (whole.replacen("\"kind\":\"run\"", "\"kind\":\"walk\"", 1), ":2", "walk"),
        (whole.replacen("\"batches\":8", "\"batches\":0", 1), ":3", "no batches"),
    ];
    for (text, line, part) in cases {
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains(&format!("results.jsonl{line}")) && error.contains(part), "{error}");
    }
    let mut wrong = analysis();
    wrong.cosine[0][1] = 0.2;
    let error = format!("{:#}", append(&path, &[Record::Gradients(Box::new(wrong))]).unwrap_err());
    assert!(error.contains("cosine of full and M8"), "{error}");
}
