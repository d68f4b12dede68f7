//! What only the GPU device can do, and how it refuses what it cannot.

use super::*;
use crate::{
    Backend, ErrorKind,
    checkpoint::Section,
    gpu::readback::{Content, ReadbackBuffer, Source},
};

impl GpuDevice {
    /// Overwrites the first rows of a slot, padding with zeros.
    pub(super) fn write_slot(&mut self, slot: Slot, values: &[f32]) {
        let width = self.architecture.width(slot);
        self.grow_slot(slot, values.len() / width).expect("room");
        let at = self.buffers.slots.get(slot);
        let mut padded = vec![0.0; values.len() / width * at.stride];
        for (to, from) in padded.chunks_mut(at.stride).zip(values.chunks(width)) {
            to[..width].copy_from_slice(from);
        }
        self.context.queue.write_buffer(&at.buffer, 0, bytemuck::cast_slice(&padded));
    }

    /// Overwrites a slot, padding included.
    pub(super) fn fill_slot(&mut self, slot: Slot, value: f32) {
        let at = self.buffers.slots.get(slot);
        let values = vec![value; at.rows * at.stride];
        self.context.queue.write_buffer(&at.buffer, 0, bytemuck::cast_slice(&values));
    }

    /// Ends a pass with the first rows of a slot, padding included.
    pub(super) fn read_padded(&mut self, slot: Slot, rows: usize) -> Vec<f32> {
        self.finish(Readback::Nothing).expect("the pass");
        let at = self.buffers.slots.get(slot);
        let source = Source {
            buffer: at.buffer.clone(),
            offset: 0,
            bytes: (rows * at.stride * 4) as u64,
            content: Content::Rows { width: at.stride, stride: at.stride },
        };
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        let mut readback = ReadbackBuffer::default();
        readback.copy(&self.context, &mut encoder, &source);
        self.context.queue.submit([encoder.finish()]);
        match source.content.output(&readback.words(&self.context, source.bytes).expect("words")) {
            Output::Rows(values) => values,
            other => panic!("rows were asked for, {other:?} came back"),
        }
    }
}

#[test]
fn there_is_an_adapter_and_it_is_listed() {
    let context = context();
    let adapters = GpuContext::adapters();
    println!("adapters: {adapters:#?}");
    assert!(
        adapters.iter().any(|adapter| adapter.name == context.info().name && adapter.unsuitable.is_none())
    );
}

#[test]
fn an_unknown_adapter_is_an_error_that_lists_the_others() {
    let options = GpuOptions { adapter: Some("no such adapter".into()), ..Default::default() };
    let error = GpuContext::open(&options).expect_err("no such adapter");
    assert_eq!(error.kind(), ErrorKind::NoAdapter);
    assert!(error.to_string().contains(&context().info().name), "{error}");
}

#[test]
fn only_the_planes_that_are_needed_are_uploaded_and_trim_gives_them_back() {
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let backend = model.backend(Reconstruction::Midpoint);
    assert_eq!(backend.resident_bytes(), 0, "nothing before the first pass");
    let bytes = |precision| {
        WeightMatrix::all(&architecture)
            .map(|matrix| matrix.grid(&architecture).bytes(precision))
            .sum::<usize>() as u64
    };
    let mut device = backend.device().expect("a device");
    let mut logits = |precision| {
        device.begin(batch(&[3], 0, &precisions(&architecture, precision))).expect("a pass");
        device.embed().expect("embed");
        device.rms_norm(Norm::Final).expect("norm");
        device.matmul(WeightMatrix::Head, Slot::Normed, 0..1, Slot::Logits).expect("matmul");
        read(device.as_mut(), Slot::Logits, 1)
    };
    let low = logits(Precision::E5M3);
    assert_eq!(backend.resident_bytes(), bytes(Precision::E5M3));
    let high = logits(Precision::E5M6);
    assert_eq!(backend.resident_bytes(), bytes(Precision::E5M6));
    assert_eq!(logits(Precision::E5M3), low, "lower again: the planes above are not read");
    assert_eq!(backend.resident_bytes(), bytes(Precision::E5M6), "lower again uploads and drops nothing");
    backend.trim(&precisions(&architecture, Precision::E5M4));
    assert_eq!(backend.resident_bytes(), bytes(Precision::E5M4));
    assert_eq!(logits(Precision::E5M3), low, "after trimming");
    assert_eq!(logits(Precision::E5M6), high, "uploaded again");
    assert_ne!(low, high);
}

