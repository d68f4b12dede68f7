//! The forward pass against Hugging Face transformers on a model with every irregularity: head_dim
//! apart from hidden / heads, grouped queries, scaled rope past the original context, an own head.
//!
//! The reference was made by `fixtures/irregular_reference.py` from the folder that the ignored
//! test writes; the weights are random, so no weights are kept.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use otaro::{
    CancelToken, Model, Precision,
    cpu::{CpuOptions, FullWeights},
    pack::HuggingFaceFolder,
};
use otaro_tests::{
    huggingface::{self, Form},
    temporary_folder, tiny,
};
use serde_json::Value;

const SEED: u64 = 31;

fn tokens() -> Vec<u32> {
    (0..250).map(|i| i * 7 % 99).collect()
}

#[test]
#[ignore = "writes the input of fixtures/irregular_reference.py"]
fn write_the_folder() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("irregular");
    std::fs::create_dir_all(&folder).unwrap();
    huggingface::write(&folder, &tiny::irregular(), SEED, &Form::default());
    println!("{}", folder.display());
}

#[test]
fn logits_are_those_of_transformers() {
    for options in [CpuOptions::PLAIN, CpuOptions::default()] {
        check_logits(&options);
    }
}

fn check_logits(options: &CpuOptions) {
    let folder = temporary_folder();
    huggingface::write(folder.path(), &tiny::irregular(), SEED, &Form::default());
    let mut source = HuggingFaceFolder::open(folder.path()).unwrap();
    let weights = FullWeights::load(&tiny::irregular(), &mut source).unwrap();
    let model = Model::full_precision(&tiny::irregular(), weights, options).unwrap();
    let mut logits = Vec::new();
    let mut session = model.session(Precision::MAX).unwrap();
    session
        .all_logits(&tokens(), &CancelToken::new(), |row| {
            logits.push(row.to_vec());
            Ok(())
        })
        .unwrap();

    let reference: Value = serde_json::from_str(include_str!("fixtures/irregular_reference.json")).unwrap();
    let positions = reference["logits"].as_object().unwrap();
    assert_eq!(positions.len(), 5);
    for (position, expected) in positions {
        let expected: Vec<f32> = serde_json::from_value(expected.clone()).unwrap();
        let found = &logits[position.parse::<usize>().unwrap()];
        let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("position {position}: largest difference {difference:e}");
        assert!(difference < 2e-5, "position {position}: {difference}");
    }
}
