//! Tunes one decoder block after the other.

use anyhow::{Result, anyhow, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use otaro::{Architecture, Precision, WeightMatrix, pack::HuggingFaceFolder};
use rand::seq::SliceRandom;
use sefp::{GROUP_SIZE, fake_quantize_group};

use super::{
    BlockReport, CalibrateSettings,
    job::Watch,
    masters::{block_parameters, parts, read_block, read_matrix},
    shares::random,
    state::StateFolder,
    streams::{Stream, Streams},
};
use crate::{
    data::Window,
    model::{Llama, Parameter, TensorSet, fake_quantize},
    train::{
        Optimizer,
        gradient::side_by_side,
        pass::{Sum, track},
    },
};

/// Steps over which the learning rate of a block rises.
const WARMUP: u64 = 5;
/// Windows on which the error of a block is reported.
const PROBE: usize = 8;

/// The tuning of all blocks.
pub(super) struct Blockwise<'a> {
    pub(super) settings: &'a CalibrateSettings,
    pub(super) folder: &'a mut HuggingFaceFolder,
    pub(super) state: &'a StateFolder,
    pub(super) windows: &'a [&'a Window],
    pub(super) engine: BlockEngine,
}

impl Blockwise<'_> {
    /// Tunes every block that is not done yet; `None` when it was interrupted.
    ///
    /// # Errors
    /// Those of the folder and of the disk; an error that is not finite.
    pub(super) fn run(
        &mut self,
        streams: &mut Streams,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<BlockReport>>> {
        let architecture = &self.settings.architecture;
        self.embed(streams)?;
        let mut reports = Vec::new();
        for layer in 0..architecture.layers {
            let parameters = block_parameters(architecture, layer);
            let original = read_block(self.folder, architecture, layer, &self.engine.device)?;
            self.engine.advance(streams, Stream::Reference, &original, self.windows.len())?;
            watch.advanced(self.windows.len());
            let known = self.state.load_block(layer, &parameters, &self.engine.device)?;
            let tuned = match known {
                Some(tuned) => {
                    watch.advanced(watch.block_steps());
                    Some(tuned)
                }
                None => {
                    let tuned = self.tune(layer, &parameters, original, streams, watch)?;
                    if let Some((weights, report)) = &tuned {
                        self.state.save_block(weights, &parameters, report)?;
                    }
                    tuned
                }
            };
            let Some((weights, report)) = tuned else { return Ok(None) };
            for (index, precision) in self.settings.shares.precisions().enumerate() {
                if watch.is_cancelled() {
                    return Ok(None);
                }
                let quantised = self.quantise(&weights, &parameters, precision)?;
                self.engine.advance(streams, Stream::At(index), &quantised, self.windows.len())?;
                watch.advanced(self.windows.len());
            }
            reports.push(report);
        }
        Ok(Some(reports))
    }

    /// The streams before the first block: rows of the embedding, which is read at every precision too.
    fn embed(&mut self, streams: &mut Streams) -> Result<()> {
        let settings = self.settings;
        let width = settings.architecture.hidden_size;
        let embedding = read_matrix(self.folder, &settings.architecture, WeightMatrix::Embedding)?;
        let rows = |window: &Window| -> Vec<f32> {
            let tokens = &window.tokens[..settings.length];
            tokens.iter().flat_map(|&token| &embedding[token as usize * width..][..width]).copied().collect()
        };
        for (number, window) in self.windows.iter().enumerate() {
            let values = rows(window);
            streams.write(Stream::Reference, number, &values)?;
            for (index, precision) in settings.shares.precisions().enumerate() {
                let mut values = values.clone();
                for group in values.chunks_mut(width).flat_map(|row| row.chunks_mut(GROUP_SIZE)) {
                    fake_quantize_group(group, precision, settings.reconstruction, settings.scale)?;
                }
                streams.write(Stream::At(index), number, &values)?;
            }
        }
        Ok(())
    }

    /// Trains the masters of a block and says what it brought; `None` when it was interrupted.
    fn tune(
        &self,
        layer: usize,
        parameters: &[Parameter],
        original: TensorSet,
        streams: &Streams,
        watch: &mut Watch<'_>,
    ) -> Result<Option<(TensorSet, BlockReport)>> {
        let settings = self.settings;
        let before = self.errors(&original, parameters, streams)?;
        let optimizer_settings = settings.optimizer(settings.learning_rate, WARMUP);
        let mut optimizer = Optimizer::new(&optimizer_settings, None);
        let mut weights = original;
        let precisions: Vec<_> = settings.shares.precisions().collect();
        let plan = settings.shares.plan(settings.steps, "calibrate blocks", settings.seed, layer as u64);
        let mut windows = Batches::new(self.windows.len(), settings.seed, layer);
        for (step, precision) in plan.into_iter().enumerate() {
            if watch.is_cancelled() {
                return Ok(None);
            }
            let batch = windows.next(settings.batch);
            let stream = precisions.iter().position(|&it| it == precision).unwrap_or_default();
            let quantised = self.quantise(&weights, parameters, precision)?;
            let (error, gradient) = self.engine.gradient(&quantised, streams, Stream::At(stream), &batch)?;
            ensure!(
                error.is_finite(),
                "block {layer}, step {}: the error at {precision} is {error}; a lower --learning-rate may help",
                step + 1
            );
            let rate = optimizer_settings.rate(step as u64, settings.steps as u64);
            weights = optimizer.update(weights, parameters, gradient, 0.0, rate);
            let layers = settings.architecture.layers;
            let message = format!("block {} of {layers} {precision} error {error:.2e}", layer + 1);
            watch.block_step(settings.batch, message);
        }
        let after = self.errors(&weights, parameters, streams)?;
        let errors = precisions.iter().zip(before.into_iter().zip(after));
        let errors = errors.map(|(it, (before, after))| (it.mantissa_bits(), before, after)).collect();
        Ok(Some((weights, BlockReport { layer, errors })))
    }

    /// The error at every precision, on a few windows.
    fn errors(&self, weights: &TensorSet, parameters: &[Parameter], streams: &Streams) -> Result<Vec<f64>> {
        let windows: Vec<usize> = (0..self.windows.len().min(PROBE)).collect();
        let at = |(index, precision)| {
            let quantised = self.quantise(weights, parameters, precision)?;
            self.engine.error(&quantised, streams, Stream::At(index), &windows)
        };
        self.settings.shares.precisions().enumerate().map(at).collect()
    }

    fn quantise(
        &self,
        weights: &TensorSet,
        parameters: &[Parameter],
        precision: Precision,
    ) -> Result<TensorSet> {
        fake_quantize(weights, parameters, precision, self.settings.reconstruction, self.settings.scale)
    }
}

