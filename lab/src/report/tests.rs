#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeMap, fs, path::Path};

use otaro_trainer::{
    strategy::{Method, Width},
    summary::{Evaluation, RunSummary},
};
use sefp::{Precision, Reconstruction};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::results::{GradientAnalysis, Record, RunSteps, Steps, append};

/// A run whose perplexity at a width is `base` plus a little for the seed and the width.
fn run(method: &str, seed: u64, base: f64, trained: Option<Reconstruction>) -> RunSummary {
    let mut evaluations =
        vec![Evaluation { reconstruction: None, width: Width::Full, perplexity: base, tokens: 1000 }];
    for reconstruction in Reconstruction::ALL {
        evaluations.extend(Precision::ALL.map(|precision| Evaluation {
            reconstruction: Some(reconstruction),
            width: Width::At(precision),
            perplexity: base + seed as f64 / 10.0 + f64::from(8 - precision.mantissa_bits()),
            tokens: 1000,
        }));
    }
    let steps = if method == "none" { 0 } else { 60 };
    RunSummary {
        model: "tiny".to_string(),
        dataset: "plays".to_string(),
        method: method.to_string(),
        seed,
        trained_reconstruction: trained,
        settings: BTreeMap::from([
            ("seed".to_string(), seed.to_string()),
            ("strategy.seed".to_string(), seed.to_string()),
            ("lambda".to_string(), if method == "bps" { "4" } else { "0" }.to_string()),
            ("batch".to_string(), "16".to_string()),
        ]),
        steps,
        tokens: steps * 4096,
        seconds: 90.0,
        evaluations,
        path_counts: if steps > 0 {
            BTreeMap::from([(Width::At(Precision::E5M3), steps)])
        } else {
            BTreeMap::new()
        },
        teacher_passes: 0,
        revision: "abc".to_string(),
    }
}

fn analysis(seed: u64) -> GradientAnalysis {
    let cosine = |row: usize, column: usize| 1.0 - 0.1 * row.abs_diff(column) as f64;
    GradientAnalysis {
        model: "tiny".to_string(),
        dataset: "plays".to_string(),
        seed,
        reconstruction: Reconstruction::Midpoint,
        batches: 8,
        cosine: std::array::from_fn(|row| std::array::from_fn(|column| cosine(row, column))),
        norm_error: std::array::from_fn(|width| width as f64 / 10.0),
        revision: "abc".to_string(),
    }
}

fn steps_of_bps() -> RunSteps {
    RunSteps {
        model: "tiny".to_string(),
        dataset: "plays".to_string(),
        method: "bps".to_string(),
        seed: 1,
        trained_reconstruction: Some(Reconstruction::Midpoint),
        steps: Steps::default(),
    }
}

fn add(folder: &Path, record: Record) {
    append(&results::path(folder), &[record]).unwrap();
}

fn add_run(folder: &Path, run: RunSummary) {
    add(folder, Record::Run(Box::new(run)));
}

/// Two seeds of four methods, one run with the other reconstruction, gradients, a log and prose.
fn study() -> TempDir {
    let root = tempdir().unwrap();
    let folder = root.path().join("otaro");
    let midpoint = Some(Reconstruction::Midpoint);
    for seed in [2, 1] {
        add_run(&folder, run(&Method::Fixed(Precision::E5M3).label(), seed, 10.0, midpoint));
        add_run(&folder, run("uniform", seed, 11.0, midpoint));
        add_run(&folder, run("bps", seed, 10.5, midpoint));
        add(&folder, Record::Gradients(Box::new(analysis(seed))));
    }
    add_run(&folder, run("none", 0, 100.0, None));
    add_run(&folder, run("uniform", 1, 12.0, Some(Reconstruction::Truncate)));
    add(&folder, Record::Steps(Box::new(steps_of_bps())));
    fs::write(folder.join("discussion.md"), "What held: *this*.\n").unwrap();
    root
}

fn generate_in(root: &TempDir) -> Report {
    generate(&root.path().join("otaro")).unwrap()
}

