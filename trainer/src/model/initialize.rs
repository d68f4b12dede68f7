//! Weights to start from.

use otaro::Architecture;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Parameter, parameters};

/// Standard deviation of the initial weights, as in LLaMA and GPT-2.
const DEVIATION: f32 = 0.02;

/// Random weights for a new model: normal with deviation 0.02, smaller by `sqrt(2 * layers)` for the
/// two matrices of a layer that write into the residual stream (GPT-2, section 2.3); norms are one.
pub fn initialize(architecture: &Architecture, seed: u64) -> Vec<Vec<f32>> {
    let residual = DEVIATION / (2.0 * architecture.layers as f32).sqrt();
    let mut random = StdRng::seed_from_u64(seed);
    let tensor = |parameter: Parameter| {
        let count = parameter.shape[0] * parameter.shape[1];
        if !parameter.packed {
            return vec![1.0; count];
        }
        let name = &parameter.name;
        let deviation =
            if name.contains("o_proj") || name.contains("down_proj") { residual } else { DEVIATION };
        (0..count).map(|_| deviation * normal(&mut random)).collect()
    };
    parameters(architecture).into_iter().map(tensor).collect()
}

/// A draw from the normal distribution, by the method of Box and Muller.
fn normal(random: &mut StdRng) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.random::<f64>()).cos()) as f32
}
