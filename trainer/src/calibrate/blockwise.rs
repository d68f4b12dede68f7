//! Tunes one decoder block after the other.

use anyhow::{Result, ensure};
use otaro::{Precision, WeightMatrix, pack::HuggingFaceFolder};
use sefp::{GROUP_SIZE, fake_quantize_group};

use super::{
    BlockReport, CalibrateSettings,
    channels::Rescaling,
    engine::BlockEngine,
    job::Watch,
    masters::{block_parameters, read_block, read_matrix},
    state::StateFolder,
    streams::{Stream, Streams},
};
use crate::{
    data::{Window, order::permutation},
    model::{Parameter, TensorSet, fake_quantize},
    train::Optimizer,
};

/// Steps over which the learning rate of a block rises.
const WARMUP: u64 = 5;
/// Windows on which the error of a block is reported.
const PROBE: usize = 8;
/// Powers that are tried for the scales of channels, beside 0.
const POWERS: [f32; 3] = [0.2, 0.4, 0.6];
/// Precisions that scales of channels are chosen for, from the lowest.
const LOWEST: usize = 2;

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
        let mut weights = match settings.channel_scaling {
            true => self.scale_channels(original, parameters, streams, &before)?,
            false => original,
        };
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

    /// Scales the input channels of the matrices, which leaves the unquantised block as it is, so that
    /// the lowest precisions come out best. Each of the four places gets the power of the magnitudes of
    /// its inputs (AWQ, arXiv 2306.00978) with the least error of the whole block.
    fn scale_channels(
        &self,
        original: TensorSet,
        parameters: &[Parameter],
        streams: &Streams,
        before: &[f64],
    ) -> Result<TensorSet> {
        let windows: Vec<usize> = (0..self.windows.len().min(PROBE)).collect();
        let magnitudes = self.engine.channels(&original, streams, Stream::Reference, &windows)?;
        let rescaling = Rescaling::new(&self.settings.architecture, magnitudes);
        let original = original.to_host()?;
        let block = |powers| {
            TensorSet::from_host(rescaling.apply(&original, powers), parameters, &self.engine.device)
        };
        let cost = |block: &TensorSet| -> Result<f64> {
            let mut cost = 0.0;
            for (index, precision) in self.settings.shares.precisions().enumerate().take(LOWEST) {
                // Out of the range of SEFP.
                let Ok(quantised) = self.quantise(block, parameters, precision) else {
                    return Ok(f64::INFINITY);
                };
                cost += self.engine.error(&quantised, streams, Stream::At(index), &windows)? / before[index];
            }
            Ok(cost)
        };
        let mut best = (before.len().min(LOWEST) as f64, [0.0; 4]);
        for place in 0..best.1.len() {
            let found = best.1;
            for power in POWERS {
                let mut powers = found;
                powers[place] = power;
                let cost = cost(&block(powers)?)?;
                if cost < best.0 {
                    best = (cost, powers);
                }
            }
        }
        block(best.1)
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
    left: Vec<u32>,
}

impl Batches {
    fn new(count: usize, seed: u64, layer: usize) -> Self {
        Self { count, seed, layer, epoch: 0, left: Vec::new() }
    }

    fn next(&mut self, batch: usize) -> Vec<usize> {
        let mut windows = Vec::with_capacity(batch);
        while windows.len() < batch {
            if self.left.is_empty() {
                let round = (self.layer as u64) << 32 | self.epoch;
                self.left = permutation("calibrate windows", self.seed, round, self.count);
                self.epoch += 1;
            }
            windows.extend(self.left.pop().map(|window| window as usize));
        }
        windows
    }
}
