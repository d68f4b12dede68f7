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
use serde_json::{Value, json};
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

/// The report of an evaluation that succeeds.
fn evaluated(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[arguments, &["--format", "json"]].concat())).unwrap()
}

/// A figure of every row.
fn figures(report: &Value, name: &str) -> Vec<f64> {
    report["rows"].as_array().unwrap().iter().map(|row| row[name].as_f64().unwrap()).collect()
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
        let rest = ["--bits", "3,8", "--reconstruction", "both", "--context", "50", "--windows", "3"];
        evaluated(&[&["eval", model, "--device", "cpu"], source, &rest].concat())
    };
    let by_text = evaluate(&["--text", text_file.to_str().unwrap()]);
    let by_tokens = evaluate(&["--tokens", &tokens]);
    assert_eq!(by_text["windows"], 3);
    let perplexities = |report: &Value| figures(report, "perplexity");
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
        (vec!["--text", text_path, "--device", "abacus"], "auto, cpu or gpu"),
        (vec!["--text", text_path, "--bos", "always"], "use --bos never"),
        (vec!["--task", "sudoku", "--task-data", "."], "arc_easy, arc_challenge"),
        (vec!["--task", "piqa", "--task-data", "/nowhere"], "piqa.validation.jsonl"),
    ] {
        let error = otaro(&[&["eval", model], arguments.as_slice()].concat());
        assert!(!error.status.success());
        assert!(text(&error.stderr).contains(message), "{arguments:?}: {}", text(&error.stderr));
    }
}

#[test]
fn eval_compares_with_the_unquantised_model_or_its_saved_logits() {
    let (folder, file) = packed();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let words: String = (0..120).map(|i| format!("w{} ", i * 7 % 99)).collect();
    fs::write(path("text.txt"), &words).unwrap();
    let (model, unquantised, logits) = (file.to_str().unwrap(), path(""), path("logits.safetensors"));
    let labelled = format!("{unquantised}@16");
    let text = path("text.txt");
    let common = ["--text", &text, "--context", "30", "--windows", "3", "--device", "cpu", "--bits", "8,3"];
    let with = |rest: &[&str]| evaluated(&[&["eval", model, &labelled], &common[..], rest].concat());

    let live = with(&["--reference", &unquantised, "--save-logits", &logits]);
    assert_eq!(live["rows"][0]["reference"], true);
    assert_eq!((&live["bos_policy"], &live["bos"]), (&Value::from("auto"), &Value::Null));
    let row = |report: &Value, index: usize, name: &str| report["rows"][index][name].as_f64().unwrap();
    assert!(row(&live, 1, "kl_divergence") < row(&live, 2, "kl_divergence"), "E5M8 is closer than E5M3");
    assert!(row(&live, 1, "perplexity_low") < row(&live, 1, "perplexity"));
    assert_eq!(row(&live, 3, "perplexity"), row(&live, 0, "perplexity"), "the same weights");
    assert_eq!(row(&live, 3, "kl_divergence"), 0.0);
    assert_eq!((row(&live, 3, "top1_agreement"), row(&live, 3, "perplexity_ratio")), (1.0, 1.0));
    assert_eq!(row(&live, 3, "bits_per_weight"), 16.0);

    let saved = with(&["--reference-logits", &logits]);
    assert_eq!(saved["rows"].as_array().unwrap().len(), 4);
    for index in 1..4 {
        assert_eq!(row(&saved, index, "perplexity"), row(&live, index, "perplexity"));
        let difference = row(&saved, index, "kl_divergence") - row(&live, index, "kl_divergence");
        assert!(difference.abs() < 1e-5, "{difference}");
    }

    fs::write(path("other.txt"), words.replace("w7 ", "w8 ")).unwrap();
    let other = path("other.txt");
    let common = ["eval", model, "--reference-logits", &logits, "--device", "cpu"];
    for (rest, message) in [
        (["--text", &other, "--context", "30", "--windows", "3"], "saved for another text"),
        (["--text", &text, "--context", "40", "--windows", "3"], "windows of 30 tokens, not 40"),
        (["--text", &text, "--context", "30", "--windows", "4"], "3 windows were saved, not of 4"),
    ] {
        let error = fails(&[&common[..], &rest].concat(), 1);
        assert!(error.contains(message) && error.contains("logits.safetensors"), "{error}");
    }
    fails(&["eval", model, "--text", &text, "--reference-logits", &logits, "--reference", &unquantised], 2);
    let error = fails(&["eval", model, "--text", &text, "--reference-logits", model], 1);
    assert!(error.contains("not a file of saved logits"), "{error}");

    let stranger = temporary_folder();
    huggingface::write(stranger.path(), &tiny::regular(), 1, &Form::default());
    let stranger = stranger.path().to_str().unwrap();
    let error = fails(&["eval", model, "--text", &text, "--reference", stranger], 1);
    assert!(error.contains("128 tokens") && error.contains("one of 99"), "{error}");
}

