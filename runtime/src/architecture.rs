//! The shape of a LLaMA model: what `config.json` says, checked, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::{Slot, WeightMatrix};

/// The numbers that define a LLaMA model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Values of one head; even. Need not be `hidden_size / heads`.
    pub head_dim: usize,
    /// The epsilon of RMSNorm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched for long contexts.
    pub rope_scaling: Option<RopeScaling>,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Whether the LM head is the embedding matrix.
    pub tied_head: bool,
}

/// `rope_scaling` of type `llama3`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RopeScaling {
    /// By how much low frequencies are slowed down.
    pub factor: f64,
    /// Wavelengths above `original_context_length / low_freq_factor` are slowed down whole.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_context_length / high_freq_factor` are left alone.
    pub high_freq_factor: f64,
    /// Positions of the model before stretching.
    pub original_context_length: usize,
}

impl Architecture {
    /// Width of [`Slot::Query`] and [`Slot::Attended`].
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of [`Slot::Key`] and [`Slot::Value`].
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Width of a slot, without padding.
    pub fn width(&self, slot: Slot) -> usize {
        match slot {
            Slot::Hidden | Slot::Normed | Slot::Projected => self.hidden_size,
            Slot::Query | Slot::Attended => self.query_width(),
            Slot::Key | Slot::Value => self.kv_width(),
            Slot::Gate | Slot::Up => self.intermediate_size,
            Slot::Logits => self.vocab_size,
        }
    }

    /// The matrix of the LM head: the embedding where the two are tied.
    pub fn head(&self) -> WeightMatrix {
        if self.tied_head { WeightMatrix::Embedding } else { WeightMatrix::Head }
    }

    /// Weights of the packed matrices, each counted once.
    pub fn packed_weights(&self) -> usize {
        WeightMatrix::all(self).map(|matrix| matrix.grid(self)).map(|grid| grid.rows * grid.cols).sum()
    }
}
