//! `otaro-lab` as its user runs it, on a model that trains in no time.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::Parser;
use otaro::CancelToken;
use otaro_lab::results::{self, Record};
use otaro_tests::{huggingface, tiny};
use otaro_trainer::{
    command::{RunArguments, run},
    train::Alone,
};
use tempfile::TempDir;

/// A model, a text and a plan.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("model")).unwrap();
        huggingface::write(&place.path("model"), &tiny::regular(), 7, &huggingface::Form::default());
        let words: Vec<_> = (0..2000).map(|index| format!("w{}", index * 5 % 127)).collect();
        let lines: Vec<_> = words.chunks(10).map(|words| words.join(" ")).collect();
        fs::write(place.path("text.txt"), lines.join("\n")).unwrap();
        fs::create_dir(place.path("study")).unwrap();
        place.plan(&["uniform", "gradients"], &[1]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn flags(&self) -> [String; 2] {
        let path = |name| self.path(name).display().to_string();
        let (model, data) = (path("model"), path("text.txt"));
        [format!("--model {model}"), format!("--data {data} --holdout 0.1 --eval-windows 2")]
    }

    fn plan(&self, methods: &[&str], seeds: &[u64]) {
        let [model, data] = self.flags();
        let plan = serde_json::json!({
            "common": "--length 16 --batch 2 --micro-batch 1 --steps 4 --warmup 1 --threads 1",
            "models": {"tiny": model},
            "datasets": {"words": data},
            "methods": {"uniform": "--method uniform", "fixed-M3": "--method fixed:3"},
            "logs": ["uniform"],
            "parts": [{"models": ["tiny"], "datasets": ["words"], "methods": methods, "seeds": seeds}],
        });
        fs::write(self.path("study/plan.json"), plan.to_string()).unwrap();
    }

    fn results(&self) -> Vec<Record> {
        results::read(&results::path(&self.path("study"))).unwrap()
    }
}

fn lab(words: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_otaro-lab")).args(words).arg(path).output().unwrap()
}

fn succeed(words: &[&str], path: &Path) -> String {
    let output = lab(words, path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
}

fn fail(words: &[&str], path: &Path) -> String {
    let output = lab(words, path);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    errors
}

#[test]
fn a_study_makes_what_is_missing_and_the_report_shows_it() {
    let place = Place::new();
    let study = place.path("study");
    let text = succeed(&["study"], &study);
    assert!(text.contains("[1/2] tiny on words, uniform, seed 1, midpoint"), "{text}");
    let [Record::Steps(steps), Record::Run(run), Record::Gradients(_)] = &place.results()[..] else {
        panic!("steps, run and gradients belong there: {:?}", place.results());
    };
    assert_eq!((steps.steps.0.len(), run.steps, run.method.as_str()), (4, 4, "uniform"));
    assert!(
        !run.settings.contains_key("data") && !run.settings.contains_key("start"),
        "paths of this machine"
    );
    // What is done is not done again, what was torn is.
    let first = fs::read(results::path(&study)).unwrap();
    fs::write(results::path(&study), &first[..first.len() - 1]).unwrap();
    place.plan(&["uniform", "gradients", "fixed-M3"], &[1]);
    let text = succeed(&["study"], &study);
    assert!(!text.contains("uniform") && text.contains("[2/3]") && text.contains("[3/3]"), "{text}");
    let again = fs::read(results::path(&study)).unwrap();
    assert!(again.starts_with(&first), "the same gradients");
    assert_eq!(place.results().len(), 4);
    let text = succeed(&["report"], &study);
    assert!(text.contains("study.md"), "{text}");
    let report = fs::read_to_string(place.path("study.md")).unwrap();
    assert!(report.contains("## tiny on words") && report.contains("### Run uniform-seed-1"), "{report}");
    assert!(study.join("plots/tiny-words-uniform-seed-1-path.svg").is_file());
}

#[test]
fn a_run_of_the_trainer_is_drawn() {
    let place = Place::new();
    let flags = place.flags().join(" ") + " --length 16 --batch 2 --steps 6 --method uniform --seed 3";
    let mut flags = Flags::try_parse_from((flags + " --out run").split(' ')).unwrap();
    flags.arguments.out = place.path("run");
    run(&flags.arguments, &Alone, &CancelToken::new()).unwrap();
    let out = place.path("run");
    let text = succeed(&["plot"], &out);
    for name in ["loss.svg", "gradient-norm.svg", "widths.svg"] {
        assert!(text.contains(name), "{text}");
        assert!(fs::read_to_string(out.join("plots").join(name)).unwrap().starts_with("<svg"), "{name}");
    }
    let text = fail(&["plot"], &place.path("nowhere"));
    assert!(text.contains("nowhere") && text.contains("steps.csv"), "{text}");
}

/// The flags of `otaro-train run`, which is not built for these tests.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Flags {
    #[command(flatten)]
    arguments: RunArguments,
}

#[test]
fn bad_plans_and_results_are_named() {
    let place = Place::new();
    let study = place.path("study");
    place.plan(&["otaro"], &[1]);
    assert!(fail(&["study"], &study).contains("no method 'otaro'"));
    fs::write(study.join("plan.json"), "{\"common\": 1}").unwrap();
    assert!(fail(&["study"], &study).contains("plan.json"));
    place.plan(&["uniform"], &[1]);
    fs::write(results::path(&study), "{}\n").unwrap();
    assert!(fail(&["study"], &study).contains("results.jsonl:1"));
    assert!(fail(&["report"], &study).contains("results.jsonl:1"));
    assert!(fail(&["report"], &place.path("model")).contains("no results"));
}
