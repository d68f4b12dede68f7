//! The trainer computes what the runtime computes: its forward pass and its fake-quantised weights.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use otaro::{
    Architecture, CancelToken, Checkpoint, Model, Precision, Reconstruction, Scale,
    cpu::CpuOptions,
    pack::{PackOptions, pack_folder},
};
use otaro_tests::{
    huggingface,
    reference::{Reference, stories260k_folder},
    shared, tiny,
};
use otaro_trainer::{
    data::Window,
    model::{Llama, TensorSet, fake_quantize, initialize, load_folder, parameters, save_weights},
    train::{BatchGradient, GradientEngine, Logits, Pass, PassSettings, Passes, scored},
};
use sefp::PackedMatrix;

fn logits(architecture: &Architecture, weights: &TensorSet, tokens: &[u32]) -> Vec<f32> {
    let device = Device::flex();
    let model = Llama::new(architecture, tokens.len(), &device);
    let tokens: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    let shape = [1, tokens.len()];
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, shape), &device);
    let logits = model.logits(weights, model.hidden(weights, tokens));
    logits.into_data().try_into_vec().unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The model of a folder as the trainer holds it.
fn load(folder: &std::path::Path) -> (Architecture, TensorSet) {
    let (architecture, values) = load_folder(folder).unwrap();
    let weights = TensorSet::from_host(values, &parameters(&architecture), &Device::flex()).unwrap();
    (architecture, weights)
}

#[test]
fn the_forward_pass_is_that_of_the_reference() {
    let Some(folder) = stories260k_folder() else { return };
    let (architecture, weights) = load(&folder);
    let reference = Reference::open(&shared("reference/stories260K.logits.safetensors").unwrap());
    let logits = logits(&architecture, &weights, &reference.tokens("input_ids"));
    let difference = largest_difference(&logits, &reference.f32("logits"));
    println!("largest difference of a logit: {difference:e}");
    assert!(difference < 1e-3);
}

#[test]
fn at_every_width_it_computes_what_the_packed_model_computes() {
    // Odd shapes, an untied head, grouped heads and stretched rotary frequencies.
    for architecture in [tiny::regular(), tiny::irregular()] {
        let folder = tempfile::tempdir().unwrap();
        huggingface::write(folder.path(), &architecture, 3, &huggingface::Form::default());
        let packed = folder.path().join("model.sefp.safetensors");
        pack_folder(folder.path(), &packed, &PackOptions::default(), &mut |_| Ok(())).unwrap();
        let checkpoint = Arc::new(Checkpoint::open(&packed).unwrap());
        let (architecture, weights) = load(folder.path());
        let parameters = parameters(&architecture);
        let tokens: Vec<u32> = (0..13).map(|i| (i * 29 + 5) % architecture.vocab_size as u32).collect();
        for reconstruction in [Reconstruction::Midpoint, Reconstruction::Truncate] {
            let model = Model::on_cpu(checkpoint.clone(), Some(reconstruction), &CpuOptions::PLAIN).unwrap();
            for precision in Precision::ALL {
                let quantized =
                    fake_quantize(&weights, &parameters, precision, reconstruction, Scale::Fine).unwrap();
                let ours = logits(&architecture, &quantized, &tokens);
                let mut theirs = Vec::new();
                let mut session = model.session(precision).unwrap();
                let mut collect = |logits: &[f32]| {
                    theirs.extend_from_slice(logits);
                    Ok(())
                };
                session.all_logits(&tokens, &CancelToken::new(), &mut collect).unwrap();
                let scale = theirs.iter().fold(0.0_f32, |max, logit| max.max(logit.abs()));
                // The runtime rounds keys and values to f16.
                let difference = largest_difference(&ours, &theirs) / scale;
                assert!(difference < 2e-3, "{precision} {reconstruction}: {difference:e}");
            }
        }
    }
}

#[test]
fn fake_quantised_weights_are_those_of_the_packed_file_bit_for_bit() {
    for architecture in [tiny::regular(), tiny::irregular()] {
        let folder = tempfile::tempdir().unwrap();
        huggingface::write(folder.path(), &architecture, 5, &huggingface::Form::default());
        let (architecture, weights) = load(folder.path());
        let (parameters, masters) = (parameters(&architecture), weights.to_host().unwrap());
        for (precision, reconstruction, scale) in every_reading() {
            let quantized = fake_quantize(&weights, &parameters, precision, reconstruction, scale).unwrap();
            for ((parameter, master), ours) in
                parameters.iter().zip(&masters).zip(quantized.to_host().unwrap())
            {
                let expected = if parameter.packed {
                    packed(master, parameter.shape, precision, reconstruction, scale)
                } else {
                    master.clone()
                };
                let same = ours.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{} at {precision} {reconstruction} {scale}", parameter.name);
            }
        }
    }
}

fn every_reading() -> impl Iterator<Item = (Precision, Reconstruction, Scale)> {
    Precision::ALL.into_iter().flat_map(|precision| {
        Reconstruction::ALL
            .into_iter()
            .flat_map(move |reconstruction| Scale::ALL.map(|scale| (precision, reconstruction, scale)))
    })
}

