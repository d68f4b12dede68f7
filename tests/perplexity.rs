//! Perplexity of stories260K by `otaro eval`, on both devices, against an independent implementation.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

use otaro::{Checkpoint, Scale, pack::PackOptions};
use otaro_tests::{reference::stories260k_packed, shared};
use serde_json::Value;

/// The columns of [`EXPECTED`].
const PRECISIONS: [&str; 6] = ["E5M8", "E5M7", "E5M6", "E5M5", "E5M4", "E5M3"];
/// Perplexities by reconstruction, in the order of [`PRECISIONS`].
type Perplexities = [(&'static str, [f64; 6]); 2];
/// 24 windows of 512 tokens of TinyStories, measured with an independent implementation: the table of
/// the format's design, by scale and reconstruction.
const EXPECTED: [(Scale, Perplexities); 2] = [
    (
        Scale::Fine,
        [
            ("midpoint", [5.111, 5.110, 5.126, 5.150, 5.328, 6.115]),
            ("truncate", [5.106, 5.103, 5.123, 5.193, 5.799, 11.614]),
        ],
    ),
    (
        Scale::PowerOfTwo,
        [
            ("midpoint", [5.111, 5.116, 5.139, 5.212, 5.510, 7.404]),
            ("truncate", [5.103, 5.105, 5.148, 5.367, 7.132, 33.30]),
        ],
    ),
];
/// Relative error that is allowed.
const TOLERANCE: f64 = 0.005;

/// Packs with each of these scales and holds every figure of `otaro eval` against [`EXPECTED`].
fn check(device: &str, scales: &[Scale]) {
    for (scale, expected) in EXPECTED.into_iter().filter(|(scale, _)| scales.contains(scale)) {
        let options = PackOptions { scale, ..PackOptions::default() };
        let Some((_folder, checkpoint)) = stories260k_packed(&options) else { return };
        println!("{scale}");
        check_file(&checkpoint, device, &expected);
    }
}

fn check_file(checkpoint: &Checkpoint, device: &str, expected: &[(&str, [f64; 6])]) {
    let tokens = shared("reference/stories260K.tokens.safetensors").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_otaro"))
        .arg("eval")
        .arg(checkpoint.path())
        .args(["--tokens", &format!("{}#stream", tokens.display()), "--context", "512", "--windows", "24"])
        .args(["--reconstruction", "both", "--device", device, "--format", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    println!("{}", rows[0]["device"]);
    assert_eq!(rows.len(), 12);
    for &(reconstruction, perplexities) in expected {
        for (precision, expected) in PRECISIONS.into_iter().zip(perplexities) {
            let row = rows
                .iter()
                .find(|row| row["reconstruction"] == reconstruction && row["precision"] == precision)
                .unwrap();
            assert!(row["device"].as_str().unwrap().starts_with(device));
            assert_eq!(row["scored_tokens"], 24 * 511);
            let found = row["perplexity"].as_f64().unwrap();
            println!("{reconstruction} {precision}: {found:.4}, expected {expected:.4}");
            assert!(
                (found / expected - 1.0).abs() < TOLERANCE,
                "{device} {reconstruction} {precision}: {found}"
            );
        }
    }
}

#[test]
fn perplexity_on_the_cpu_is_that_of_the_reference() {
    check("cpu", &Scale::ALL);
}

#[test]
fn perplexity_on_the_gpu_is_that_of_the_reference() {
    // Scales of powers of two are some of the fine ones; lavapipe takes a minute for each.
    check("gpu", &[Scale::Fine]);
}
