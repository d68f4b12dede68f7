//! The shape of a LLaMA model: what `config.json` says, checked, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result, Slot, WeightMatrix};

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

/// No dimension of a model is larger. Keeps every product of two of them inside of 64 bits and
/// what a hostile file can ask for inside of reason.
const MAX_DIMENSION: usize = 1 << 22;
/// The attention kernels keep a head in workgroup memory.
const MAX_HEAD_DIM: usize = 256;
/// More layers than any LLaMA has.
pub(crate) const MAX_LAYERS: usize = 1024;

impl Architecture {
    /// Checks that the numbers are in range and fit together.
    ///
    /// # Errors
    /// [`UnsupportedModel`](ErrorKind::UnsupportedModel) that names the field.
    pub fn check(&self) -> Result<()> {
        let dimensions = [
            ("vocab_size", self.vocab_size, MAX_DIMENSION),
            ("hidden_size", self.hidden_size, MAX_DIMENSION),
            ("intermediate_size", self.intermediate_size, MAX_DIMENSION),
            ("num_hidden_layers", self.layers, MAX_LAYERS),
            ("num_attention_heads", self.heads, MAX_DIMENSION),
            ("num_key_value_heads", self.kv_heads, MAX_DIMENSION),
            ("head_dim", self.head_dim, MAX_HEAD_DIM),
            ("max_position_embeddings", self.context_length, 1 << 30),
        ];
        for (field, value, max) in dimensions {
            if value == 0 || value > max {
                return unsupported(format!("{field} is {value}, it must be 1 to {max}"));
            }
        }
        if self.query_width() > MAX_DIMENSION {
            return unsupported(format!("{} heads of {} values are too wide", self.heads, self.head_dim));
        }
        if !self.head_dim.is_multiple_of(2) {
            return unsupported(format!(
                "head_dim is {}, it must be even for rotary embedding",
                self.head_dim
            ));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return unsupported(format!(
                "num_attention_heads ({}) is not a multiple of num_key_value_heads ({})",
                self.heads, self.kv_heads
            ));
        }
        let positive = [("rms_norm_eps", f64::from(self.rms_norm_eps)), ("rope_theta", self.rope_theta)];
        for (field, value) in
            positive.into_iter().chain(self.rope_scaling.iter().flat_map(RopeScaling::fields))
        {
            if !(value.is_finite() && value > 0.0) {
                return unsupported(format!("{field} is {value}, it must be positive"));
            }
        }
        match self.rope_scaling {
            Some(scaling) if scaling.high_freq_factor <= scaling.low_freq_factor => {
                unsupported("rope_scaling: high_freq_factor must be above low_freq_factor".to_string())
            }
            _ => Ok(()),
        }
    }

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

impl RopeScaling {
    fn fields(&self) -> [(&'static str, f64); 4] {
        [
            ("rope_scaling.factor", self.factor),
            ("rope_scaling.low_freq_factor", self.low_freq_factor),
            ("rope_scaling.high_freq_factor", self.high_freq_factor),
            ("rope_scaling.original_max_position_embeddings", self.original_context_length as f64),
        ]
    }
}

fn unsupported(what: String) -> Result<()> {
    Err(Error::new(ErrorKind::UnsupportedModel, what))
}