#[test]
fn a_prefix_without_the_planes_says_so_and_still_works() {
    let architecture = regular();
    let model = TestModel::random(&architecture);
    let sections = model.checkpoint.sections();
    let end = sections.iter().find(|section| section.name == Section::Bit5).expect("bit5").begin;
    let bytes = std::fs::read(model.checkpoint.path()).expect("the file");
    let path = model.checkpoint.path().with_file_name("prefix.sefp.safetensors");
    std::fs::write(&path, &bytes[..(model.checkpoint.data_start() + end) as usize]).expect("a prefix");
    let prefix = Arc::new(Checkpoint::open(&path).expect("a prefix is a model"));
    let backend = GpuBackend::open(prefix, Reconstruction::Midpoint, &context()).expect("a backend");
    let mut device = backend.device().expect("a device");
    let error = device
        .begin(batch(&[1], 0, &precisions(&architecture, Precision::E5M7)))
        .expect_err("planes are missing");
    assert_eq!(error.kind(), ErrorKind::MissingPlanes, "{error}");
    // Before and after other planes were looked for in vain.
    for _ in 0..2 {
        device
            .begin(batch(&[1], 0, &precisions(&architecture, Precision::E5M4)))
            .expect("the planes that are there");
        device.embed().expect("embed");
        assert!(read(device.as_mut(), Slot::Hidden, 1).iter().any(|&value| value != 0.0));
        device
            .begin(batch(&[1], 0, &precisions(&architecture, Precision::E5M5)))
            .expect_err("planes are missing");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let mut device = model.device();
    let kind = |result: Result<()>| result.expect_err("an error").kind();
    let many = vec![0; device.max_batch() + 1];
    assert_eq!(kind(device.embed()), ErrorKind::InvalidArgument, "no pass");
    assert_eq!(
        kind(device.begin(batch(&[], 0, &precisions(&architecture, Precision::E5M3)))),
        ErrorKind::InvalidArgument,
        "no token"
    );
    assert_eq!(
        kind(device.begin(batch(&many, 0, &precisions(&architecture, Precision::E5M3)))),
        ErrorKind::InvalidArgument,
        "too many"
    );
    assert_eq!(
        kind(device.begin(batch(&[1037], 0, &precisions(&architecture, Precision::E5M3)))),
        ErrorKind::InvalidArgument,
        "no such token"
    );
    assert_eq!(
        kind(device.begin(batch(&[1], 1 << 40, &precisions(&architecture, Precision::E5M3)))),
        ErrorKind::ContextFull,
        "too far"
    );
    device.begin(batch(&[1, 2], 0, &precisions(&architecture, Precision::E5M3))).expect("a pass");
    let head = WeightMatrix::Head;
    for (what, result) in [
        ("shapes", device.matmul(head, Slot::Gate, 0..1, Slot::Logits)),
        ("rows", device.matmul(head, Slot::Normed, 0..3, Slot::Logits)),
        (
            "in place",
            device.matmul(
                WeightMatrix::Layer(0, crate::Projection::Output),
                Slot::Normed,
                0..1,
                Slot::Normed,
            ),
        ),
        (
            "layer",
            device.matmul(WeightMatrix::Layer(9, crate::Projection::Gate), Slot::Normed, 0..1, Slot::Gate),
        ),
        ("cache", device.attention(9)),
        ("norm", device.rms_norm(Norm::Attention(9))),
    ] {
        assert_eq!(kind(result), ErrorKind::InvalidArgument, "{what}");
    }
    // None of this did any harm.
    device.embed().expect("embed");
    assert_eq!(read(&mut device, Slot::Hidden, 2).len(), 2 * architecture.hidden_size);
}

#[test]
fn what_the_device_has_against_a_command_is_an_error_value() {
    let context = context();
    let error = context
        .guard("testing", || {
            let size = context.device.limits().max_buffer_size + 4;
            let _ = context.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            });
            Ok(())
        })
        .expect_err("a buffer beyond the limits");
    assert_eq!(error.kind(), ErrorKind::Device);
    assert!(error.to_string().contains(&context.info().name), "{error}");
    context.guard("testing", || Ok(())).expect("the error was reported once");
}

#[test]
fn a_lost_device_is_an_error_value_for_good() {
    let context = GpuContext::open(&GpuOptions::default()).expect("an adapter");
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let backend = GpuBackend::open(Arc::clone(&model.checkpoint), Reconstruction::Midpoint, &context)
        .expect("a backend");
    let mut device = backend.device().expect("a device");
    context.device.destroy();
    let _ = context.device.poll(wgpu::PollType::wait_indefinitely());
    for _ in 0..2 {
        let error = device
            .begin(batch(&[1], 0, &precisions(&architecture, Precision::E5M3)))
            .expect_err("the device is gone");
        assert_eq!(error.kind(), ErrorKind::Device, "{error}");
        assert!(error.to_string().contains("lost"), "{error}");
    }
}

#[test]
fn sessions_run_on_many_threads() {
    let architecture = ragged();
    let model = TestModel::random(&architecture);
    let backend = model.backend(Reconstruction::Midpoint);
    let logits = |precision| {
        let mut device = backend.device().expect("a device");
        device.begin(batch(&[3, 5], 0, &precisions(&architecture, precision))).expect("a pass");
        device.embed().expect("embed");
        device.rms_norm(Norm::Final).expect("norm");
        device.matmul(WeightMatrix::Head, Slot::Normed, 0..2, Slot::Logits).expect("matmul");
        read(device.as_mut(), Slot::Logits, 2)
    };
    // Planes come and go under the passes of other threads.
    let alone = Precision::ALL.map(logits);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (alone, logits, backend, architecture) = (&alone, &logits, &backend, &architecture);
            scope.spawn(move || {
                for round in 0..12 {
                    let precision = (thread + round) % 6;
                    let same = logits(Precision::ALL[precision]) == alone[precision];
                    assert!(same, "thread {thread}, round {round}, {}", Precision::ALL[precision]);
                    if thread == 0 {
                        backend.trim(&precisions(architecture, Precision::E5M5));
                    }
                }
            });
        }
    });
}
