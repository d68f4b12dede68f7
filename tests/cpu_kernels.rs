//! The kernels of this processor in a whole model, the one that ships.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{path::Path, sync::Arc};

use otaro::{
    CancelToken, Checkpoint, Model, Precision,
    cpu::{CpuKernel, CpuOptions},
};

/// A prompt, then tokens one by one: the logits of each at another precision.
fn logits(checkpoint: &Arc<Checkpoint>, kernel: CpuKernel) -> Vec<Vec<f32>> {
    let options = CpuOptions { kernel: Some(kernel), ..CpuOptions::default() };
    let model = Model::on_cpu(Arc::clone(checkpoint), None, &options).unwrap();
    let cancel = CancelToken::new();
    let prompt: Vec<u32> = (0..11).map(|i| 5 + 29 * i).collect();
    let mut session = model.session(Precision::E5M5).unwrap();
    let mut logits = vec![session.logits(&prompt, &cancel).unwrap()];
    for (token, precision) in (100..).zip(Precision::ALL) {
        session.set_precision(precision).unwrap();
        logits.push(session.logits(&[token], &cancel).unwrap());
    }
    logits
}

/// The kernels with activations in 8 bits share every bit of every logit.
#[test]
fn fast_kernels_decode_like_their_twin() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/storyteller-4m.sefp.safetensors");
    let checkpoint = Arc::new(Checkpoint::open(&path).unwrap());
    let exact = logits(&checkpoint, CpuKernel::Exact);
    let expected = logits(&checkpoint, CpuKernel::Int8);
    assert_ne!(expected, exact, "8 bits are not all of an activation");
    let twins = [CpuKernel::Plain, CpuKernel::Exact, CpuKernel::Int8];
    for kernel in CpuKernel::ALL.into_iter().filter(|kernel| kernel.is_available() && !twins.contains(kernel))
    {
        let got = logits(&checkpoint, kernel);
        assert!(got == expected, "{kernel}");
        assert!(got.iter().flatten().all(|logit| logit.is_finite()), "{kernel}");
    }
}

/// Whoever knows the processor says which kernel is to be found: the tests of the kernels pass over
/// those that are not there.
#[test]
fn the_fastest_kernel_is_the_expected_one() {
    let fastest = CpuKernel::fastest();
    assert!(fastest.is_available());
    if let Some(expected) = std::env::var_os("OTARO_EXPECT_KERNEL") {
        assert_eq!(Some(fastest.name()), expected.to_str());
    }
}