#[test]
fn eval_writes_every_format_and_a_plot() {
    let (folder, file) = packed();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("text.txt"), (0..60).map(|i| format!("w{} ", i * 5 % 99)).collect::<String>()).unwrap();
    let (text, unquantised, out, plot) = (path("text.txt"), path(""), path("out"), path("plot.svg"));
    let common = ["eval", file.to_str().unwrap(), "--text", &text, "--context", "20", "--device", "cpu"];
    let with = |rest: &[&str]| succeeds(&[&common[..], &["--reference", &unquantised], rest].concat());
    let table = with(&["--plot", &plot, "--profile", "4,head=8", "--bits", "3"]);
    assert!(table.contains("3 windows of 20 tokens, 19 of each scored, no BOS (--bos auto)"), "{table}");
    for part in ["| model", "(reference)", "E5M3", "4,head=8", "KL, nats", "top-1, %", " ± "] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let svg = fs::read_to_string(&plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("bits per weight") && svg.contains("KL divergence"));

    assert_eq!(with(&["--format", "csv", "--out", &out, "--bits", "3,5"]), "");
    let csv = fs::read_to_string(&out).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 4, "a header, the reference, two precisions");
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    let column = lines[0].iter().position(|&name| name == "kl_divergence").unwrap();
    assert_eq!(lines[1][column], "");
    assert!(lines[2][column].parse::<f64>().unwrap() > lines[3][column].parse::<f64>().unwrap());

    let nowhere = fails(&[&common[..], &["--out", "/nowhere/out", "--bits", "3"]].concat(), 1);
    assert!(nowhere.contains("/nowhere/out"), "{nowhere}");
}

#[test]
fn eval_begins_windows_as_it_is_told() {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), 21, &Form::default());
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"bos_token": "w1"}"#).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let words: String = (0..60).map(|i| format!("w{} ", i * 5 % 99)).collect();
    fs::write(path("text.txt"), &words).unwrap();
    fs::write(path("bom.txt"), format!("\u{feff}{words}")).unwrap();
    let model = path("");
    let run = |text: &str, bos: &str| {
        evaluated(&["eval", &model, "--text", &path(text), "--context", "20", "--bos", bos])
    };
    let (never, always) = (run("text.txt", "never"), run("text.txt", "always"));
    assert_eq!((&always["bos"], &never["bos"]), (&Value::from(1), &Value::Null));
    assert_ne!(figures(&always, "perplexity"), figures(&never, "perplexity"));
    // This tokenizer adds none by itself, and a byte-order mark is no text.
    for report in [run("text.txt", "auto"), run("bom.txt", "auto")] {
        assert_eq!(figures(&report, "perplexity"), figures(&never, "perplexity"));
    }
}

