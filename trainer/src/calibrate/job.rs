//! A calibration from its first block to the folder that it leaves.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use burn::tensor::Device;
use otaro::{CancelToken, pack::HuggingFaceFolder};

use super::{
    BlockReport, CalibrateSettings,
    blockwise::Blockwise,
    distill::Distillation,
    engine::BlockEngine,
    masters,
    state::{Distilled, StateFolder},
    streams::Streams,
    write::{Tuned, write_model},
};
use crate::{
    data::{Dataset, Window},
    model::{Llama, TensorSet, load_folder, parameters},
};

/// How far a calibration is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Work done, in passes of a window through a block.
    pub done: u64,
    /// Work in all.
    pub total: u64,
    /// What is being done.
    pub message: String,
}

/// What a calibration is given.
pub struct Job<'a> {
    /// What must stay the same when it is resumed.
    pub settings: &'a CalibrateSettings,
    /// The Hugging Face folder of the model.
    pub model: &'a Path,
    /// The text.
    pub data: &'a Dataset,
    /// Where everything goes.
    pub out: &'a Path,
    /// Threads that compute.
    pub threads: usize,
    /// Bytes of activations that may be kept in memory; more go to files in `out`.
    pub memory_budget: u64,
    /// Time between two saved states of the distillation.
    pub save_every: Duration,
}

impl Job<'_> {
    /// The fingerprint that goes into the settings.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn fingerprint(model: &Path) -> Result<String> {
        masters::fingerprint(model)
    }

    /// Tunes, distils, and writes the model. Returns what every block gained, or `None` when it was
    /// interrupted: with `resume` it goes on as if nothing had been.
    ///
    /// # Errors
    /// Bad input, a full disk, a loss that is not finite. What is done is kept.
    pub fn run(
        &self,
        resume: bool,
        cancel: &CancelToken,
        report: &mut dyn FnMut(&Progress),
    ) -> Result<Option<Vec<BlockReport>>> {
        let settings = self.settings;
        let available = self.data.windows();
        ensure!(
            settings.windows <= available,
            "the text makes {available} windows of {} tokens and --windows asks for {}: give more text or fewer \
             windows",
            settings.length,
            settings.windows
        );
        ensure!(settings.windows > 0 && settings.batch > 0, "at least one window is needed, and one a step");
        let state = StateFolder::open(self.out, settings, resume)?;
        let mut watch = Watch::new(settings, cancel, report);
        let device = Device::flex();
        let mut folder = HuggingFaceFolder::open(self.model)?;
        let Some(reports) = self.tune_blocks(&state, &mut folder, &device, &mut watch)? else {
            return Ok(None);
        };
        let distilled = match settings.distill_steps {
            0 => None,
            _ => match self.distill(&state, &device, &mut watch)? {
                Some(weights) => Some(weights),
                None => return Ok(None),
            },
        };
        let mut tuned = match &distilled {
            Some(weights) => Tuned::Whole(weights),
            None => Tuned::Blocks { state: &state, folder: &mut folder },
        };
        write_model(self.out, self.model, settings, &mut tuned)?;
        Ok(Some(reports))
    }

    fn tune_blocks(
        &self,
        state: &StateFolder,
        folder: &mut HuggingFaceFolder,
        device: &Device,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<BlockReport>>> {
        let settings = self.settings;
        if let Some(reports) = state.reports(&settings.architecture, device)? {
            watch.blocks_are_done();
            return Ok(Some(reports));
        }
        let windows: Vec<&Window> = self.data.batch(0, settings.windows, settings.seed);
        let values = settings.length * settings.architecture.hidden_size;
        let precisions = settings.shares.precisions().count();
        let mut streams = Streams::new(precisions, windows.len(), values, self.memory_budget, self.out)?;
        let engine = BlockEngine::new(
            &settings.architecture,
            settings.length,
            device,
            self.threads,
            settings.micro_batch,
        );
        let mut blockwise = Blockwise { settings, folder, state, windows: &windows, engine };
        blockwise.run(&mut streams, watch)
    }

    fn distill(
        &self,
        state: &StateFolder,
        device: &Device,
        watch: &mut Watch<'_>,
    ) -> Result<Option<TensorSet>> {
        let settings = self.settings;
        let parameters = parameters(&settings.architecture);
        let teacher = TensorSet::from_host(load_folder(self.model)?.1, &parameters, device)?;
        let from = match state.load_distilled(&parameters, device)? {
            Some(distilled) => distilled,
            None => Distilled { step: 0, weights: self.assemble(state, &teacher, device)?, moments: None },
        };
        let distillation = Distillation {
            settings,
            parameters: &parameters,
            state,
            data: self.data,
            model: Llama::new(&settings.architecture, settings.length, device),
            device: device.clone(),
            threads: self.threads,
            save_every: self.save_every,
        };
        distillation.run(from, &teacher, watch)
    }

    /// The whole model with the blocks that were tuned.
    fn assemble(&self, state: &StateFolder, original: &TensorSet, device: &Device) -> Result<TensorSet> {
        let architecture = &self.settings.architecture;
        let all = parameters(architecture);
        let mut tensors = original.tensors().to_vec();
        for layer in 0..architecture.layers {
            let of_block = masters::block_parameters(architecture, layer);
            let (block, _) = state.block(layer, &of_block, device)?;
            for (parameter, tensor) in of_block.iter().zip(block.into_tensors()) {
                if let Some(index) = all.iter().position(|it| it.name == parameter.name) {
                    tensors[index] = tensor;
                }
            }
        }
        Ok(TensorSet::new(tensors))
    }
}

