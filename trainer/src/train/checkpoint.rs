//! The state of a run in one file, written so that a crash leaves either the old one or the new one.
//!
//! It is a safetensors file: the weights under their Hugging Face names, the moments and the
//! accumulator under prefixes, and everything else as JSON in the metadata. f32 values and the JSON
//! numbers read back bit by bit, so a resumed run goes on as if it had never stopped.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Moments, RunSettings};
use crate::{
    atomic::replace,
    model::{Parameter, TensorSet},
    strategy::Strategy,
};

/// What is stored besides tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// What the run was started with.
    pub settings: RunSettings,
    /// Steps done.
    pub step: u64,
    /// Updates of the optimiser.
    pub updates: usize,
    /// Scored tokens so far.
    pub tokens: u64,
    /// Seconds of training so far, over all its sittings.
    pub seconds: f64,
    /// The path of widths and what the bandit has learnt.
    pub strategy: Strategy,
}

/// The whole state of a run.
pub struct State {
    /// Numbers and settings.
    pub progress: Progress,
    /// The trained weights.
    pub weights: TensorSet,
    /// The optimiser's moments, once there was an update.
    pub moments: Option<Moments>,
    /// Gradients of low widths that wait for their update.
    pub accumulator: Option<TensorSet>,
}

const FIRST: &str = "moment_1.";
const SECOND: &str = "moment_2.";
const ACCUMULATOR: &str = "accumulator.";
const METADATA: &str = "otaro";

impl State {
    /// Writes the state beside `path`, syncs it and puts it in place.
    ///
    /// # Errors
    /// Those of the file system, a full disk among them; the file in place is as it was then.
    pub fn save(&self, path: &Path, parameters: &[Parameter]) -> Result<()> {
        let mut sets = vec![("", self.weights.to_host()?)];
        if let Some(moments) = &self.moments {
            sets.push((FIRST, moments.first.to_host()?));
            sets.push((SECOND, moments.second.to_host()?));
        }
        if let Some(accumulator) = &self.accumulator {
            sets.push((ACCUMULATOR, accumulator.to_host()?));
        }
        let mut views = Vec::new();
        for (prefix, tensors) in &sets {
            for (parameter, values) in parameters.iter().zip(tensors) {
                let bytes = bytemuck::cast_slice(values);
                let view = TensorView::new(Dtype::F32, parameter.shape.to_vec(), bytes)?;
                views.push((format!("{prefix}{}", parameter.name), view));
            }
        }
        let metadata = HashMap::from([(METADATA.to_string(), serde_json::to_string(&self.progress)?)]);
        replace(path, |temporary| Ok(safetensors::serialize_to_file(views, Some(metadata), temporary)?))
    }

    /// Reads a state.
    ///
    /// # Errors
    /// A file that is missing, damaged or not a state of this model; names the file and the tensor.
    pub fn load(path: &Path, parameters: &[Parameter], device: &Device) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes, parameters, device).with_context(|| path.display().to_string())
    }

    fn parse(bytes: &[u8], parameters: &[Parameter], device: &Device) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).context("not a state of a training run")?;
        let json = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
        let json = json.ok_or_else(|| anyhow!("not a state of a training run: no '{METADATA}' metadata"))?;
        let progress: Progress = serde_json::from_str(json).context("the state's settings")?;
        let file = SafeTensors::deserialize(bytes)?;
        let set = |prefix: &str| read_set(&file, prefix, parameters, device);
        let has = |prefix: &str| file.names().iter().any(|name| name.starts_with(prefix));
        let moments = if progress.updates > 0 {
            Some(Moments { updates: progress.updates, first: set(FIRST)?, second: set(SECOND)? })
        } else {
            None
        };
        let accumulator = if has(ACCUMULATOR) { Some(set(ACCUMULATOR)?) } else { None };
        Ok(Self { weights: set("")?, moments, accumulator, progress })
    }
}

fn read_set(
    file: &SafeTensors<'_>,
    prefix: &str,
    parameters: &[Parameter],
    device: &Device,
) -> Result<TensorSet> {
    let read = |parameter: &Parameter| {
        let name = format!("{prefix}{}", parameter.name);
        let view = file.tensor(&name).with_context(|| format!("tensor {name}"))?;
        ensure!(view.dtype() == Dtype::F32, "tensor {name} is {:?}, not F32", view.dtype());
        ensure!(view.shape() == parameter.shape, "tensor {name} has the shape {:?}", view.shape());
        // The bytes of a file need not be aligned.
        Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let values = parameters.iter().map(read).collect::<Result<_>>()?;
    TensorSet::from_host(values, parameters, device)
}