#[test]
fn eval_asks_multiple_choice_questions() {
    let (folder, file) = packed();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let question = |i: usize, query: &str| {
        let (a, b, gold) = (i * 3 % 99, i * 5 % 99, i % 2);
        format!("{{\"query\": \"{query}\", \"choices\": [\"w{a} w4\", \"w{b}\"], \"gold\": {gold}}}\n")
    };
    let lines = |query: &str| (1..=12).map(|i| question(i, query)).collect::<String>();
    fs::write(path("openbookqa.validation.jsonl"), lines("w7 w8 w9")).unwrap();
    fs::write(path("winogrande_xl.validation.jsonl"), lines("w7 _ w8 w9")).unwrap();
    let (model, data) = (file.to_str().unwrap(), path(""));
    let common = ["eval", model, &data, "--task-data", &data, "--device", "cpu", "--bits", "8,3"];
    let report = evaluated(&[&common[..], &["--task", "openbookqa,winogrande", "--limit", "10"]].concat());
    assert_eq!(report["rows"].as_array().unwrap().len(), 3);
    assert_eq!((&report["tasks"][0]["questions"], &report["tasks"][0]["truncated"]), (&10.into(), &0.into()));
    for name in ["openbookqa_accuracy", "openbookqa_accuracy_normalised", "winogrande_accuracy"] {
        for accuracy in figures(&report, name) {
            let tenths = accuracy * 10.0;
            assert!(
                (tenths - tenths.round()).abs() < 1e-9 && (0.0..=10.0).contains(&tenths),
                "{name} {tenths}"
            );
        }
        let low = figures(&report, &format!("{name}_low"));
        assert!(low.iter().zip(figures(&report, name)).all(|(low, accuracy)| *low <= accuracy));
    }
    assert!(report["rows"][0]["winogrande_accuracy_normalised"].is_null());
    assert!(report["rows"][0]["perplexity"].is_null());
    let table = succeeds(&[&common[..], &["--task", "winogrande"]].concat());
    assert!(table.contains("winogrande: 12 questions, no examples"), "{table}");

    fs::write(path("piqa.validation.jsonl"), format!("{}nonsense\n", question(1, "w5"))).unwrap();
    let error = fails(&[&common[..], &["--task", "piqa"]].concat(), 1);
    assert!(error.contains("piqa.validation.jsonl: line 2: it is no question"), "{error}");
    fails(&["eval", model, "--task", "piqa"], 2);
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

/// Arguments that measure a tiny random shape with as little work as can be.
fn bench(folder: &Path, rest: &[&str]) -> Vec<String> {
    let config = folder.join("config.json");
    fs::write(&config, tiny::irregular().to_huggingface().to_string()).unwrap();
    let of = |path: &Path| path.to_str().unwrap().to_string();
    let fixed = ["bench", "--shape", &of(&config), "--cache", &of(folder), "--device", "cpu", "--probe", "1"];
    fixed.iter().chain(rest).map(ToString::to_string).collect()
}

fn strings(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn bench_prints_every_combination_in_every_format() {
    let folder = temporary_folder();
    let lists = ["--bits", "3,6", "-t", "2,1", "-p", "5,9", "-n", "4", "-pg", "5,3", "-d", "0,20", "-r", "2"];
    let print =
        |format: &str| succeeds(&strings(&bench(folder.path(), &[&lists[..], &["-o", format]].concat())));
    let rows: Value = serde_json::from_str(&print("json")).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2 * 2 * 4 * 2, "threads, bits, tests, depths");
    let tests: Vec<_> = rows[..8].iter().map(|row| row["test"].as_str().unwrap()).collect();
    let at_20 = ["pp5 @ d20", "pp9 @ d20", "tg4 @ d20", "pp5+tg3 @ d20"];
    assert_eq!(tests, [&["pp5", "pp9", "tg4", "pp5+tg3"][..], &at_20].concat());
    for row in rows {
        assert_eq!(row["samples_ts"].as_array().unwrap().len(), 2);
        assert!(row["avg_ts"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["probe_bytes_per_second"].as_f64().unwrap() > 0.0, "{row}");
        let is_decode = row["n_prompt"] == 0;
        assert_eq!(row["bandwidth_fraction"].is_f64(), is_decode, "{row}");
        if cfg!(target_os = "linux") {
            assert!(row["file_resident_bytes"].as_u64().unwrap() > 0, "{row}");
        }
    }
    assert_eq!((&rows[0]["mantissa_bits"], &rows[0]["threads"]), (&3.into(), &2.into()));
    assert_eq!((&rows[31]["mantissa_bits"], &rows[31]["threads"]), (&6.into(), &1.into()));

    let csv = print("csv");
    assert_eq!(csv.lines().count(), 1 + rows.len());
    assert!(csv.starts_with("model,file,parameters,device,threads,kv,mantissa_bits,profile,test,"), "{csv}");
    let lines: Vec<Value> = print("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), rows.len());
    let table = print("md");
    assert_eq!(table.lines().filter(|line| line.starts_with('|')).count(), 2 + rows.len(), "{table}");
    assert!(table.contains("tg4 @ d20") && table.contains("buffer of 1 MiB"), "{table}");
}

#[test]
fn bench_measures_packed_files_and_how_long_one_waits() {
    let (_folder, file) = packed();
    let common = ["bench", file.to_str().unwrap(), "--device", "cpu", "-r", "1"];
    let quick = ["-p", "3", "-n", "0", "--probe", "0", "--no-warmup", "-o", "json"];
    let rows: Value = serde_json::from_str(&succeeds(&[&common[..], &quick].concat())).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 6, "every precision of the file");
    assert_eq!((&rows[0]["model"], &rows[0]["probe_bytes_per_second"]), (&"tiny".into(), &Value::Null));

    let latency = ["--latency", "--bits", "3,8", "-o", "json"];
    let rows: Value = serde_json::from_str(&succeeds(&[&common[..], &latency].concat())).unwrap();
    let what: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["open to ready", "E5M3 to E5M8", "E5M8 to E5M3"]);
    assert!(rows[0]["median_ms"].as_f64().unwrap() > 0.0);
}

/// A packed file with two profiles, and what is written about them beside it.
fn packed_with_profiles() -> (TempDir, PathBuf) {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), 21, &Form::default());
    let profiles = folder.path().join("profiles.json");
    fs::write(&profiles, r#"{"small": {"all": 3, "head": 5}, "best": "6,mlp=4,layers.1=8"}"#).unwrap();
    let file = folder.path().join("tiny.sefp.safetensors");
    let paths = [folder.path(), &file, &profiles].map(|path| path.to_str().unwrap());
    succeeds(&["pack", paths[0], paths[1], "--profile-file", paths[2]]);
    (folder, file)
}