/// Windows in random orders, every one once before any comes again.
struct Batches {
    count: usize,
    seed: u64,
    layer: usize,
    epoch: u64,
    left: Vec<usize>,
}

impl Batches {
    fn new(count: usize, seed: u64, layer: usize) -> Self {
        Self { count, seed, layer, epoch: 0, left: Vec::new() }
    }

    fn next(&mut self, batch: usize) -> Vec<usize> {
        let mut windows = Vec::with_capacity(batch);
        while windows.len() < batch {
            if self.left.is_empty() {
                self.left = (0..self.count).collect();
                let round = (self.layer as u64) << 32 | self.epoch;
                self.left.shuffle(&mut random("calibrate windows", self.seed, round));
                self.epoch += 1;
            }
            windows.extend(self.left.pop());
        }
        windows
    }
}

/// Passes through one block, on several threads.
pub(super) struct BlockEngine {
    model: Llama,
    device: Device,
    threads: usize,
    micro_batch: usize,
    width: usize,
}

impl BlockEngine {
    pub(super) fn new(
        architecture: &Architecture,
        length: usize,
        device: &Device,
        threads: usize,
        micro_batch: usize,
    ) -> Self {
        Self {
            model: Llama::new(architecture, length, device),
            device: device.clone(),
            threads: threads.max(1),
            micro_batch: micro_batch.max(1),
            width: architecture.hidden_size,
        }
    }

