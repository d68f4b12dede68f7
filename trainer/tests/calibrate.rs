//! `otaro-train calibrate` as a user runs it: what it leaves, killed and resumed, given what it cannot use.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use burn::tensor::Device;
use otaro::{Checkpoint, Precision, Reconstruction, Scale, WeightMatrix};
use otaro_trainer::model::{TensorSet, fake_quantize, load_folder, parameters};
use serde_json::Value;
use support::Place;

fn flags(place: &Place, out: &str) -> Vec<String> {
    let path = |name: &str| place.path(name).display().to_string();
    let mut flags: Vec<String> = ["--windows", "16", "--length", "16", "--batch", "4", "--micro-batch", "1"]
        .into_iter()
        .chain(["--steps", "40", "--learning-rate", "5e-3", "--threads", "2", "--distill-steps", "0"])
        .map(str::to_string)
        .collect();
    flags.extend(["--model".into(), path("model"), "--data".into(), path("text.txt")]);
    flags.extend(["--out".into(), path(out)]);
    flags
}

fn command(place: &Place, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otaro-train"));
    command.arg("calibrate").args(flags(place, out)).args(more);
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(place: &Place, out: &str, more: &[&str]) {
    let output = command(place, out, more).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
}

/// The text of the error that a calibration must end with.
fn fail(place: &Place, out: &str, more: &[&str]) -> String {
    let output = command(place, out, more).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    errors(&output)
}

/// Every file of the calibrated folder, and the packed one.
fn results(out: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> =
        fs::read_dir(out.join("huggingface")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.push(out.join("model.sefp.safetensors"));
    let named = |path: PathBuf| (path.strip_prefix(out).unwrap().to_path_buf(), fs::read(&path).unwrap());
    paths.into_iter().map(named).collect()
}

#[test]
fn blocks_come_closer_to_the_unquantised_ones_and_the_model_is_packed() {
    let place = Place::new();
    succeed(&place, "out", &["--steps", "200", "--learning-rate", "1e-2"]);
    let out = place.path("out");
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    let blocks = summary["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), Place::architecture().layers);
    for block in blocks {
        for error in block["errors"].as_array().unwrap().iter().take(2) {
            let (before, after) = (error[1].as_f64().unwrap(), error[2].as_f64().unwrap());
            assert!(after < 0.9 * before, "E5M{} of block {}: {before} {after}", error[0], block["layer"]);
        }
    }
    // The folder has the masters of the packed file, at every precision bit for bit.
    let (architecture, masters) = load_folder(&out.join("huggingface")).unwrap();
    let parameters = parameters(&architecture);
    let masters = TensorSet::from_host(masters, &parameters, &Device::flex()).unwrap();
    let checkpoint = Checkpoint::open(out.join("model.sefp.safetensors")).unwrap();
    for precision in Precision::ALL {
        let quantised =
            fake_quantize(&masters, &parameters, precision, Reconstruction::Midpoint, Scale::Fine).unwrap();
        for (matrix, values) in WeightMatrix::all(&architecture).zip(quantised.to_host().unwrap()) {
            let view = checkpoint.tiles(matrix, precision).unwrap();
            let cols = matrix.grid(&architecture).cols;
            let mut row_values = vec![0.0_f32; cols];
            for (row, expected) in values.chunks(cols).enumerate() {
                view.decode_row(row, precision, Reconstruction::Midpoint, &mut row_values);
                assert!(row_values.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{matrix}");
            }
        }
    }
    // Tokenizer and template come along, and a folder that holds a calibration is not overwritten.
    assert!(out.join("huggingface/tokenizer.json").is_file());
    assert!(fail(&place, "out", &[]).contains("--resume"));
}

#[test]
fn activations_in_files_and_other_threads_make_no_difference() {
    let place = Place::new();
    succeed(&place, "memory", &["--steps", "8"]);
    succeed(&place, "files", &["--steps", "8", "--memory-budget", "0", "--threads", "1"]);
    assert!(results(&place.path("memory")) == results(&place.path("files")));
}

#[cfg(unix)]
#[test]
fn killed_in_either_phase_and_resumed_it_ends_in_the_same_bits() {
    let place = Place::new();
    let more = ["--steps", "150", "--distill-steps", "60", "--checkpoint-minutes", "0"];
    succeed(&place, "whole", &more);
    let resume: Vec<&str> = more.iter().copied().chain(["--resume"]).collect();
    for signal in ["-KILL", "-INT"] {
        let out = format!("parts{signal}");
        let state = place.path(&out).join("state");
        interrupt(command(&place, &out, &more), &state.join("block-000.safetensors"), signal);
        assert!(!state.join("distilled.safetensors").exists(), "it was to be stopped among the blocks");
        interrupt(command(&place, &out, &resume), &state.join("distilled.safetensors"), signal);
        assert!(!place.path(&out).join("huggingface").exists(), "it was to be stopped on the way");
        succeed(&place, &out, &resume);
        assert!(results(&place.path(&out)) == results(&place.path("whole")), "{signal}: other bits");
    }
}

/// Starts it and sends a signal as soon as a file is there.
#[cfg(unix)]
fn interrupt(mut command: Command, file: &Path, signal: &str) {
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while !file.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "{} did not come", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), if signal == "-INT" { Some(130) } else { None }, "{status}");
}

#[test]
fn distillation_can_be_added_to_blocks_that_are_done() {
    let place = Place::new();
    let distil = |steps, more: &[&'static str]| -> Vec<&'static str> {
        ["--steps", "8", "--distill-steps", steps].into_iter().chain(more.iter().copied()).collect()
    };
    succeed(&place, "whole", &distil("6", &[]));
    succeed(&place, "added", &distil("0", &[]));
    let without = results(&place.path("added"));
    // What a killed process leaves of files that it had not finished.
    fs::write(place.path("added/state/.tmpAbC"), "half a block").unwrap();
    fs::create_dir(place.path("added/.tmpDeF")).unwrap();
    succeed(&place, "added", &distil("6", &["--resume"]));
    let with = results(&place.path("added"));
    assert!(with != without && with == results(&place.path("whole")));
    for folder in ["added", "added/state"] {
        let hidden = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
        assert!(!fs::read_dir(place.path(folder)).unwrap().map(Result::unwrap).any(|entry| hidden(&entry)));
    }
    // Once it has begun it is what it is.
    let text = fail(&place, "added", &distil("7", &["--resume"]));
    assert!(text.contains("distill_steps = 6") && text.contains('7'), "{text}");
}

#[cfg(unix)]
#[test]
fn two_processes_do_not_share_a_folder() {
    let place = Place::new();
    let mut first = command(&place, "out", &["--steps", "100000"]).spawn().unwrap();
    let start = Instant::now();
    while !place.path("out/state/settings.json").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    let text = fail(&place, "out", &["--steps", "100000", "--resume"]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(text.contains("another process calibrates in"), "{text}");
}

#[test]
fn bad_input_is_named_and_nothing_is_lost() {
    let place = Place::new();
    fs::write(place.path("short.txt"), "w1 w2 w3\n").unwrap();
    fs::write(place.path("medium.txt"), "w1 w2 w3 w4 w5 w6 w7 w8\n".repeat(10)).unwrap();
    let path = |name: &str| place.path(name).display().to_string();
    let cases = [
        (vec!["--data", "short.txt"], vec!["tokens", "too few for one window of 16"]),
        (vec!["--data", "medium.txt"], vec!["windows of 16 tokens", "--windows asks for 16"]),
        (vec!["--model", "nowhere"], vec!["nowhere"]),
        (vec!["--shares", "3:0.5,9:0.5"], vec!["'9' is not a precision"]),
        (vec!["--shares", "3:0.5,4:-1"], vec!["share of E5M4 is -1"]),
        (vec!["--shares", "3:1,3:1"], vec!["E5M3 is named twice"]),
        (vec!["--learning-rate", "0"], vec!["--learning-rate is 0"]),
        (vec!["--windows", "0"], vec!["at least one window"]),
        (vec!["--resume"], vec!["no calibration to go on with"]),
    ];
    for (flags, expected) in cases {
        let mut all = self::flags(&place, "bad");
        match all.iter().position(|flag| flag == flags[0]) {
            Some(index) if ["--data", "--model"].contains(&flags[0]) => all[index + 1] = path(flags[1]),
            Some(index) => all[index + 1] = flags[1].to_string(),
            None => all.extend(flags.iter().map(|flag| (*flag).to_string())),
        }
        let output =
            Command::new(env!("CARGO_BIN_EXE_otaro-train")).arg("calibrate").args(&all).output().unwrap();
        let text = errors(&output);
        assert!(!output.status.success(), "{flags:?}");
        for expected in expected {
            assert!(text.contains(expected), "{flags:?}: {text}");
        }
        assert!(!place.path("bad").join("state").exists(), "{flags:?}");
    }
    succeed(&place, "out", &["--steps", "4"]);
    for (other, name) in [("--steps=5", "steps"), ("--scale=power-of-two", "scale"), ("--seed=9", "seed")] {
        let text = fail(&place, "out", &["--steps", "4", other, "--resume"]);
        assert!(text.contains(name) && text.contains("--out"), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_it_and_keeps_what_is_done() {
    let place = Place::new();
    let more = ["--steps", "4", "--distill-steps", "4"];
    succeed(&place, "whole", &more);
    // Blocks fit, the model as a whole does not: writes beyond the limit fail as on a full disk, once
    // the signal is ignored.
    let size = |name: &str| fs::metadata(place.path("whole/state").join(name)).unwrap().len();
    let limit = (size("block-000.safetensors") + size("distilled.safetensors")) / 2 / 512;
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" calibrate \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_otaro-train")])
        .args(flags(&place, "full"))
        .args(more)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let text = errors(&output);
    assert!(text.contains("cannot write") && text.contains("distilled.safetensors"), "{text}");
    assert!(place.path("full/state/block-001.safetensors").is_file());
    assert!(!place.path("full").join("huggingface").exists());
    let resume: Vec<&str> = more.iter().copied().chain(["--resume"]).collect();
    succeed(&place, "full", &resume);
    assert!(results(&place.path("full")) == results(&place.path("whole")));
}
