//! Reads `config.json` of a Hugging Face LLaMA checkpoint. What this build does not run is an
//! error here, never a model that talks nonsense.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Architecture, Error, ErrorKind, Result, RopeScaling};

/// The fields of `config.json` that matter, under their names there.
#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f32>,
    max_position_embeddings: Option<usize>,
    rope_theta: Option<f64>,
    /// Up to transformers 4.
    rope_scaling: Option<RopeParameters>,
    /// From transformers 5 on: `rope_theta` and `rope_scaling` in one.
    rope_parameters: Option<RopeParameters>,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    quantization_config: Option<Value>,
    sliding_window: Option<Value>,
}

#[derive(Deserialize)]
struct RopeParameters {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

impl Architecture {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    /// [`UnsupportedModel`](ErrorKind::UnsupportedModel) that names the field which this build cannot
    /// run, [`NotACheckpoint`](ErrorKind::NotACheckpoint) when it is not such a file at all.
    pub fn from_huggingface(config_json: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(config_json).map_err(unreadable)?;
        // The model type comes first: other models lack fields that LLaMA must have.
        check_model_type(value.get("model_type").and_then(Value::as_str))?;
        let config: Config = serde_json::from_value(value).map_err(unreadable)?;
        config.check_features()?;
        let architecture = config.architecture()?;
        architecture.check()?;
        Ok(architecture)
    }

    /// The `config.json` of this architecture, as transformers reads it.
    pub fn to_huggingface(&self) -> Value {
        let scaling = self.rope_scaling.map(|s| {
            json!({
                "rope_type": "llama3",
                "factor": s.factor,
                "low_freq_factor": s.low_freq_factor,
                "high_freq_factor": s.high_freq_factor,
                "original_max_position_embeddings": s.original_context_length,
            })
        });
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
            "hidden_act": "silu", "attention_bias": false, "mlp_bias": false,
            "vocab_size": self.vocab_size, "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim, "rms_norm_eps": self.rms_norm_eps, "rope_theta": self.rope_theta,
            "rope_scaling": scaling, "max_position_embeddings": self.context_length,
            "tie_word_embeddings": self.tied_head,
        })
    }
}

impl Config {
    fn check_features(&self) -> Result<()> {
        check_model_type(self.model_type.as_deref())?;
        let activation = self.hidden_act.as_deref().unwrap_or("silu");
        let unsupported_features = [
            (!matches!(activation, "silu" | "swish"), format!("hidden_act '{activation}' (only silu)")),
            (self.attention_bias == Some(true), "attention_bias".to_string()),
            (self.mlp_bias == Some(true), "mlp_bias".to_string()),
            (
                present(&self.quantization_config),
                "quantization_config (weights must be f32, f16 or bf16)".to_string(),
            ),
            (present(&self.sliding_window), "sliding_window".to_string()),
        ];
        match unsupported_features.into_iter().find(|(found, _)| *found) {
            Some((_, feature)) => unsupported(&format!("config.json has {feature}")),
            None => Ok(()),
        }
    }

    fn architecture(self) -> Result<Architecture> {
        let heads = self.num_attention_heads;
        let head_dim = match self.head_dim {
            Some(head_dim) => head_dim,
            None if heads > 0 && self.hidden_size.is_multiple_of(heads) => self.hidden_size / heads,
            None => {
                return unsupported(&format!(
                    "config.json has no head_dim, and hidden_size {} is not a multiple of num_attention_heads {heads}",
                    self.hidden_size
                ));
            }
        };
        let context_length = self.max_position_embeddings.unwrap_or(2048);
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        Ok(Architecture {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_dim,
            rms_norm_eps: self.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: self.rope_theta.or(rope.and_then(|rope| rope.rope_theta)).unwrap_or(10_000.0),
            rope_scaling: rope.map_or(Ok(None), RopeParameters::scaling)?,
            context_length,
            tied_head: self.tie_word_embeddings.unwrap_or(false),
        })
    }
}

impl RopeParameters {
    fn scaling(&self) -> Result<Option<RopeScaling>> {
        if self.partial_rotary_factor.is_some_and(|factor| factor != 1.0) {
            return unsupported("config.json has partial_rotary_factor");
        }
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(None),
            Some("llama3") => {
                let missing = |field| {
                    Error::new(
                        ErrorKind::UnsupportedModel,
                        format!("rope_scaling of type llama3 has no {field}"),
                    )
                };
                Ok(Some(RopeScaling {
                    factor: self.factor.ok_or_else(|| missing("factor"))?,
                    low_freq_factor: self.low_freq_factor.ok_or_else(|| missing("low_freq_factor"))?,
                    high_freq_factor: self.high_freq_factor.ok_or_else(|| missing("high_freq_factor"))?,
                    original_context_length: self
                        .original_max_position_embeddings
                        .ok_or_else(|| missing("original_max_position_embeddings"))?,
                }))
            }
            Some(other) => unsupported(&format!("rope_scaling of type '{other}' (only llama3)")),
        }
    }
}

fn check_model_type(model_type: Option<&str>) -> Result<()> {
    match model_type {
        Some("llama") => Ok(()),
        Some(other) => unsupported(&format!("model_type '{other}' in config.json (only llama)")),
        None => unsupported("a config.json without model_type (only llama)"),
    }
}

fn present(field: &Option<Value>) -> bool {
    field.as_ref().is_some_and(|value| !value.is_null())
}

fn unsupported<T>(what: &str) -> Result<T> {
    Err(Error::new(ErrorKind::UnsupportedModel, format!("this build does not run {what}")))
}

fn unreadable(source: serde_json::Error) -> Error {
    Error::new(ErrorKind::NotACheckpoint, "config.json cannot be read").with_source(source)
}