    /// Sends a stream through a block.
    fn advance(
        &self,
        streams: &mut Streams,
        stream: Stream,
        block: &TensorSet,
        windows: usize,
    ) -> Result<()> {
        let numbers: Vec<usize> = (0..windows).collect();
        let micro_batches: Vec<&[usize]> = numbers.chunks(self.micro_batch).collect();
        for round in micro_batches.chunks(self.threads) {
            let read = &*streams;
            let results = side_by_side(round, |windows: &[usize]| -> Result<Vec<f32>> {
                let (matrices, norms) = parts(block);
                let x = self.tensor(read.read(stream, windows)?);
                Ok(self.model.block(matrices, norms, x).try_into_data()?.try_into_vec()?)
            });
            for (windows, result) in round.iter().zip(results) {
                let values = result.map_err(panicked)??;
                for (&window, values) in windows.iter().zip(values.chunks(values.len() / windows.len())) {
                    streams.write(stream, window, values)?;
                }
            }
        }
        Ok(())
    }

    /// The mean error of a block on some windows of a stream, and its gradient.
    fn gradient(
        &self,
        block: &TensorSet,
        streams: &Streams,
        stream: Stream,
        windows: &[usize],
    ) -> Result<(f64, TensorSet)> {
        let parts_of_it = self.in_parts(windows, |part| {
            let leaves = track(block);
            let (matrices, norms) = parts(&leaves);
            let x = self.tensor(streams.read(stream, part)?);
            let target = self.tensor(streams.read(Stream::Reference, part)?);
            let share = part.len() as f64 / windows.len() as f64;
            let y = self.model.block(matrices, norms, x.autodiff());
            let error = relative_error(y, target.autodiff().detach()) * share;
            let value = f64::from(error.clone().into_scalar::<f32>());
            let mut sum = Sum::new(block);
            sum.add(&leaves, &mut error.backward());
            Ok((value, sum.finish()))
        })?;
        let mut parts_of_it = parts_of_it.into_iter();
        let first = parts_of_it.next().ok_or_else(|| anyhow!("a step needs windows"))?;
        Ok(parts_of_it.fold(first, |(error, sum), (more, gradient)| (error + more, sum.plus(gradient))))
    }

    /// The mean error of a block on some windows of a stream.
    fn error(&self, block: &TensorSet, streams: &Streams, stream: Stream, windows: &[usize]) -> Result<f64> {
        let errors = self.in_parts(windows, |part| {
            let (matrices, norms) = parts(block);
            let x = self.tensor(streams.read(stream, part)?);
            let target = self.tensor(streams.read(Stream::Reference, part)?);
            let error = relative_error(self.model.block(matrices, norms, x), target);
            let share = part.len() as f64 / windows.len() as f64;
            Ok(f64::from(error.into_scalar::<f32>()) * share)
        })?;
        Ok(errors.into_iter().sum())
    }

    /// Does something with every micro-batch, several at a time; the results are in their order.
    fn in_parts<T: Send>(
        &self,
        windows: &[usize],
        task: impl Fn(&[usize]) -> Result<T> + Copy + Send,
    ) -> Result<Vec<T>> {
        let micro_batches: Vec<&[usize]> = windows.chunks(self.micro_batch).collect();
        let mut results = Vec::new();
        for round in micro_batches.chunks(self.threads) {
            for result in side_by_side(round, task) {
                results.push(result.map_err(panicked)??);
            }
        }
        Ok(results)
    }

    /// Rows of the residual stream, `[windows * length, width]`.
    fn tensor(&self, values: Vec<f32>) -> Tensor<2> {
        let shape = [values.len() / self.width, self.width];
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// The squared difference over the square of the target, token by token, on average, `[1]`. A few
/// tokens have activations a thousand times larger than others: without the division nothing else
/// would count, and the next norm divides by their size anyway.
fn relative_error(y: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    let weight = target.clone().powi_scalar(2).mean_dim(1).recip();
    ((y - target).powi_scalar(2).mean_dim(1) * weight).mean()
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> anyhow::Error {
    anyhow!("a thread that computes a block panicked")
}
