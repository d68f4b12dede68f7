//! Profiles: the GPU reads each matrix at the precision at which the plain twins of the CPU read it, uploads
//! the planes of that and no others, and gives them back by matrix.

use super::*;
use crate::{
    Backend, CancelToken,
    cpu::{CpuBackend, CpuOptions},
    forward::{Wanted, forward},
};

/// As in `conformance.rs`: an error of the sums may round a key or a value to the neighbouring f16.
const TOLERANCE: f32 = 1e-3;

fn profile(text: &str) -> PrecisionProfile {
    text.parse().expect("a profile")
}

#[test]
fn forward_passes_conform_with_profiles() {
    let profiles = ["3,head=8", "8,embedding=3", "4,embedding=8,head=5", "6,mlp=3,layers.1=8,layers.0.mlp=7"];
    for (shape, architecture) in [("ragged", ragged()), ("regular", regular())] {
        let model = TestModel::random(&architecture);
        for reconstruction in Reconstruction::ALL {
            let backend = model.chunked_backend(reconstruction);
            let cpu = CpuBackend::new(Arc::clone(&model.checkpoint), reconstruction, &CpuOptions::PLAIN);
            let cpu = cpu.expect("every machine has a CPU");
            // One session through all profiles: the cache is a mixture.
            let mut devices = [backend.device().expect("a GPU device"), cpu.device().expect("a CPU device")];
            let mut position = 0;
            for text in profiles {
                let precisions = precisions(&architecture, profile(text));
                for count in [5, 1] {
                    let tokens = tokens(&architecture, count);
                    let [actual, expected] = devices.each_mut().map(|device| {
                        let batch = batch(&tokens, position, &precisions);
                        let cancel = CancelToken::new();
                        match forward(device.as_mut(), &architecture, batch, Wanted::AllLogits, &cancel) {
                            Ok(Output::Rows(logits)) => logits,
                            other => panic!("logits were asked for, {other:?} came back"),
                        }
                    });
                    let what = format!("{shape}, {text}, {count} tokens at {position}, {reconstruction}");
                    assert_close(&what, &actual, &expected, TOLERANCE);
                    position += count;
                }
            }
        }
    }
}

#[test]
fn planes_are_uploaded_and_given_back_by_matrix() {
    for architecture in [ragged(), regular()] {
        let model = TestModel::random(&architecture);
        let backend = model.backend(Reconstruction::Midpoint);
        let resolve = |text| precisions(&architecture, profile(text));
        // Planes and scales; the norms, which are always there, are not counted on the GPU.
        let bytes = |text| {
            let precisions = resolve(text);
            let bytes = |matrix: WeightMatrix| matrix.grid(&architecture).bytes(precisions.planes(matrix));
            WeightMatrix::all(&architecture).map(bytes).sum::<usize>() as u64
        };
        let mut device = backend.device().expect("a device");
        let mut hidden = |text| {
            let cancel = CancelToken::new();
            let (precisions, tokens) = (resolve(text), tokens(&architecture, 3));
            let batch = batch(&tokens, 0, &precisions);
            match forward(device.as_mut(), &architecture, batch, Wanted::LastLogits, &cancel) {
                Ok(Output::Rows(logits)) => logits,
                other => panic!("logits were asked for, {other:?} came back"),
            }
        };
        let first = hidden("3,head=6,layers.1=5");
        assert_eq!(backend.resident_bytes(), bytes("3,head=6,layers.1=5"));
        let second = hidden("4,layers.1=3");
        assert_eq!(
            backend.resident_bytes(),
            bytes("4,head=6,layers.1=5"),
            "each matrix has the most of both"
        );
        assert_eq!(hidden("3,head=6,layers.1=5"), first, "back again");
        backend.trim(&resolve("4,layers.0=3"));
        assert_eq!(backend.resident_bytes(), bytes("4,layers.0=3"));
        backend.trim(&resolve("8"));
        assert_eq!(backend.resident_bytes(), bytes("4,layers.0=3"), "there was nothing above");
        assert_eq!(hidden("4,layers.1=3"), second, "uploaded again");
        backend.prepare(&resolve("3,embedding=7")).expect("planes");
        assert_eq!(backend.resident_bytes(), bytes("4,embedding=7"));
        assert_eq!(hidden("3,head=6,layers.1=5"), first);
    }
}