/// A matrix packed, then decoded.
fn packed(
    weights: &[f32],
    [rows, cols]: [usize; 2],
    precision: Precision,
    reconstruction: Reconstruction,
    scale: Scale,
) -> Vec<f32> {
    let packed = PackedMatrix::pack(weights, rows, cols, scale).unwrap();
    let mut decoded = vec![0.0; rows * cols];
    for (row, out) in decoded.chunks_mut(cols).enumerate() {
        packed.view().decode_row(row, precision, reconstruction, out);
    }
    decoded
}

#[test]
fn weights_survive_a_hugging_face_folder_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    huggingface::write(folder.path(), &tiny::irregular(), 9, &huggingface::Form::default());
    let (architecture, values) = load_folder(folder.path()).unwrap();
    let copy = tempfile::tempdir().unwrap();
    save_weights(copy.path(), &architecture, &values).unwrap();
    let (same_architecture, same_values) = load_folder(copy.path()).unwrap();
    assert_eq!(architecture, same_architecture);
    assert!(values == same_values);
}

#[test]
fn a_weight_that_cannot_be_packed_is_named() {
    let architecture = tiny::regular();
    let parameters = parameters(&architecture);
    let mut values: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.1; p.shape[0] * p.shape[1]]).collect();
    values[2][70] = f32::NAN;
    let weights = TensorSet::from_host(values, &parameters, &Device::flex()).unwrap();
    let error = fake_quantize(&weights, &parameters, Precision::E5M3, Reconstruction::Midpoint, Scale::Fine)
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains(&parameters[2].name) && text.contains("row 1") && text.contains("NaN"), "{text}");
}

/// The gradient of a step whose low width learns from a high one, which the teacher is in three forms.
fn gradient_from(settings: PassSettings, form: usize) -> BatchGradient {
    let (architecture, device) = (otaro_tests::tiny::irregular(), Device::flex());
    let parameters = parameters(&architecture);
    let weights = TensorSet::from_host(initialize(&architecture, 3), &parameters, &device).unwrap();
    let at = |precision| {
        fake_quantize(&weights, &parameters, precision, Reconstruction::Midpoint, Scale::Fine).unwrap()
    };
    let (primary, low) = (at(Precision::E5M6), at(Precision::E5M3));
    let window = |seed: u32| Window {
        tokens: (0..13).map(|i| (i * 31 + seed * 17) % architecture.vocab_size as u32).collect(),
        scored: (0..12).map(|i| i % 5 != 0).collect(),
    };
    let windows: Vec<_> = (0..5).map(window).collect();
    let windows: Vec<_> = windows.iter().collect();
    let model = || Llama::new(&architecture, 12, &device);
    let mut engine = GradientEngine::new(model(), device.clone(), 2, 2, settings);
    let all = vec![Pass { weights: &primary, imitation: 0.0 }, Pass { weights: &low, imitation: 0.5 }];
    let teacher = [Logits::OfFirstPass, Logits::OfWeights(&primary), Logits::OfTeacher][form];
    let passes = Passes { all, teacher };
    if form == 2 {
        assert!(engine.gradient(&passes, &windows, 1).is_err(), "there is no teacher yet");
        engine = engine.with_teacher(model(), primary.clone());
    }
    engine.gradient(&passes, &windows, scored(&windows)).unwrap()
}

fn gradient(settings: PassSettings) -> BatchGradient {
    gradient_from(settings, 0)
}

#[test]
fn a_teacher_is_the_same_in_every_form() {
    for recompute in [false, true] {
        let settings = PassSettings { recompute, half: false };
        let first = gradient_from(settings, 0);
        for form in [1, 2] {
            let other = gradient_from(settings, form);
            assert_eq!(first.losses, other.losses);
            assert!(first.gradient.to_host().unwrap() == other.gradient.to_host().unwrap(), "{form}");
        }
    }
}

/// The length of the difference over the length of `b`.
fn relative_difference(a: &TensorSet, b: &TensorSet) -> f64 {
    a.clone().plus(b.clone().scale(-1.0)).norm() / b.norm()
}

#[test]
fn layers_computed_again_give_the_same_gradient() {
    let plain = gradient(PassSettings::default());
    let again = gradient(PassSettings { recompute: true, half: false });
    for (plain, again) in plain.losses.iter().zip(&again.losses) {
        assert!((plain - again).abs() < 1e-6 * plain);
    }
    let difference = relative_difference(&again.gradient, &plain.gradient);
    assert!(difference < 1e-5, "{difference:e}");
}

#[test]
fn half_floats_give_nearly_the_same_gradient() {
    let plain = gradient(PassSettings::default());
    for recompute in [false, true] {
        let half = gradient(PassSettings { recompute, half: true });
        let (loss, other) = (plain.losses[0], half.losses[0]);
        assert!((loss - other).abs() < 1e-3 * loss, "{loss} {other}");
        let difference = relative_difference(&half.gradient, &plain.gradient);
        assert!(difference > 1e-6 && difference < 1e-2, "{difference:e}");
    }
}
