//! Shapes of published models, as data: enough to test and measure a model whose weights are not at hand.

use crate::{Architecture, RopeScaling};

/// The architecture of a published model, under a short name.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The name on command lines.
    pub name: &'static str,
    /// What the `config.json` of the model says.
    pub architecture: Architecture,
}

impl Shape {
    /// The shape of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.name == name)
    }
}

/// What the shapes have in common, so that the table below shows where they differ.
const LLAMA: Architecture = Architecture {
    vocab_size: 32_000,
    hidden_size: 2048,
    intermediate_size: 5632,
    layers: 22,
    heads: 32,
    kv_heads: 4,
    head_dim: 64,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000.0,
    rope_scaling: None,
    context_length: 2048,
    tied_head: true,
};

/// LLaMA 3.1 and 3.2: the same tokens and positions, stretched by `factor`.
const fn llama3(factor: f64) -> Architecture {
    let scaling =
        RopeScaling { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context_length: 8192 };
    Architecture {
        vocab_size: 128_256,
        rope_theta: 500_000.0,
        rope_scaling: Some(scaling),
        context_length: 131_072,
        kv_heads: 8,
        ..LLAMA
    }
}

const SMOLLM2: Architecture =
    Architecture { vocab_size: 49_152, rope_theta: 100_000.0, context_length: 8192, ..LLAMA };

/// Every shape: meta-llama's `Llama-3.2-1B`, `Llama-3.2-3B` and `Llama-3.1-8B`, karpathy's `tinyllamas`,
/// HuggingFaceTB's `SmolLM2-135M` and `SmolLM2-360M`, and `TinyLlama-1.1B`.
pub static SHAPES: [Shape; 8] = [
    Shape {
        name: "llama3.2-1b",
        architecture: Architecture { intermediate_size: 8192, layers: 16, ..llama3(32.0) },
    },
    Shape {
        name: "llama3.2-3b",
        architecture: Architecture {
            hidden_size: 3072,
            intermediate_size: 8192,
            layers: 28,
            heads: 24,
            head_dim: 128,
            ..llama3(32.0)
        },
    },
    Shape {
        name: "llama3.1-8b",
        architecture: Architecture {
            hidden_size: 4096,
            intermediate_size: 14_336,
            layers: 32,
            head_dim: 128,
            tied_head: false,
            ..llama3(8.0)
        },
    },
    Shape {
        name: "stories15m",
        architecture: Architecture {
            hidden_size: 288,
            intermediate_size: 768,
            layers: 6,
            heads: 6,
            kv_heads: 6,
            head_dim: 48,
            context_length: 256,
            ..LLAMA
        },
    },
    Shape {
        name: "stories110m",
        architecture: Architecture {
            hidden_size: 768,
            intermediate_size: 2048,
            layers: 12,
            heads: 12,
            kv_heads: 12,
            context_length: 1024,
            ..LLAMA
        },
    },
    Shape {
        name: "smollm2-135m",
        architecture: Architecture {
            hidden_size: 576,
            intermediate_size: 1536,
            layers: 30,
            heads: 9,
            kv_heads: 3,
            ..SMOLLM2
        },
    },
    Shape {
        name: "smollm2-360m",
        architecture: Architecture {
            hidden_size: 960,
            intermediate_size: 2560,
            layers: 32,
            heads: 15,
            kv_heads: 5,
            ..SMOLLM2
        },
    },
    Shape { name: "tinyllama-1.1b", architecture: Architecture { tied_head: false, ..LLAMA } },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_valid_and_have_the_parameters_of_the_published_models() {
        let millions =
            [1235.8, 3212.7, 8030.0, 15.2, 109.5, 134.5, 361.8, 1100.0].map(|millions: f64| millions * 1e6);
        for (shape, published) in SHAPES.iter().zip(millions) {
            shape.architecture.check().expect("a shape that runs");
            let weights = shape.architecture.packed_weights() as f64;
            assert!((weights / published - 1.0).abs() < 0.003, "{}: {weights}", shape.name);
            assert_eq!(Shape::find(shape.name), Some(shape));
        }
        assert_eq!(Shape::find("llama"), None);
    }
}