#[test]
fn the_document_has_every_part_in_order() {
    let root = study();
    let report = generate_in(&root);
    let parts = [
        "# OTARo: results",
        "What held: *this*.",
        "## tiny on plays",
        "### Perplexity, midpoint",
        "| method | seeds | full | M8 | M7 | M6 | M5 | M4 | M3 |",
        "| no tuning | 1 | 100.0 |",
        "| fixed M3 | 2 | **10.00 ± 0.00** | **10.15 ± 0.07** |",
        "| uniform | 2 | 11.00 ± 0.00 |",
        "| bps | 2 | 10.50 ± 0.00 |",
        "### Trained with midpoint, read with truncate",
        "(otaro/plots/tiny-plays-perplexity-midpoint.svg)",
        "### One checkpoint or one per width, midpoint",
        "| fixed M3 | – | – | – | – | – | 1.000 ± 0.000 | 1.000 | – |",
        "### Paths, midpoint",
        "| uniform | 0.0 ± 0.0 |",
        "### At equal steps, midpoint",
        "| 60 | bps | 60 | 13.04 ± 0.07 | 1.000 |",
        "| 60 | uniform | 60 |",
        "### At equal passes, midpoint",
        "### Variants, midpoint",
        "| method | lambda | steps | tokens | minutes | mean perplexity |",
        "| bps | `4` | 60 | 245760 | 1.5 |",
        "### Perplexity, truncate",
        "| uniform | 1 | **12.00** |",
        "### Direction of the gradients, midpoint",
        "| full | 1.000 ± 0.000 | 0.900 ± 0.000 |",
        "### Length of the gradients, midpoint",
        "### Run bps-seed-1",
        "(otaro/plots/tiny-plays-bps-seed-1-path.svg)",
    ];
    let mut rest = report.markdown.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no '{part}' in\n{rest}"));
        rest = &rest[at..];
    }
    assert!(!report.markdown.contains("| batch |") && !report.markdown.contains("\n\n\n"));
    assert_eq!(report.plots.len(), 5);
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let root = study();
    let folder = root.path().join("otaro");
    let first = generate_in(&root);
    let document = first.write(&folder).unwrap();
    assert_eq!(document, root.path().join("otaro.md"));
    assert_eq!(fs::read_to_string(&document).unwrap(), first.markdown);
    assert_eq!(generate_in(&root), first, "with its own plots in the folder");
}

#[test]
fn results_of_other_settings_and_twice_the_same_are_named() {
    let case = |spoil: &dyn Fn(&Path), part: &str| {
        let root = study();
        let folder = root.path().join("otaro");
        spoil(&folder);
        let error = format!("{:#}", generate(&folder).unwrap_err());
        assert!(error.contains(part) && error.contains("results.jsonl"), "{error}");
    };
    let other = || run("bps", 3, 9.0, Some(Reconstruction::Midpoint));
    let twice = |folder: &Path| (0..2).for_each(|_| add_run(folder, other()));
    case(&twice, "two results of tiny on plays, bps, seed 3, midpoint");
    let other_settings = |folder: &Path| {
        let mut other = other();
        other.settings.insert("lambda".to_string(), "5".to_string());
        add_run(folder, other);
    };
    case(&other_settings, "not seeds of one method");
    let empty = tempdir().unwrap();
    assert!(generate(empty.path()).unwrap_err().to_string().contains("no results"));
}

/// A run of some steps with passes at M3 and a teacher's beside them.
fn costing(method: &str, base: f64, [steps, passes, teacher]: [u64; 3]) -> RunSummary {
    let mut run = run(method, 1, base, Some(Reconstruction::Midpoint));
    (run.steps, run.teacher_passes) = (steps, teacher);
    run.path_counts = BTreeMap::from([(Width::At(Precision::E5M3), passes)]);
    run
}

#[test]
fn methods_are_compared_at_equal_cost() {
    let root = tempdir().unwrap();
    let folder = root.path().join("otaro");
    for precision in Precision::ALL {
        let label = Method::Fixed(precision).label();
        add_run(&folder, costing(&label, 10.0, [60, 60, 0]));
        add_run(&folder, costing(&format!("{label}-sixth"), 20.0, [10, 10, 0]));
    }
    add_run(&folder, costing("uniform", 11.0, [60, 60, 0]));
    add_run(&folder, costing("distilled", 10.9, [60, 100, 0]));
    add_run(&folder, costing("uniform-masters", 11.5, [26, 52, 26]));
    let text = generate_in(&root).markdown;
    let section = |heading: &str| {
        let start = text.find(heading).unwrap_or_else(|| panic!("no {heading} in {text}"));
        let body = &text[start + heading.len()..];
        body[..body.find("###").unwrap_or(body.len())].to_string()
    };
    // By the six of as many steps, which cost six times as much, and of a sixth of the steps.
    let against = section("### One checkpoint or one per width, midpoint");
    assert!(against.contains("| uniform |") && against.contains("| 6.0 x |"), "{against}");
    let six = section("### One checkpoint or six for the same passes, midpoint");
    assert!(six.contains("| uniform | 60 | 60 | 10 | 60 | 0.552 |"), "{six}");
    assert!(six.contains("| uniform-masters | 26 | 61 | 10 | 60 |") && !six.contains("distilled"), "{six}");
    let steps = section("### At equal steps, midpoint");
    let place = |text: &str, part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"));
    assert!(place(&steps, "| 60 | distilled | 100 |") < place(&steps, "| 60 | uniform | 60 |"), "{steps}");
    let passes = section("### At equal passes, midpoint");
    assert!(
        place(&passes, "| 60 | uniform | 60 |") < place(&passes, "| 61 | uniform-masters | 26 |"),
        "{passes}"
    );
    assert!(!steps.contains("masters") && !passes.contains("distilled") && !passes.contains("fixed"));
}
