//! Perplexity of stories260K by `otaro eval`, on both devices, against an independent implementation.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

use otaro_tests::{reference::stories260k, shared};
use serde_json::Value;

/// 24 windows of 512 tokens of TinyStories, measured with an independent implementation.
const EXPECTED: [(&str, [(&str, f64); 6]); 2] = [
    (
        "midpoint",
        [
            ("E5M8", 5.111),
            ("E5M7", 5.116),
            ("E5M6", 5.139),
            ("E5M5", 5.212),
            ("E5M4", 5.510),
            ("E5M3", 7.404),
        ],
    ),
    (
        "truncate",
        [
            ("E5M8", 5.103),
            ("E5M7", 5.105),
            ("E5M6", 5.148),
            ("E5M5", 5.367),
            ("E5M4", 7.132),
            ("E5M3", 33.30),
        ],
    ),
];
/// Relative error that is allowed.
const TOLERANCE: f64 = 0.005;

fn check(device: &str) {
    let Some((_folder, checkpoint)) = stories260k() else { return };
    let tokens = shared("reference/stories260K.tokens.safetensors").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_otaro"))
        .arg("eval")
        .arg(checkpoint.path())
        .args(["--tokens", &format!("{}#stream", tokens.display()), "--context", "512", "--windows", "24"])
        .args(["--reconstruction", "both", "--device", device, "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    println!("{}", rows[0]["device"]);
    assert_eq!(rows.len(), 12);
    for (reconstruction, precisions) in EXPECTED {
        for (precision, expected) in precisions {
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
    check("cpu");
}

#[test]
fn perplexity_on_the_gpu_is_that_of_the_reference() {
    check("gpu");
}
