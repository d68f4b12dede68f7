//! `otaro profile`: what it finds, what it keeps, and what becomes of a search that is interrupted.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use otaro::Architecture;
use otaro_tests::{
    huggingface::{self, Form},
    temporary_folder, tiny,
};
use serde_json::Value;
use tempfile::TempDir;

fn otaro() -> Command {
    Command::new(env!("CARGO_BIN_EXE_otaro"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The folder of a model with the packed file and a text.
fn model(architecture: &Architecture) -> (TempDir, PathBuf) {
    let folder = temporary_folder();
    huggingface::write(folder.path(), architecture, 21, &Form::default());
    let file = folder.path().join("tiny.sefp.safetensors");
    let packed = otaro().arg("pack").args([folder.path(), &file]).output().unwrap();
    assert!(packed.status.success(), "{}", text(&packed.stderr));
    let words: String = (0..400).map(|i| format!("w{} ", i * i * 7 % architecture.vocab_size)).collect();
    fs::write(folder.path().join("text.txt"), words).unwrap();
    (folder, file)
}

/// A search of the model in a folder, with its results in another one below it.
fn search(folder: &Path, out: &str, rest: &[&str]) -> Command {
    let mut command = otaro();
    command.arg("profile").arg(folder.join("tiny.sefp.safetensors"));
    command.arg("--reference").arg(folder).arg("--text").arg(folder.join("text.txt"));
    command.arg("--out").arg(folder.join(out)).args(["--device", "cpu", "--context", "20"]).args(rest);
    command
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_search_finds_profiles_that_can_be_packed() {
    let (folder, _file) = model(&tiny::irregular());
    let report =
        report(&search(folder.path(), "found", &["--budget", "5.5", "-o", "json"]).output().unwrap());
    let rows = report["rows"].as_array().unwrap();
    let of = |row: &Value, key: &str| row[key].as_f64().unwrap();
    assert!(rows.is_sorted_by(|a, b| of(a, "bits_per_weight") <= of(b, "bits_per_weight")));
    let found: Vec<_> = rows.iter().filter(|row| !row["name"].is_null()).collect();
    assert!(!found.is_empty() && rows.len() - found.len() == 6, "{report}");
    assert!(found.iter().all(|row| of(row, "bits_per_weight") <= 5.5 + 1e-9), "{report}");
    let uniform =
        |bits: u64| rows.iter().find(|row| row["profile"] == serde_json::json!({"all": bits})).unwrap();
    assert!(of(uniform(3), "mean") > of(uniform(5), "mean"));
    assert!(of(uniform(5), "mean") > of(uniform(8), "mean"));
    let best = found.iter().map(|row| of(row, "mean")).fold(f64::INFINITY, f64::min);
    assert!(best < of(uniform(4), "mean"), "5.5 bits where they count are worth more than 5.125: {report}");
    // Embedding, two blocks in each of two layers, head.
    assert_eq!(report["sensitivities"].as_array().unwrap().len(), 6);

    let out = folder.path().join("found");
    let table = fs::read_to_string(out.join("pareto.md")).unwrap();
    assert!(table.contains("| bits/weight |") && table.contains("4 windows of 20"), "{table}");
    assert!(fs::read_to_string(out.join("pareto.svg")).unwrap().contains("bits per weight"));
    let again = folder.path().join("again.sefp.safetensors");
    let pack = otaro()
        .arg("pack")
        .args([folder.path(), &again])
        .arg("--profile-file")
        .arg(out.join("profiles.json"))
        .output();
    assert!(pack.unwrap().status.success());
    let inspect = otaro().arg("inspect").arg(&again).output().unwrap();
    let name = found.iter().find(|row| row["pareto"] == true).unwrap()["name"].as_str().unwrap();
    assert!(text(&inspect.stdout).contains(name), "{}", text(&inspect.stdout));
}

#[test]
fn an_interrupted_search_goes_on_where_it_was() {
    let architecture = Architecture {
        hidden_size: 192,
        intermediate_size: 512,
        layers: 8,
        heads: 6,
        head_dim: 32,
        vocab_size: 512,
        ..tiny::irregular()
    };
    let (folder, _file) = model(&architecture);
    let rest = ["--budget", "4.8", "--windows", "16", "-o", "json"];
    let whole = search(folder.path(), "whole", &rest).output().unwrap();
    let state = folder.path().join("cut/state.json");
    let measured = || {
        let state = fs::read(&state).ok()?;
        let state: Value = serde_json::from_slice(&state).expect("at no time is there half a file");
        Some(state["measured"].as_object().unwrap().len())
    };
    let mut cut = search(folder.path(), "cut", &rest);
    let child = cut.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while measured() < Some(5) {
        assert!(start.elapsed() < Duration::from_secs(60), "no measurement");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The `kill` of the shell: a bare machine has no program of that name.
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let kept = measured().unwrap();
    let message = text(&output.stderr);
    assert!(message.contains(&format!("{kept} measurements are kept in")), "{message}");

    let (other, finished) = (search(folder.path(), "cut", &rest).output().unwrap(), measured().unwrap());
    assert!(kept < finished, "{kept} of {finished}");
    let (whole, other) = (report(&whole), report(&other));
    assert_eq!(whole["rows"], other["rows"]);
    assert_eq!(whole["sensitivities"], other["sensitivities"]);
}

#[test]
fn what_cannot_be_searched_is_said() {
    let (folder, file) = model(&tiny::irregular());
    let fails = |rest: &[&str]| {
        let output = search(folder.path(), "out", rest).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{rest:?}");
        text(&output.stderr)
    };
    for (rest, message) in [
        (&["--budget", "4"][..], "E5M3 everywhere takes 4.125, so give more"),
        (&["--budget", "NaN"], "so give more"),
        (&["--budget", "5", "--windows", "21"], "400 tokens are fewer than --windows 21 of --context 20"),
        (&["--budget", "5", "--windows", "0"], "--windows 0"),
        (&["--budget", "5", "--layers-together", "0"], "give 1 or more"),
    ] {
        let error = fails(rest);
        assert!(error.contains(message), "{rest:?}: {error}");
    }
    // Another text is another search.
    assert!(search(folder.path(), "out", &["--budget", "4.2"]).output().unwrap().status.success());
    let error = fails(&["--budget", "4.2", "--windows", "5"]);
    assert!(
        error.contains("state.json is of a search with another model, text, windows or device"),
        "{error}"
    );
    fs::write(folder.path().join("out/state.json"), "{").unwrap();
    let error = fails(&["--budget", "4.2"]);
    assert!(error.contains("state.json is not the state of a search: delete it"), "{error}");

    let (other, _file) = model(&tiny::regular());
    let mut command = otaro();
    command.arg("profile").arg(&file).arg("--reference").arg(other.path());
    command.arg("--text").arg(folder.path().join("text.txt")).args(["--budget", "5", "--context", "20"]);
    let output = command.arg("--out").arg(folder.path().join("new")).output().unwrap();
    assert!(text(&output.stderr).contains("is another model"), "{}", text(&output.stderr));
}