#[test]
fn a_file_carries_profiles_that_inspect_lists() {
    let (_folder, file) = packed_with_profiles();
    let file = file.to_str().unwrap();
    let report: Value = serde_json::from_str(&succeeds(&["inspect", file, "--json"])).unwrap();
    let profiles = report["profiles"].as_array().unwrap();
    assert_eq!((&profiles[0]["name"], &profiles[1]["name"]), (&"best".into(), &"small".into()));
    assert_eq!(profiles[1]["profile"], json!({"all": 3, "head": 5}));
    // The head is one of two matrices [99, 72]; a layer has 72 (60 + 20 + 20 + 60 + 3 * 100) weights.
    let (head, layer) = (99.0 * 72.0, 72.0 * 460.0);
    let bits = 4.125 + 2.0 * head / (2.0 * head + 2.0 * layer);
    assert!((profiles[1]["bits_per_weight"].as_f64().unwrap() - bits).abs() < 1e-9, "{report}");
    let needed = |row: &Value| row["file_bytes"].as_u64().unwrap();
    assert_eq!(needed(&profiles[1]), needed(&report["precisions"][2]), "planes up to E5M5");
    assert_eq!(needed(&profiles[0]), needed(&report["precisions"][5]), "planes up to E5M8");
    let table = succeeds(&["inspect", file]);
    assert!(table.contains("6,mlp=4,layers.1=8") && table.contains("small"), "{table}");
    let (_folder, plain) = packed();
    assert!(!succeeds(&["inspect", plain.to_str().unwrap()]).contains("profile"));
}