/// Tells how far it is, and whether to stop.
pub(super) struct Watch<'a> {
    cancel: &'a CancelToken,
    report: &'a mut dyn FnMut(&Progress),
    progress: Progress,
    block_steps: usize,
    all_blocks: usize,
    distill_step: usize,
    reported: Option<Instant>,
}

/// Passes that a forward and a backward pass are worth.
const TRAINING: usize = 3;

impl<'a> Watch<'a> {
    fn new(
        settings: &CalibrateSettings,
        cancel: &'a CancelToken,
        report: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        let layers = settings.architecture.layers;
        let block_steps = settings.steps * settings.batch * TRAINING;
        let streams = settings.shares.precisions().count() + 1;
        // The teacher passes once; embedding, head and update count like some blocks.
        let distill_step = settings.batch * (TRAINING + 1) * (layers + layers / 3 + 1);
        let all_blocks = layers * (block_steps + streams * settings.windows);
        let total = all_blocks + settings.distill_steps * distill_step;
        let progress = Progress { done: 0, total: total as u64, message: String::new() };
        Self { cancel, report, progress, block_steps, all_blocks, distill_step, reported: None }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The work of the steps of a block.
    pub(super) fn block_steps(&self) -> usize {
        self.block_steps
    }

    /// A step of a block, on some windows, is done.
    pub(super) fn block_step(&mut self, windows: usize, message: String) {
        self.progress.message = message;
        self.advanced(windows * TRAINING);
    }

    /// All blocks were tuned by an earlier process.
    pub(super) fn blocks_are_done(&mut self) {
        self.advanced(self.all_blocks);
    }

    /// Some steps of the whole model are done.
    pub(super) fn distill_steps(&mut self, steps: usize, message: String) {
        self.progress.message = message;
        self.advanced(steps * self.distill_step);
    }

    /// Work is done.
    pub(super) fn advanced(&mut self, work: usize) {
        self.progress.done += work as u64;
        // A terminal need not hear of it more often.
        if self.reported.is_none_or(|at| at.elapsed() >= Duration::from_millis(100)) {
            (self.report)(&self.progress);
            self.reported = Some(Instant::now());
        }
    }
}
