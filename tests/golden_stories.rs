//! The engine against stories260K as PyTorch runs it in f32.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use otaro::{
    CancelToken, Model, Precision,
    cpu::{CpuOptions, FullWeights},
    pack::HuggingFaceFolder,
};
use otaro_tests::{
    reference::{Reference, stories260k, stories260k_folder},
    shared,
};

fn full_precision(options: &CpuOptions) -> Option<Model> {
    let mut source = HuggingFaceFolder::open(&stories260k_folder()?).unwrap();
    let architecture = source.architecture().clone();
    let weights = FullWeights::load(&architecture, &mut source).unwrap();
    Some(Model::full_precision(&architecture, weights, options).unwrap())
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn full_precision_logits_are_those_of_the_reference() {
    for options in [CpuOptions::PLAIN, CpuOptions::default()] {
        let Some(model) = full_precision(&options) else { return };
        println!("{}", model.device_info());
        check_full_precision(&model);
    }
}

fn check_full_precision(model: &Model) {
    let reference = Reference::open(&shared("reference/stories260K.logits.safetensors").unwrap());
    let tokens = reference.tokens("input_ids");
    let cancel = CancelToken::new();

    let mut session = model.session(Precision::MAX).unwrap();
    for layer in 0..=model.architecture().layers {
        let hidden = session.hidden_states(&tokens, layer, &cancel).unwrap();
        let difference = largest_difference(&hidden, &reference.f32(&format!("hidden_states.{layer}")));
        println!("hidden state {layer}: largest difference {difference:e}");
        // The reference's last hidden state is the one after the final norm.
        assert!(layer == model.architecture().layers || difference < 1e-4, "layer {layer}");
    }
    let normed = session.hidden_states(&tokens, model.architecture().layers + 1, &cancel).unwrap();
    assert!(largest_difference(&normed, &reference.f32("hidden_states.5")) < 1e-4);

    let mut logits = Vec::new();
    session
        .all_logits(&tokens, &cancel, |row| {
            logits.extend_from_slice(row);
            Ok(())
        })
        .unwrap();
    let difference = largest_difference(&logits, &reference.f32("logits"));
    println!("logits: largest difference {difference:e}");
    assert!(difference < 1e-3, "{difference}");
}

/// Greedy text at E5M8 is that of the reference, or parts from it only where the reference's two
/// best tokens were closer than quantisation can tell apart.
#[test]
fn greedy_text_at_the_highest_precision_is_that_of_the_reference() {
    let Some((_folder, checkpoint)) = stories260k() else { return };
    let model = Model::on_cpu(Arc::new(checkpoint), None, &CpuOptions::PLAIN).unwrap();
    let reference = full_precision(&CpuOptions::default()).unwrap();
    let json = std::fs::read(shared("reference/stories260K.json").unwrap()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let ids = |value: &serde_json::Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    for case in json["greedy"].as_array().unwrap() {
        let (prompt, expected) = (ids(&case["prompt_ids"]), ids(&case["output_ids"]));
        let generated = greedy(&model, &prompt, expected.len());
        match generated.iter().zip(&expected).position(|(a, b)| a != b) {
            None => println!("{}: all {} tokens are equal", case["prompt"], expected.len()),
            Some(index) => {
                let so_far: Vec<u32> = prompt.iter().chain(&expected[..index]).copied().collect();
                let margin = margin(&reference, &so_far);
                println!("{}: parts at token {index}, where the margin is {margin}", case["prompt"]);
                assert!(margin < 0.1, "{}: parts at token {index} at a margin of {margin}", case["prompt"]);
            }
        }
    }
}

fn greedy(model: &Model, prompt: &[u32], tokens: usize) -> Vec<u32> {
    let cancel = CancelToken::new();
    let mut session = model.session(Precision::MAX).unwrap();
    let mut next = session.top_k(prompt, 1, &cancel).unwrap()[0].token;
    let mut generated = vec![next];
    while generated.len() < tokens {
        next = session.top_k(&[next], 1, &cancel).unwrap()[0].token;
        generated.push(next);
    }
    generated
}

/// How far the best token is ahead of the second in the unquantised model.
fn margin(reference: &Model, tokens: &[u32]) -> f32 {
    let best = reference.session(Precision::MAX).unwrap().top_k(tokens, 2, &CancelToken::new()).unwrap();
    best[0].logit - best[1].logit
}
