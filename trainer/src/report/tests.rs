#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeMap, fs, path::Path};

use sefp::{Precision, Reconstruction};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    log::{Log, StepRow},
    strategy::{Method, Width},
};

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

/// Two seeds of four methods, one run with the other reconstruction, gradients, a log and prose.
fn results() -> TempDir {
    let root = tempdir().unwrap();
    let folder = root.path().join("otaro");
    let midpoint = Some(Reconstruction::Midpoint);
    run("none", 0, 100.0, None).write(&folder).unwrap();
    for seed in [1, 2] {
        run(&Method::Fixed(Precision::E5M3).label(), seed, 10.0, midpoint).write(&folder).unwrap();
        run("uniform", seed, 11.0, midpoint).write(&folder).unwrap();
        run("bps", seed, 10.5, midpoint).write(&folder).unwrap();
        analysis(seed).write(&folder).unwrap();
    }
    run("uniform", 1, 12.0, Some(Reconstruction::Truncate)).write(&folder).unwrap();
    Log::<StepRow>::open(&folder.join("tiny/plays/bps/seed-1.steps.csv"), 0).unwrap();
    fs::write(folder.join("discussion.md"), "What held: *this*.\n").unwrap();
    root
}

fn generate_in(root: &TempDir) -> Report {
    generate(&root.path().join("otaro")).unwrap()
}

#[test]
fn the_document_has_every_part_in_order() {
    let root = results();
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
        "| fixed M3 | – | – | – | – | – | 1.000 ± 0.000 | 1.000 |",
        "### Paths, midpoint",
        "| uniform | 0.0 ± 0.0 |",
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
    let root = results();
    let folder = root.path().join("otaro");
    let first = generate_in(&root);
    let document = first.write(&folder).unwrap();
    assert_eq!(document, root.path().join("otaro.md"));
    assert_eq!(fs::read_to_string(&document).unwrap(), first.markdown);
    assert_eq!(generate_in(&root), first, "with its own plots in the folder");
}

#[test]
fn summaries_read_back() {
    for summary in [run("none", 0, 9.0, None), run("bps", 3, 9.0, Some(Reconstruction::Truncate))] {
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<RunSummary>(&text).unwrap(), summary);
    }
}

#[test]
fn contradictions_are_named() {
    let valid = || run("bps", 1, 9.0, Some(Reconstruction::Midpoint));
    let folder = tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut RunSummary), part: &str| {
        let mut summary = valid();
        change(&mut summary);
        let error = format!("{:#}", summary.write(folder.path()).unwrap_err());
        assert!(error.contains(part), "{error}");
    };
    refused(&|it| it.method = "../bps".to_string(), "method is '../bps'");
    refused(&|it| it.steps = 29, "60 passes for 29 steps");
    refused(&|it| it.evaluations[1].perplexity = f64::NAN, "the perplexity is NaN");
    refused(&|it| it.evaluations[0].reconstruction = Some(Reconstruction::Midpoint), "have a reconstruction");
    refused(&|it| it.evaluations.push(it.evaluations[1].clone()), "two evaluations at M3 midpoint");
    let mut asymmetric = analysis(1);
    asymmetric.cosine[0][1] = 0.2;
    let error = asymmetric.check().unwrap_err().to_string();
    assert!(error.contains("cosine of full and M8"), "{error}");
}

#[test]
fn files_in_the_wrong_place_or_of_other_settings_are_named() {
    let case = |spoil: &dyn Fn(&Path), part: &str| {
        let root = results();
        let folder = root.path().join("otaro");
        spoil(&folder);
        let error = format!("{:#}", generate(&folder).unwrap_err());
        assert!(error.contains(part), "{error}");
    };
    let bps = "tiny/plays/bps/seed-1.json";
    let copy = |it: &Path| {
        fs::write(it.join("tiny/plays/bps/seed-9.json"), fs::read(it.join(bps)).unwrap()).unwrap()
    };
    case(&copy, "it belongs to");
    case(&|it| fs::write(it.join(bps), "{}").unwrap(), "seed-1.json");
    let other_settings = |it: &Path| {
        let mut other = run("bps", 3, 9.0, Some(Reconstruction::Midpoint));
        other.settings.insert("lambda".to_string(), "5".to_string());
        other.write(it).unwrap();
    };
    case(&other_settings, "not seeds of one method");
    let empty = tempdir().unwrap();
    assert!(generate(empty.path()).unwrap_err().to_string().contains("no results"));
}
