//! Rotary position embedding: the angles, computed once on the host for every device, so that CPU
//! and GPU rotate by the same numbers (WGSL's `cos` of a large angle may be far off).

use std::f64::consts::TAU;

use crate::{Architecture, RopeScaling};

/// The rotary frequencies of a model.
#[derive(Clone, Debug)]
pub struct Rope {
    /// Radians per position for each pair of a head, `[head_dim / 2]`.
    frequencies: Vec<f32>,
}

impl Rope {
    /// The frequencies that an architecture asks for.
    pub fn new(architecture: &Architecture) -> Self {
        let pairs = architecture.head_dim / 2;
        let frequency = |pair: usize| {
            let exponent = 2.0 * pair as f64 / architecture.head_dim as f64;
            let frequency = architecture.rope_theta.powf(-exponent);
            architecture.rope_scaling.map_or(frequency, |scaling| scaling.apply(frequency)) as f32
        };
        Self { frequencies: (0..pairs).map(frequency).collect() }
    }

    /// `[cos, sin]` of every pair at every position from `first` on: `[positions, head_dim / 2]`.
    pub fn table(&self, first: usize, positions: usize) -> Vec<[f32; 2]> {
        (first..first + positions)
            .flat_map(|position| {
                // The product is rounded to f32 as in the reference implementation, then evaluated in f64.
                let angle = move |frequency: &f32| f64::from(position as f32 * frequency);
                self.frequencies.iter().map(move |frequency| {
                    let (sin, cos) = angle(frequency).sin_cos();
                    [cos as f32, sin as f32]
                })
            })
            .collect()
    }
}

impl RopeScaling {
    /// Slows a frequency down by its wavelength, as LLaMA 3.1 does: long waves by `factor`, short
    /// ones not at all, those between by a mixture of both.
    fn apply(self, frequency: f64) -> f64 {
        let original = self.original_context_length as f64;
        let wavelength = TAU / frequency;
        if wavelength < original / self.high_freq_factor {
            frequency
        } else if wavelength > original / self.low_freq_factor {
            frequency / self.factor
        } else {
            let smooth = (original / wavelength - self.low_freq_factor)
                / (self.high_freq_factor - self.low_freq_factor);
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}
