//! `otaro-train` as a user runs it: interrupted, resumed, given what it cannot use.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use support::Place;

fn command(flags: &[String], more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otaro-train"));
    command.arg("run").args(flags).args(more);
    command
}

fn run(flags: &[String], more: &[&str]) -> Output {
    command(flags, more).output().unwrap()
}

fn succeed(flags: &[String], more: &[&str]) -> String {
    let output = run(flags, more);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The text of the error that a run must end with.
fn fail(flags: &[String], more: &[&str]) -> String {
    let output = run(flags, more);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("error: "), "{errors}");
    errors
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("huggingface/model.safetensors")).unwrap()
}

#[test]
fn a_run_leaves_a_model_its_card_and_its_log() {
    let place = Place::new();
    let text = succeed(&place.flags("out"), &["--method", "otaro", "--huggingface", "--eval-every", "4"]);
    assert!(text.contains("M3 midpoint perplexity"), "{text}");
    let out = place.path("out");
    for name in ["model.sefp.safetensors", "README.md", "summary.json", "steps.csv", "state.safetensors"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    assert!(fs::read_to_string(out.join("README.md")).unwrap().contains("| midpoint |"));
    assert_eq!(fs::read_to_string(out.join("steps.csv")).unwrap().lines().count(), 9);
    let evaluations = fs::read_to_string(out.join("evaluations.csv")).unwrap();
    assert_eq!(evaluations.lines().count(), 1 + 2 * 7, "two evaluations of seven widths:\n{evaluations}");
    otaro::Checkpoint::open(out.join("model.sefp.safetensors"))
        .unwrap()
        .require(otaro::Precision::MAX)
        .unwrap();
    // A folder that holds a run is not overwritten.
    assert!(fail(&place.flags("out"), &[]).contains("--resume"));
}

#[cfg(unix)]
#[test]
fn interrupted_and_resumed_runs_end_in_the_weights_of_one_that_was_not() {
    let place = Place::new();
    let teacher = place.teacher("teacher").display().to_string();
    let long = ["--steps", "60", "--huggingface"];
    for (name, method) in [
        ("otaro", vec!["--method", "otaro", "--laa-period", "3"]),
        ("distill", vec!["--method", "bps", "--distill", "--optimizer", "muon"]),
        ("masters", vec!["--method", "uniform", "--distill", "--teacher", "masters"]),
        ("folder", vec!["--method", "matryoshka", "--distill", "--teacher", &teacher]),
    ] {
        let flags: Vec<&str> = long.iter().chain(&method).copied().collect();
        let (whole, parts) = (format!("{name}-whole"), format!("{name}-parts"));
        succeed(&place.flags(&whole), &flags);
        let mut child = command(&place.flags(&parts), &flags).spawn().unwrap();
        wait_for_steps(&place.path(&parts).join("steps.csv"), 5);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let rows = fs::read_to_string(place.path(&parts).join("steps.csv")).unwrap().lines().count();
        assert!((6..60).contains(&rows), "{rows} rows: it was to be interrupted in the middle");
        let resume: Vec<&str> = flags.iter().chain(&["--resume"]).copied().collect();
        succeed(&place.flags(&parts), &resume);
        assert!(weights(&place.path(&whole)) == weights(&place.path(&parts)), "{name}: other weights");
        for index in [1, 2, 3, 4] {
            let column = |name: &str| column(&place.path(name).join("steps.csv"), index);
            assert_eq!(column(&whole), column(&parts), "{name}: another path of widths, or other losses");
        }
    }
}

#[cfg(unix)]
fn wait_for_steps(log: &Path, steps: usize) {
    let start = Instant::now();
    while fs::read_to_string(log).map_or(0, |text| text.lines().count()) <= steps {
        assert!(start.elapsed() < Duration::from_secs(120), "no {steps} steps within two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn column(log: &Path, index: usize) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(index).unwrap().to_string()).collect()
}

#[test]
fn a_resume_with_other_settings_is_refused_by_name() {
    let place = Place::new();
    succeed(&place.flags("out"), &["--method", "uniform"]);
    let cases = [
        (vec!["--steps", "9"], "steps"),
        (vec!["--learning-rate", "0.5"], "learning_rate"),
        (vec!["--seed", "4"], "seed"),
        (vec!["--method", "bps"], "method"),
        (vec!["--reconstruction", "truncate"], "reconstruction"),
    ];
    for (other, name) in cases {
        let more: Vec<&str> = ["--method", "uniform", "--resume"].into_iter().chain(other).collect();
        let text = fail(&place.flags("out"), &more);
        assert!(text.contains(name) && text.contains("--out"), "{text}");
    }
    fs::write(place.path("text.txt"), "w1 w2 w3 w4 w5 w6 w7 w8\n".repeat(200)).unwrap();
    let text = fail(&place.flags("out"), &["--method", "uniform", "--resume"]);
    assert!(text.contains("data_fingerprint"), "{text}");
}

#[test]
fn a_resume_with_another_teacher_is_refused() {
    let place = Place::new();
    let path = |folder: &Path| folder.display().to_string();
    let teacher = path(&place.teacher("teacher"));
    let distill = ["--method", "uniform", "--distill", "--teacher"];
    let with = |teacher: &str| distill.into_iter().chain([teacher]).map(str::to_string).collect::<Vec<_>>();
    let flags = |out: &str, teacher: &str| [place.flags(out), with(teacher)].concat();
    succeed(&flags("high", "high"), &[]);
    let text = fail(&flags("high", "masters"), &["--resume"]);
    assert!(text.contains("\"teacher\":\"high\"") && text.contains("\"teacher\":\"masters\""), "{text}");
    succeed(&flags("folder", &teacher), &[]);
    // The same folder with other weights is another teacher; the same weights elsewhere are not.
    let moved = place.path("moved");
    fs::rename(place.path("teacher"), &moved).unwrap();
    succeed(&flags("folder", &path(&moved)), &["--resume"]);
    let weights = moved.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let text = fail(&flags("folder", &path(&moved)), &["--resume"]);
    assert!(text.contains("the run was started with teacher = "), "{text}");
}

#[test]
fn a_teacher_that_cannot_teach_is_refused() {
    let place = Place::new();
    let refused = |teacher: &Path, more: &[&str], parts: &[&str]| {
        let teacher = teacher.display().to_string();
        let text =
            fail(&place.flags("out"), &[&["--method", "uniform", "--teacher", &teacher], more].concat());
        for part in parts {
            assert!(text.contains(part), "{text}");
        }
        assert!(!place.path("out").join("state.safetensors").exists());
    };
    let distill = &["--distill"][..];
    refused(&place.path("nowhere"), distill, &["the teacher", "nowhere"]);
    refused(Path::new("masters"), &[], &["nothing learns from the teacher 'masters' without distillation"]);
    refused(Path::new("masters"), &["--method=full", "--distill"], &["cannot learn from themselves"]);

    let tokens = |name: &str, change: &dyn Fn(String) -> String| {
        let folder = place.teacher(name);
        let file = folder.join("tokenizer.json");
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
        folder
    };
    let renamed = tokens("renamed", &|text| text.replace("\"w5\"", "\"x5\""));
    refused(&renamed, distill, &["renamed", "its token 5 is 'x5'", "is 'w5'", "same vocabulary"]);
    let fewer = tokens("fewer", &|_| otaro_tests::huggingface::tokenizer(100).to_string());
    refused(&fewer, distill, &["its token 100 is no token", "is 'w100'"]);

    let write = |name: &str, architecture: &otaro::Architecture| {
        let folder = place.path(name);
        fs::create_dir(&folder).unwrap();
        otaro_tests::huggingface::write(&folder, architecture, 1, &Default::default());
        let file = folder.join("tokenizer.json");
        fs::write(file, otaro_tests::huggingface::tokenizer(128).to_string()).unwrap();
        folder
    };
    let regular = Place::architecture();
    let larger = write("larger", &otaro::Architecture { vocab_size: 192, ..regular.clone() });
    refused(&larger, distill, &["logits for 192 tokens", "for 128"]);
    let shorter = write("shorter", &otaro::Architecture { context_length: 8, ..regular });
    refused(&shorter, distill, &["16 tokens", "context of 8", "--length"]);
}

#[test]
fn bad_input_is_named() {
    let place = Place::new();
    let write = |name: &str, text: &str| {
        fs::write(place.path(name), text).unwrap();
        place.path(name).display().to_string()
    };
    let broken = write("broken.jsonl", "{\"text\": \"w1 w2\"}\n{\"text\": \n");
    let garbage = write("garbage.jsonl", "\u{0}\u{1}\n");
    let empty = write("empty.txt", "");
    let nowhere = place.path("nowhere").display().to_string();
    let cases: [(&str, &str, Vec<&str>); 9] = [
        ("--data", &nowhere, vec!["nowhere"]),
        ("--data", &broken, vec!["broken.jsonl:2"]),
        ("--data", &garbage, vec!["garbage.jsonl:1"]),
        ("--data", &empty, vec!["empty.txt"]),
        ("--model", &nowhere, vec!["nowhere"]),
        ("--length", "1000000", vec!["context"]),
        ("--lambda", "-1", vec!["lambda"]),
        ("--holdout", "1.5", vec!["hold out", "1.5"]),
        ("--laa-period", "0", vec!["period"]),
    ];
    for (flag, value, expected) in cases {
        let value = format!("{flag}={value}");
        let text = fail(&place.flags("bad"), &[&value]);
        for expected in expected {
            assert!(text.contains(expected), "{value}: {text}");
        }
        assert!(!place.path("bad").join("state.safetensors").exists(), "{value}");
    }
}

#[test]
fn a_vocabulary_that_does_not_match_is_refused() {
    let place = Place::new();
    let other = place.path("tokenizer");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("tokenizer.json"), otaro_tests::huggingface::tokenizer(500).to_string()).unwrap();
    let tokenizer = other.display().to_string();
    let text = fail(&place.flags("out"), &["--tokenizer", &tokenizer]);
    assert!(text.contains("500") && text.contains("128"), "{text}");
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_state() {
    let place = Place::new();
    let wild = ["--method", "full", "--learning-rate", "1e37", "--warmup", "4", "--checkpoint-minutes", "0"];
    let text = fail(&place.flags("out"), &wild);
    assert!(text.contains("step") && text.contains("learning rate"), "{text}");
    let state = place.path("out").join("state.safetensors");
    let bytes = fs::read(&state).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let finite =
        |data: &[u8]| data.chunks_exact(4).all(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite());
    assert!(finite(file.tensor("model.norm.weight").unwrap().data()));
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_keeps_the_last_state() {
    let place = Place::new();
    succeed(&place.flags("out"), &["--method", "full"]);
    let state = place.path("out").join("state.safetensors");
    let before = fs::read(&state).unwrap();
    let flags = place.flags("full");
    // Writes beyond the limit fail as on a full disk, once the signal is ignored.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" run \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_otaro-train")])
        .args(&flags)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write") && text.contains("state.safetensors"), "{text}");
    assert!(fs::read_dir(place.path("full")).unwrap().all(|entry| {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        name == "steps.csv" || name == "tokenizer"
    }));
    assert!(fs::read(&state).unwrap() == before);
}
