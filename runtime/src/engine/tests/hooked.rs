//! A device that does something else first.

use std::{ops::Range, sync::Arc};

use crate::{
    Backend, Batch, Device, DeviceInfo, MatrixPrecisions, Model, Norm, Output, Readback, Result, Slot,
    WeightMatrix,
    cpu::{CpuBackend, CpuOptions},
    engine::Engine,
    generate::test_models::{TEMPLATE, tiny},
};

/// The CPU with something in front of every pass.
struct Hooked {
    cpu: CpuBackend,
    before: fn(),
}

struct HookedDevice {
    cpu: Box<dyn Device>,
    before: fn(),
}

impl Backend for Hooked {
    fn info(&self) -> &DeviceInfo {
        self.cpu.info()
    }

    fn device(&self) -> Result<Box<dyn Device>> {
        Ok(Box::new(HookedDevice { cpu: self.cpu.device()?, before: self.before }))
    }

    fn prepare(&self, precisions: &MatrixPrecisions) -> Result<()> {
        self.cpu.prepare(precisions)
    }

    fn trim(&self, precisions: &MatrixPrecisions) {
        self.cpu.trim(precisions);
    }

    fn resident_bytes(&self) -> u64 {
        self.cpu.resident_bytes()
    }
}

impl Device for HookedDevice {
    fn max_batch(&self) -> usize {
        self.cpu.max_batch()
    }

    fn runs_at_once(&self) -> bool {
        self.cpu.runs_at_once()
    }

    fn max_logits_rows(&self) -> usize {
        self.cpu.max_logits_rows()
    }

    fn kv_bytes(&self) -> u64 {
        self.cpu.kv_bytes()
    }

    fn begin(&mut self, batch: Batch<'_>) -> Result<()> {
        (self.before)();
        self.cpu.begin(batch)
    }

    fn embed(&mut self) -> Result<()> {
        self.cpu.embed()
    }

    fn rms_norm(&mut self, weight: Norm) -> Result<()> {
        self.cpu.rms_norm(weight)
    }

    fn matmul(&mut self, weight: WeightMatrix, input: Slot, rows: Range<usize>, output: Slot) -> Result<()> {
        self.cpu.matmul(weight, input, rows, output)
    }

    fn rope(&mut self) -> Result<()> {
        self.cpu.rope()
    }

    fn store_kv(&mut self, layer: usize) -> Result<()> {
        self.cpu.store_kv(layer)
    }

    fn attention(&mut self, layer: usize) -> Result<()> {
        self.cpu.attention(layer)
    }

    fn swiglu(&mut self) -> Result<()> {
        self.cpu.swiglu()
    }

    fn add(&mut self) -> Result<()> {
        self.cpu.add()
    }

    fn finish(&mut self, readback: Readback) -> Result<Output> {
        self.cpu.finish(readback)
    }
}

/// An engine of the tiny model, with this in front of every pass.
pub(super) fn hooked(before: fn()) -> Engine {
    let checkpoint = Arc::clone(tiny(Some(TEMPLATE), &[]).checkpoint().expect("a file"));
    let reconstruction = checkpoint.reconstruction();
    let cpu =
        CpuBackend::new(Arc::clone(&checkpoint), reconstruction, &CpuOptions::default()).expect("a CPU");
    let model = Model::with_backend(checkpoint, Box::new(Hooked { cpu, before }));
    Engine::with_model(model).expect("an engine")
}