#[test]
fn packing_refuses_profiles_that_do_not_fit_and_writes_nothing() {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), 21, &Form::default());
    let (profiles, file) = (folder.path().join("profiles.json"), folder.path().join("tiny.sefp.safetensors"));
    let paths = [folder.path(), &file, &profiles].map(|path| path.to_str().unwrap().to_string());
    let pack = || fails(&["pack", &paths[0], &paths[1], "--profile-file", &paths[2]], 1);
    assert!(pack().contains("cannot read"));
    for (json, message) in [
        (
            r#"{"deep": "4,layers.2=3"}"#,
            "profile 'deep': the profile 4,layers.2=3 names layer 2: the model has layers 0 to 1",
        ),
        (r#"{"a": {"head": 3}}"#, "at which precision embedding, attention, mlp is read"),
        (r#"{"a": {"all": 9}}"#, "9 mantissa bits: give 3 to 8"),
        (
            r#"{"a": {"all": 4, "heads": 5}}"#,
            "'heads' is nothing that a profile can name: give all, embedding",
        ),
        (r#"{"m4": 4}"#, "'m4' cannot be the name of a profile"),
        ("4", "give a JSON object of names and profiles"),
    ] {
        fs::write(&profiles, json).unwrap();
        let error = pack();
        assert!(error.contains(message), "{json}: {error}");
        assert!(!file.exists(), "{json}");
    }
}

#[test]
fn bench_takes_profiles_as_entries_files_and_names() {
    let (folder, file) = packed_with_profiles();
    let json = folder.path().join("own.json");
    fs::write(&json, r#"{"all": 5, "embedding": 8}"#).unwrap();
    let common = ["bench", file.to_str().unwrap(), "--device", "cpu", "-r", "1", "-p", "0", "-n", "2"];
    let quick = ["--probe", "0", "--no-warmup", "-o", "json"];
    let lists = ["--bits", "3", "--profile", "head=4,mlp=3", "--profile", "small", "--profile"];
    let words = [&common[..], &quick, &lists, &[json.to_str().unwrap()]].concat();
    let rows: Value = serde_json::from_str(&succeeds(&words)).unwrap();
    let rows = rows.as_array().unwrap();
    let profiles: Vec<_> = rows.iter().map(|row| row["profile"].as_str().unwrap()).collect();
    assert_eq!(profiles, ["E5M3", "8,mlp=3,head=4", "3,head=5", "5,embedding=8"]);
    assert_eq!((&rows[0]["mantissa_bits"], &rows[1]["mantissa_bits"]), (&3.into(), &Value::Null));
    let bytes = |row: usize| rows[row]["weight_bytes"].as_u64().unwrap();
    // Two planes of the head: 7 rows of tiles of 16 rows, two tiles of 64 columns each.
    assert_eq!(bytes(2), bytes(0) + 2 * 7 * 2 * 16 * 64 / 8);
    for (profile, message) in [
        ("large", "has no profile 'large': it carries best, small"),
        ("4,layers.2=5", "the model has layers 0 to 1"),
        ("4,head=2", "'2' is not a precision"),
        ("4,mpl=3", "'mpl' is nothing that a profile can name"),
        ("missing.json", "cannot read the profile missing.json"),
    ] {
        let output = otaro(&[&common[..], &["--profile", profile]].concat());
        assert!(!output.status.success(), "{profile}");
        assert!(text(&output.stderr).contains(message), "{profile}: {}", text(&output.stderr));
    }
}

#[test]
fn bench_says_what_it_cannot_do() {
    let folder = temporary_folder();
    let words = bench(folder.path(), &[]);
    for (rest, message) in [
        (&["-p", "301"][..], "pp301 needs 301 positions, this model has 300"),
        (&["-n", "8", "-p", "0", "-d", "0,293"], "tg8 @ d293 needs 301"),
        (&["-pg", "512"], "give two numbers as 512,128"),
        (&["-p", "0", "-n", "0"], "nothing to test"),
        (&["-r", "0"], "at least 1"),
        (&["-t", "0"], "zero"),
        (&["--bits", "9"], "3 to 8"),
        (&["--kernel", "abacus"], "'abacus' is not a kernel"),
        (&["--shape", "llama9"], "'llama9' is not a shape: give one of llama3.2-1b"),
        (&["/nowhere.sefp.safetensors"], "/nowhere.sefp.safetensors"),
    ] {
        let output = otaro(&[&strings(&words)[..], rest].concat());
        assert!(!output.status.success(), "{rest:?}");
        assert!(text(&output.stderr).contains(message), "{rest:?}: {}", text(&output.stderr));
    }
    assert!(fails(&["bench"], 1).contains("give a packed file, or --shape"));
}
