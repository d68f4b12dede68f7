//! Passes through one decoder block, on several threads.

use anyhow::{Result, anyhow};
use burn::tensor::{Device, Tensor, TensorData};
use otaro::Architecture;

use super::{
    masters::parts,
    streams::{Stream, Streams},
};
use crate::{
    model::{Llama, TensorSet},
    train::{
        gradient::side_by_side,
        pass::{Sum, track},
    },
};

/// Passes through one block, on several threads.
pub(super) struct BlockEngine {
    model: Llama,
    pub(super) device: Device,
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
    pub(super) fn advance(
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
    pub(super) fn gradient(
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
    pub(super) fn error(
        &self,
        block: &TensorSet,
        streams: &Streams,
        stream: Stream,
        windows: &[usize],
    ) -> Result<f64> {
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

    /// The mean magnitude of every input channel of the matrices of a block, in the order of
    /// [`Llama::block_and_inputs`], on some windows of a stream.
    pub(super) fn channels(
        &self,
        block: &TensorSet,
        streams: &Streams,
        stream: Stream,
        windows: &[usize],
    ) -> Result<[Vec<f32>; 4]> {
        let parts_of_it = self.in_parts(windows, |part| {
            let (matrices, norms) = parts(block);
            let x = self.tensor(streams.read(stream, part)?);
            let (_, inputs) = self.model.block_and_inputs(matrices, norms, x);
            let share = part.len() as f64 / windows.len() as f64;
            let mean =
                |input: Tensor<2>| Ok((input.abs().mean_dim(0) * share).try_into_data()?.try_into_vec()?);
            inputs.into_iter().map(mean).collect::<Result<Vec<Vec<f32>>>>()
        })?;
        let mut channels: [Vec<f32>; 4] = Default::default();
        for part in parts_of_it {
            for (sum, part) in channels.iter_mut().zip(part) {
                sum.resize(part.len(), 0.0);
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        Ok(channels)
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
