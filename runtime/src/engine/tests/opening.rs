//! The way to an opened model.

use super::*;
use crate::{DeviceChoice, Error, OpenOptions, Precision, checkpoint::ModelSource};

#[test]
fn opening_tells_how_far_it_is_and_can_be_cancelled() {
    let source = || {
        ModelSource::Path(
            concat!(env!("CARGO_MANIFEST_DIR"), "/../models/storyteller-4m.sefp.safetensors").into(),
        )
    };
    let options = EngineOptions {
        open: OpenOptions { device: DeviceChoice::Cpu, ..Default::default() },
        verify: true,
        prepare: Some(Precision::E5M5.into()),
        state_folder: None,
    };
    let mut steps = Vec::new();
    let engine = Engine::open(source(), &options, &mut |progress| {
        steps.push(progress);
        Ok(())
    });
    assert_eq!(engine.expect("a model").info().expect("its figures").context_length, 512);
    assert!(steps.iter().all(|step| (0.0..=1.0).contains(&step.fraction)), "{steps:?}");
    assert!(steps.is_sorted_by(|a, b| (a.stage, a.fraction) <= (b.stage, b.fraction)), "{steps:?}");
    let stages: Vec<_> = steps.chunk_by(|a, b| a.stage == b.stage).map(|steps| steps[0].stage).collect();
    use OpenStage::{Checking, Device, Ready, Text, Verifying, Weights};
    assert_eq!(stages, [Checking, Verifying, Text, Device, Weights, Ready]);

    for stop_at in 0..steps.len() {
        let mut step = 0;
        let stopped = Engine::open(source(), &options, &mut |_| {
            step += 1;
            if step > stop_at { Err(Error::new(ErrorKind::Cancelled, "enough")) } else { Ok(()) }
        });
        assert_eq!(kind(stopped), ErrorKind::Cancelled);
        assert_eq!(step, stop_at + 1, "it went on");
    }

    let opening = Opening::begin(source(), options).expect("a thread");
    let mut last = None;
    while let Some(progress) = pollster::block_on(opening.next_progress()) {
        last = Some(progress);
    }
    assert_eq!(last, Some(OpenProgress { stage: Ready, fraction: 1.0 }));
    assert!(opening.engine_blocking().is_ok());
    assert_eq!(kind(opening.engine_blocking()), ErrorKind::InvalidArgument, "it was taken");
}
