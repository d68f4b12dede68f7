//! Scales of the input channels of matrices, which change nothing in an unquantised block: what a
//! matrix is multiplied with, a norm or the matrix before it is divided by.

use otaro::{Architecture, Projection};

/// How the channels of a block can be scaled: before query, key and value; before output; before gate
/// and up; before down.
pub(super) struct Rescaling {
    /// The magnitude of every input over the geometric mean of all.
    magnitudes: [Vec<f32>; 4],
    head_dim: usize,
    /// Query heads that share a key head.
    group: usize,
}

impl Rescaling {
    /// Of a block whose inputs have these mean magnitudes.
    pub(super) fn new(architecture: &Architecture, mut magnitudes: [Vec<f32>; 4]) -> Self {
        let (head_dim, group) = (architecture.head_dim, architecture.heads / architecture.kv_heads);
        // A channel of a value head is read once for each query head of its group.
        for heads in magnitudes[1].chunks_mut(head_dim * group) {
            for channel in 0..head_dim {
                let shared: f32 = heads.iter().skip(channel).step_by(head_dim).sum();
                heads.iter_mut().skip(channel).step_by(head_dim).for_each(|it| *it = shared / group as f32);
            }
        }
        for magnitudes in &mut magnitudes {
            // A channel that is always zero must not become a scale of zero.
            let floor = magnitudes.iter().copied().fold(f32::MIN_POSITIVE, f32::max) * 1e-4;
            magnitudes.iter_mut().for_each(|it| *it = it.max(floor));
            let mean = magnitudes.iter().map(|it| it.ln()).sum::<f32>() / magnitudes.len().max(1) as f32;
            magnitudes.iter_mut().for_each(|it| *it /= mean.exp());
        }
        Self { magnitudes, head_dim, group }
    }

    /// The tensors of a block, scaled by powers of the magnitudes; powers of 0 leave it as it is.
    pub(super) fn apply(&self, block: &[Vec<f32>], powers: [f32; 4]) -> Vec<Vec<f32>> {
        let mut block = block.to_vec();
        let mut place = 0;
        let [attention, output, feed_forward, down] = self.magnitudes.each_ref().map(|magnitudes| {
            let power = powers[place];
            place += 1;
            magnitudes.iter().map(|it| it.powf(power)).collect::<Vec<f32>>()
        });
        let columns = |matrix: &mut Vec<f32>, scales: &[f32]| {
            for row in matrix.chunks_mut(scales.len()) {
                row.iter_mut().zip(scales).for_each(|(weight, scale)| *weight *= scale);
            }
        };
        let divide_rows = |matrix: &mut Vec<f32>, scales: &[f32]| {
            let width = matrix.len() / scales.len();
            for (row, scale) in matrix.chunks_mut(width).zip(scales) {
                row.iter_mut().for_each(|weight| *weight /= scale);
            }
        };
        let of_value_heads: Vec<f32> = output
            .chunks(self.head_dim * self.group)
            .flat_map(|heads| &heads[..self.head_dim])
            .copied()
            .collect();
        let [attention_norm, feed_forward_norm] = [Projection::ALL.len(), Projection::ALL.len() + 1];
        for projection in [Projection::Query, Projection::Key, Projection::Value] {
            columns(&mut block[projection as usize], &attention);
        }
        divide_rows(&mut block[attention_norm], &attention);
        columns(&mut block[Projection::Output as usize], &output);
        divide_rows(&mut block[Projection::Value as usize], &of_value_heads);
        for projection in [Projection::Gate, Projection::Up] {
            columns(&mut block[projection as usize], &feed_forward);
        }
        divide_rows(&mut block[feed_forward_norm], &feed_forward);
        columns(&mut block[Projection::Down as usize], &down);
        divide_rows(&mut block[Projection::Up as usize], &down);
        block
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::{
        calibrate::masters::{block_parameters, parts},
        model::{Llama, TensorSet},
    };

    #[test]
    fn an_unquantised_block_gives_the_same_whatever_its_scales() {
        let architecture = otaro_tests::tiny::regular();
        let (device, length) = (Device::flex(), 8);
        let wave = |count: usize, pace: f32| -> Vec<f32> {
            (0..count).map(|index| (index as f32 * pace).sin()).collect()
        };
        let parameters = block_parameters(&architecture, 0);
        let weights: Vec<Vec<f32>> =
            parameters.iter().map(|it| wave(it.shape[0] * it.shape[1], 0.37)).collect();
        let width = architecture.hidden_size;
        let input = TensorData::new(wave(length * width, 0.71), [length, width]);
        let model = Llama::new(&architecture, length, &device);
        let pass = |weights: Vec<Vec<f32>>| -> (Vec<f32>, [Vec<f32>; 4]) {
            let block = TensorSet::from_host(weights, &parameters, &device).expect("shapes");
            let (matrices, norms) = parts(&block);
            let x = Tensor::from_data(input.clone(), &device);
            let (y, inputs) = model.block_and_inputs(matrices, norms, x);
            let host = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>().expect("f32");
            (host(y), inputs.map(|input| host(input.abs().mean_dim(0))))
        };
        let (expected, magnitudes) = pass(weights.clone());
        let rescaling = Rescaling::new(&architecture, magnitudes);
        let size = expected.iter().fold(0.0_f32, |size, y| size.max(y.abs()));
        for powers in [[0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0], [0.2, 0.4, 0.6, 0.3]]
        {
            let scaled = rescaling.apply(&weights, powers);
            assert!(scaled != weights, "{powers:?}");
            for (a, b) in pass(scaled).0.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-4 * size, "{powers:?}: {a} {b}");
            }
        }
        assert!(rescaling.apply(&weights, [0.0; 4]) == weights);
    }
}
