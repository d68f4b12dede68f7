//! The kernels on the adapter of this machine. Without one the tests fail: a GPU device that was
//! never run proves nothing.

mod attention;
mod conformance;
mod device;
mod matmul;
mod operations;
mod profiles;
mod top_k;

use std::{
    io::Write,
    sync::{Arc, LazyLock},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sefp::{Precision, Reconstruction};
use tempfile::TempDir;

use super::{GpuBackend, GpuContext, GpuOptions, device::GpuDevice};
use crate::{
    Architecture, Batch, Checkpoint, Device, MatrixPrecisions, Norm, Output, PrecisionProfile, Readback,
    Result, Slot, WeightMatrix, checkpoint::WeightSource, pack::RandomWeights, test_checkpoint,
};

/// One context for all tests, on nothing but the default limits of WebGPU: that they suffice is
/// part of what is tested.
pub(super) fn context() -> Arc<GpuContext> {
    static CONTEXT: LazyLock<Arc<GpuContext>> = LazyLock::new(|| {
        let options = GpuOptions { default_limits: true, ..Default::default() };
        let context = GpuContext::open(&options).unwrap_or_else(|error| {
            panic!("the tests of the GPU device need an adapter (mesa-vulkan-drivers will do): {error}")
        });
        // Past the capture of the test harness: the log of every run names the adapter.
        let _ = writeln!(std::io::stderr(), "tests of the GPU device run on {}", context.info());
        context
    });
    Arc::clone(&CONTEXT)
}

/// A context of its own, with this many invocations of `matvec` to four rows.
pub(super) fn split_context(matvec_split: u32) -> Arc<GpuContext> {
    let options = GpuOptions { default_limits: true, ..Default::default() };
    let adapter = super::context::choose(super::context::enumerate(), &options).expect("an adapter");
    GpuContext::open_adapter(&adapter, &options, matvec_split).expect("a context")
}

/// A checkpoint in a folder that is deleted when the test is over.
pub(super) struct TestModel {
    pub(super) checkpoint: Arc<Checkpoint>,
    _folder: TempDir,
}

impl TestModel {
    /// A model with random weights.
    pub(super) fn random(architecture: &Architecture) -> Self {
        Self::write(architecture, &mut RandomWeights::new(architecture, 7))
    }

    pub(super) fn write(architecture: &Architecture, source: &mut dyn WeightSource) -> Self {
        let (folder, checkpoint) = test_checkpoint::write(architecture, source, Vec::new(), "none");
        Self { checkpoint, _folder: folder }
    }

    pub(super) fn backend(&self, reconstruction: Reconstruction) -> GpuBackend {
        GpuBackend::open(Arc::clone(&self.checkpoint), reconstruction, &context()).expect("a backend")
    }

    /// A backend whose matrices are cut into chunks of one row of tiles.
    pub(super) fn chunked_backend(&self, reconstruction: Reconstruction) -> GpuBackend {
        GpuBackend::with_chunks(Arc::clone(&self.checkpoint), reconstruction, &context(), 1)
            .expect("a backend")
    }

    pub(super) fn device(&self) -> GpuDevice {
        self.backend(Reconstruction::Midpoint).gpu_device().expect("a device")
    }
}

/// A small model in which nothing is a round number.
pub(super) fn ragged() -> Architecture {
    Architecture {
        vocab_size: 1037,
        hidden_size: 172,
        intermediate_size: 333,
        layers: 5,
        heads: 6,
        kv_heads: 2,
        head_dim: 10,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        rope_scaling: None,
        context_length: 2048,
        tied_head: false,
    }
}

/// A model of whole groups and a tied head.
pub(super) fn regular() -> Architecture {
    Architecture {
        vocab_size: 512,
        hidden_size: 256,
        intermediate_size: 704,
        layers: 2,
        heads: 4,
        kv_heads: 4,
        head_dim: 64,
        tied_head: true,
        ..ragged()
    }
}

/// Tokens `0..count`, far apart.
pub(super) fn tokens(architecture: &Architecture, count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 7919 % architecture.vocab_size) as u32).collect()
}

pub(super) fn batch<'a>(
    tokens: &'a [u32],
    position: usize,
    precisions: &'a Arc<MatrixPrecisions>,
) -> Batch<'a> {
    Batch { tokens, position, precisions }
}

/// A precision, or a profile, as a model of this shape reads it.
pub(super) fn precisions(
    architecture: &Architecture,
    profile: impl Into<PrecisionProfile>,
) -> Arc<MatrixPrecisions> {
    Arc::new(profile.into().resolve(architecture).expect("a profile of the model"))
}

pub(super) fn random_values(seed: u64, count: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Ends a pass with rows of a slot.
pub(super) fn read(device: &mut dyn Device, slot: Slot, rows: usize) -> Vec<f32> {
    match device.finish(Readback::Rows(slot, 0..rows)).expect("rows") {
        Output::Rows(values) => values,
        other => panic!("rows were asked for, {other:?} came back"),
    }
}

/// The largest difference, relative to the largest magnitude expected.
#[track_caller]
pub(super) fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let difference = (a - e).abs();
        assert!(
            difference <= tolerance * scale,
            "{what}: value {i} is {a}, {e} was expected (off by {:e} of the largest, {tolerance:e} allowed)",
            difference / scale
        );
    }
}

/// Weights that a closure makes.
pub(super) struct Made<F>(pub(super) Architecture, pub(super) F);

impl<F: FnMut(WeightMatrix, usize, usize) -> f32> WeightSource for Made<F> {
    fn rows(&mut self, matrix: WeightMatrix, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let cols = matrix.grid(&self.0).cols;
        Ok(rows
            .flat_map(|row| (0..cols).map(move |col| (row, col)))
            .map(|(row, col)| (self.1)(matrix, row, col))
            .collect())
    }

    fn norm(&mut self, _norm: Norm) -> Result<Vec<f32>> {
        Ok((0..self.0.hidden_size).map(|i| 0.5 + i as f32 / 64.0).collect())
    }
}
