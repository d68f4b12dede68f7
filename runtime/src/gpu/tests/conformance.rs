//! The whole device against the plain twins of the CPU, on random models: every operation after
//! every other, and whole forward passes.

use super::*;
use crate::{
    Backend, CancelToken, Projection,
    cpu::{CpuBackend, CpuOptions},
    forward::{Wanted, forward},
};

/// Both devices compute in f32 from bit-identical weights, but sum in another order: an error of
/// some 1e-7 per operation.
const TOLERANCE: f32 = 1e-5;
/// Behind the KV cache such an error may round a key or a value to the neighbouring f16, which is
/// 2^-11 of it away.
const CACHED_TOLERANCE: f32 = 1e-3;

fn devices(model: &TestModel, reconstruction: Reconstruction) -> [Box<dyn Device>; 2] {
    let cpu = CpuBackend::new(Arc::clone(&model.checkpoint), reconstruction, &CpuOptions::PLAIN)
        .expect("every machine has a CPU");
    [model.backend(reconstruction).device().expect("a GPU device"), cpu.device().expect("a CPU device")]
}

#[test]
fn every_operation_conforms() {
    /// Steps whose results have not been through the KV cache.
    const BEFORE_CACHE: usize = 5;
    type Step = (&'static str, Slot, fn(&mut dyn Device, usize) -> Result<()>);
    let steps: [Step; 11] = [
        ("embed", Slot::Hidden, |d, _| d.embed()),
        ("rms_norm", Slot::Normed, |d, _| d.rms_norm(Norm::Attention(0))),
        ("matmul", Slot::Value, |d, n| {
            let weight = |projection| WeightMatrix::Layer(0, projection);
            d.matmul(weight(Projection::Query), Slot::Normed, 0..n, Slot::Query)?;
            d.matmul(weight(Projection::Key), Slot::Normed, 0..n, Slot::Key)?;
            d.matmul(weight(Projection::Value), Slot::Normed, 0..n, Slot::Value)
        }),
        ("rope of queries", Slot::Query, |d, _| d.rope()),
        ("rope of keys", Slot::Key, |_, _| Ok(())),
        ("store_kv and attention", Slot::Attended, |d, _| d.store_kv(0).and_then(|()| d.attention(0))),
        ("output", Slot::Projected, |d, n| {
            d.matmul(WeightMatrix::Layer(0, Projection::Output), Slot::Attended, 0..n, Slot::Projected)
        }),
        ("add", Slot::Hidden, |d, _| d.add()),
        ("up", Slot::Up, |d, n| {
            d.rms_norm(Norm::FeedForward(0))?;
            d.matmul(WeightMatrix::Layer(0, Projection::Gate), Slot::Normed, 0..n, Slot::Gate)?;
            d.matmul(WeightMatrix::Layer(0, Projection::Up), Slot::Normed, 0..n, Slot::Up)
        }),
        ("swiglu", Slot::Gate, |d, _| d.swiglu()),
        ("logits", Slot::Logits, |d, n| d.matmul(WeightMatrix::Head, Slot::Normed, 0..n, Slot::Logits)),
    ];
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let tokens = tokens(&architecture, 7);
    for reconstruction in Reconstruction::ALL {
        let [mut gpu, mut cpu] = devices(&model, reconstruction);
        for precision in Precision::ALL {
            for (index, &(name, slot, _)) in steps.iter().enumerate() {
                let [actual, expected] = [&mut gpu, &mut cpu].map(|device| {
                    device.begin(batch(&tokens, 0, &precisions(&architecture, precision))).expect("a pass");
                    for (_, _, step) in &steps[..=index] {
                        step(device.as_mut(), tokens.len()).expect("a step");
                    }
                    read(device.as_mut(), slot, tokens.len())
                });
                let tolerance = if index < BEFORE_CACHE { TOLERANCE } else { CACHED_TOLERANCE };
                let what = format!("{name}, {precision}, {reconstruction}");
                assert_close(&what, &actual, &expected, tolerance);
            }
        }
    }
}

#[test]
fn forward_passes_conform_at_every_precision() {
    for (shape, architecture) in [("ragged", ragged()), ("regular", regular())] {
        let model = TestModel::random(&architecture);
        for reconstruction in Reconstruction::ALL {
            for precision in Precision::ALL {
                let [mut gpu, mut cpu] = devices(&model, reconstruction);
                let mut position = 0;
                // A prompt in two odd batches, then tokens one by one, the last ones at another precision.
                for (count, precision) in
                    [(13, precision), (5, precision), (1, precision), (1, precision), (1, Precision::E5M4)]
                {
                    let tokens = tokens(&architecture, count);
                    let [actual, expected] = [&mut gpu, &mut cpu].map(|device| {
                        let precisions = precisions(&architecture, precision);
                        let batch = batch(&tokens, position, &precisions);
                        let cancel = CancelToken::new();
                        match forward(device.as_mut(), &architecture, batch, Wanted::AllLogits, &cancel) {
                            Ok(Output::Rows(logits)) => logits,
                            other => panic!("logits were asked for, {other:?} came back"),
                        }
                    });
                    let what =
                        format!("{shape}, {count} tokens at {position}, {precision}, {reconstruction}");
                    assert_close(&what, &actual, &expected, CACHED_TOLERANCE);
                    position += count;
                }
            }
        }
    }
}

#[test]
fn greedy_text_is_the_same_and_sessions_do_not_disturb_each_other() {
    let architecture = regular();
    let model = TestModel::random(&architecture);
    let backend = model.backend(Reconstruction::Midpoint);
    let cpu = CpuBackend::new(Arc::clone(&model.checkpoint), Reconstruction::Midpoint, &CpuOptions::PLAIN)
        .expect("every machine has a CPU");
    let mut devices = [
        backend.device().expect("a device"),
        backend.device().expect("a device"),
        cpu.device().expect("a device"),
    ];
    let mut texts = [vec![1], vec![1], vec![1]];
    for position in 0..40 {
        let precision = Precision::ALL[position % 6];
        for (device, text) in devices.iter_mut().zip(&mut texts) {
            let token = [text[position]];
            let precisions = precisions(&architecture, precision);
            let batch = batch(&token, position, &precisions);
            match forward(device.as_mut(), &architecture, batch, Wanted::TopK(1), &CancelToken::new()) {
                Ok(Output::TopK(best)) => text.push(best[0].token),
                other => panic!("a token was asked for, {other:?} came back"),
            }
        }
    }
    assert_eq!(texts[0], texts[2], "GPU and CPU");
    assert_eq!(texts[0], texts[1], "two sessions on one backend");
}
