//! The tensors of a LLaMA model: which there are, their shapes and their Hugging Face names.

use std::fmt;

use sefp::TileGrid;

use crate::Architecture;

/// A packed matrix of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightMatrix {
    /// Token embeddings, `[vocab, hidden]`.
    Embedding,
    /// The LM head, `[vocab, hidden]`; absent where it is tied to the embedding.
    Head,
    /// A matrix of a layer.
    Layer(usize, Projection),
}

/// The matrices of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    /// `[heads * head_dim, hidden]`
    Query,
    /// `[kv_heads * head_dim, hidden]`
    Key,
    /// `[kv_heads * head_dim, hidden]`
    Value,
    /// `[hidden, heads * head_dim]`
    Output,
    /// `[intermediate, hidden]`
    Gate,
    /// `[intermediate, hidden]`
    Up,
    /// `[hidden, intermediate]`
    Down,
}

impl Projection {
    /// The matrices of a layer, in the order of the file.
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    fn name(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

impl WeightMatrix {
    /// Every packed matrix of a model, in the order of the file.
    pub fn all(architecture: &Architecture) -> impl Iterator<Item = Self> + use<> {
        let head = (!architecture.tied_head).then_some(Self::Head);
        let layers = (0..architecture.layers)
            .flat_map(|layer| Projection::ALL.map(|projection| Self::Layer(layer, projection)));
        [Self::Embedding].into_iter().chain(layers).chain(head)
    }

    /// Shape and tiles, `[out, in]`.
    pub fn grid(self, architecture: &Architecture) -> TileGrid {
        let a = architecture;
        let (rows, cols) = match self {
            Self::Embedding | Self::Head => (a.vocab_size, a.hidden_size),
            Self::Layer(_, Projection::Query) => (a.query_width(), a.hidden_size),
            Self::Layer(_, Projection::Key | Projection::Value) => (a.kv_width(), a.hidden_size),
            Self::Layer(_, Projection::Output) => (a.hidden_size, a.query_width()),
            Self::Layer(_, Projection::Gate | Projection::Up) => (a.intermediate_size, a.hidden_size),
            Self::Layer(_, Projection::Down) => (a.hidden_size, a.intermediate_size),
        };
        TileGrid::new(rows, cols)
    }
}

impl fmt::Display for WeightMatrix {
    /// The name in a Hugging Face checkpoint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("model.embed_tokens.weight"),
            Self::Head => f.write_str("lm_head.weight"),
            Self::Layer(layer, projection) => write!(f, "model.layers.{layer}.{}.weight", projection.name()),
        }
    }
}

/// An RMSNorm weight, `[hidden]`, kept in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    /// Before attention.
    Attention(usize),
    /// Before the feed-forward block.
    FeedForward(usize),
    /// Before the LM head.
    Final,
}

impl Norm {
    /// Every norm of a model, in the order of the file.
    pub fn all(architecture: &Architecture) -> impl Iterator<Item = Self> + use<> {
        (0..architecture.layers)
            .flat_map(|layer| [Self::Attention(layer), Self::FeedForward(layer)])
            .chain([Self::Final])
    }
}

impl fmt::Display for Norm {
    /// The name in a Hugging Face checkpoint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attention(layer) => write!(f, "model.layers.{layer}.input_layernorm.weight"),
            Self::FeedForward(layer) => write!(f, "model.layers.{layer}.post_attention_layernorm.weight"),
            Self::Final => f.write_str("model.norm.weight"),
        }
    }
}
