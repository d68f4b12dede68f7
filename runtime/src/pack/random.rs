//! Weights without meaning, to test and measure a shape for which there is no model.

use std::ops::Range;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{Architecture, Norm, Result, WeightMatrix, checkpoint::WeightSource};

/// Random weights of a given shape, the same ones for the same seed.
///
/// Matrices are uniform with the variance `1 / in`, so that activations neither die nor explode;
/// norms lie between 0.5 and 1.5.
#[derive(Debug)]
pub struct RandomWeights {
    architecture: Architecture,
    random: StdRng,
}

impl RandomWeights {
    /// A source for a model of this shape.
    pub fn new(architecture: &Architecture, seed: u64) -> Self {
        Self { architecture: architecture.clone(), random: StdRng::seed_from_u64(seed) }
    }
}

impl WeightSource for RandomWeights {
    fn rows(&mut self, matrix: WeightMatrix, rows: Range<usize>) -> Result<Vec<f32>> {
        let cols = matrix.grid(&self.architecture).cols;
        let bound = (3.0 / cols as f32).sqrt();
        Ok((0..rows.len() * cols).map(|_| self.random.random_range(-bound..bound)).collect())
    }

    fn norm(&mut self, _norm: Norm) -> Result<Vec<f32>> {
        Ok((0..self.architecture.hidden_size).map(|_| self.random.random_range(0.5..1.5)).collect())
    }
}
