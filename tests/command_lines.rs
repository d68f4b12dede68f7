//! The `otaro` command as a user types it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use otaro::checkpoint::Section;
use otaro_tests::{
    huggingface::{self, Form},
    temporary_folder, tiny,
};
use serde_json::Value;
use tempfile::TempDir;

fn otaro(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_otaro")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a call that succeeds.
fn succeeds(arguments: &[&str]) -> String {
    let output = otaro(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Standard error of a call that fails with this status.
fn fails(arguments: &[&str], status: i32) -> String {
    let output = otaro(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// A Hugging Face folder and the file that the command packed from it.
fn packed() -> (TempDir, PathBuf) {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), 21, &Form::default());
    let file = folder.path().join("tiny.sefp.safetensors");
    succeeds(&["pack", folder.path().to_str().unwrap(), file.to_str().unwrap()]);
    (folder, file)
}

#[test]
fn packing_does_not_replace_a_file_unasked() {
    let (folder, file) = packed();
    let (folder, file) = (folder.path().to_str().unwrap(), file.to_str().unwrap());
    assert!(fails(&["pack", folder, file], 1).contains("--force"));
    succeeds(&["pack", folder, file, "--force", "--reconstruction", "truncate"]);
    assert!(succeeds(&["inspect", file]).contains("reconstruction truncate"));
    assert!(fails(&["pack", folder, file, "--reconstruction", "round"], 2).contains("midpoint or truncate"));
    assert!(fails(&["pack", "/nowhere", "/tmp/never"], 1).contains("/nowhere/config.json"));
}

#[test]
fn inspect_lists_sections_and_precisions_and_finds_damage() {
    let (_folder, file) = packed();
    let path = file.to_str().unwrap();
    let listing = succeeds(&["inspect", path, "--verify"]);
    for part in [
        "hidden 72",
        "6 heads of 10 (2 for keys and values)",
        "scaled by 8",
        "own head",
        "bit8",
        "intact",
        "9.125",
    ] {
        assert!(listing.contains(part), "{part}: {listing}");
    }
    let json: Value = serde_json::from_str(&succeeds(&["inspect", path, "--json"])).unwrap();
    assert_eq!(json["architecture"]["hidden_size"], 72);
    assert_eq!(json["precisions"][5]["complete"], true);
    assert_eq!(json["sections"][0]["state"], "present");

    let mut bytes = fs::read(&file).unwrap();
    let base = &json["sections"][Section::Base as usize];
    bytes[base["begin"].as_u64().unwrap() as usize] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert!(fails(&["inspect", path, "--verify"], 1).contains("damaged sections: base"));

    bytes.truncate(base["end"].as_u64().unwrap() as usize);
    fs::write(&file, &bytes).unwrap();
    let json: Value = serde_json::from_str(&succeeds(&["inspect", path, "--json"])).unwrap();
    let complete: Vec<_> =
        json["precisions"].as_array().unwrap().iter().map(|row| row["complete"].clone()).collect();
    assert_eq!(complete, [true, false, false, false, false, false]);
    assert!(fails(&["inspect", "/etc/passwd"], 1).contains("not a packed SEFP model"));
}

#[test]
fn eval_reads_text_and_tokens_and_says_what_it_cannot_do() {
    let (folder, file) = packed();
    let model = file.to_str().unwrap();
    let words: String = (0..200).map(|i| format!("w{} ", i * 7 % 99)).collect();
    let text_file = folder.path().join("text.txt");
    fs::write(&text_file, words).unwrap();
    let ids: Vec<u8> = (0..200).flat_map(|i| (i * 7 % 99_i32).to_le_bytes()).collect();
    let ids_file = folder.path().join("ids.safetensors");
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I32, vec![200], &ids).unwrap();
    safetensors::serialize_to_file([("ids", view)], None, &ids_file).unwrap();
    let tokens = format!("{}#ids", ids_file.display());

    let evaluate = |source: &[&str]| -> Value {
        let rest =
            ["--bits", "3,8", "--reconstruction", "both", "--context", "50", "--windows", "3", "--json"];
        serde_json::from_str(&succeeds(&[&["eval", model, "--device", "cpu"], source, &rest].concat()))
            .unwrap()
    };
    let by_text = evaluate(&["--text", text_file.to_str().unwrap()]);
    let by_tokens = evaluate(&["--tokens", &tokens]);
    assert_eq!(by_text["windows"], 3);
    let perplexities = |report: &Value| -> Vec<f64> {
        report["rows"].as_array().unwrap().iter().map(|row| row["perplexity"].as_f64().unwrap()).collect()
    };
    assert_eq!(perplexities(&by_text), perplexities(&by_tokens), "the same words are the same ids");
    assert_eq!(perplexities(&by_text).len(), 4);
    assert_eq!(by_text["rows"][0]["scored_tokens"], 3 * 49);

    let table = succeeds(&[
        "eval",
        model,
        "--tokens",
        &tokens,
        "--context",
        "20",
        "--device",
        "cpu",
        "--reference",
        folder.path().to_str().unwrap(),
    ]);
    assert!(table.contains("f32") && table.contains("E5M3"), "{table}");

    fails(&["eval", model], 2);
    let text_path = text_file.to_str().unwrap();
    for (arguments, message) in [
        (vec!["--tokens", "nothing"], "FILE.safetensors#NAME"),
        (vec!["--text", "/nowhere"], "/nowhere"),
        (vec!["--text", text_path, "--context", "301"], "must be 2 to 300"),
        (vec!["--text", text_path, "--context", "300"], "fewer than one window"),
        (vec!["--text", text_path, "--reconstruction", "round"], "midpoint or truncate, or both"),
        (vec!["--text", text_path, "--device", "abacus", "--json"], "auto, cpu or gpu"),
    ] {
        let error = otaro(&[&["eval", model], arguments.as_slice()].concat());
        assert!(!error.status.success());
        assert!(text(&error.stderr).contains(message), "{arguments:?}: {}", text(&error.stderr));
    }
}

#[test]
fn eval_refuses_a_precision_that_a_prefix_does_not_hold() {
    let (folder, file) = packed();
    let report: Value =
        serde_json::from_str(&succeeds(&["inspect", file.to_str().unwrap(), "--json"])).unwrap();
    let prefix = folder.path().join("prefix.sefp.safetensors");
    let needed = report["precisions"][1]["file_bytes"].as_u64().unwrap() as usize;
    fs::write(&prefix, &fs::read(&file).unwrap()[..needed]).unwrap();
    let words = folder.path().join("text.txt");
    fs::write(&words, "w1 w2 w3 ".repeat(20)).unwrap();
    let arguments = |bits: &'static str| -> Vec<String> {
        let of = |path: &Path| path.to_str().unwrap().to_string();
        let fixed = ["--context", "10", "--device", "cpu", "--bits", bits].map(String::from);
        [vec!["eval".to_string(), of(&prefix), "--text".to_string(), of(&words)], fixed.to_vec()].concat()
    };
    let run = |bits| otaro(&arguments(bits).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(run("3,4").status.success());
    let refused = text(&run("5").stderr);
    assert!(refused.contains("missing bit5") && refused.contains("use at most E5M4"), "{refused}");
}
