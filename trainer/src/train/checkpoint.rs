//! The state of a run in one file, written so that a crash leaves either the old one or the new one.
//!
//! It is a safetensors file: the weights under their Hugging Face names, the moments and the
//! accumulator under prefixes, and everything else as JSON in the metadata. f32 values and the JSON
//! numbers read back bit by bit, so a resumed run goes on as if it had never stopped.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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

pub(crate) const FIRST: &str = "moment_1.";
pub(crate) const SECOND: &str = "moment_2.";
const ACCUMULATOR: &str = "accumulator.";
const METADATA: &str = "otaro";

impl State {
    /// Writes the state beside `path`, syncs it and puts it in place.
    ///
    /// # Errors
    /// Those of the file system, a full disk among them; the file in place is as it was then.
    pub fn save(&self, path: &Path, parameters: &[Parameter]) -> Result<()> {
        let mut sets = vec![("", &self.weights)];
        if let Some(moments) = &self.moments {
            sets.push((FIRST, &moments.first));
            sets.push((SECOND, &moments.second));
        }
        if let Some(accumulator) = &self.accumulator {
            sets.push((ACCUMULATOR, accumulator));
        }
        save_sets(path, parameters, &sets, &self.progress)
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
        let progress: Progress = read_progress(bytes)?;
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

/// Writes tensor sets, each under its prefix, and what else there is to know as JSON in the metadata.
///
/// # Errors
/// Those of the file system, a full disk among them; the file in place is as it was then.
pub(crate) fn save_sets(
    path: &Path,
    parameters: &[Parameter],
    sets: &[(&str, &TensorSet)],
    progress: &impl Serialize,
) -> Result<()> {
    let hosts: Vec<_> =
        sets.iter().map(|(prefix, set)| Ok((*prefix, set.to_host()?))).collect::<Result<_>>()?;
    let mut views = Vec::new();
    for (prefix, tensors) in &hosts {
        for (parameter, values) in parameters.iter().zip(tensors) {
            let bytes = bytemuck::cast_slice(values);
            let view = TensorView::new(Dtype::F32, parameter.shape.to_vec(), bytes)?;
            views.push((format!("{prefix}{}", parameter.name), view));
        }
    }
    let metadata = HashMap::from([(METADATA.to_string(), serde_json::to_string(progress)?)]);
    replace(path, |temporary| Ok(safetensors::serialize_to_file(views, Some(metadata), temporary)?))
}

/// What [`save_sets`] was given besides tensors.
///
/// # Errors
/// Bytes that are no such file.
pub(crate) fn read_progress<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).context("not a state of a training run")?;
    let json = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
    let json = json.ok_or_else(|| anyhow!("not a state of a training run: no '{METADATA}' metadata"))?;
    serde_json::from_str(json).context("the state's settings")
}

/// The tensors under a prefix, in the order of `parameters`.
///
/// # Errors
/// Names the tensor that is missing or has another type or shape.
pub(crate) fn read_set(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        strategy::{Method, StrategySettings},
        train::{OptimizerSettings, PassSettings, Rule},
    };

    fn parameters() -> Vec<Parameter> {
        let parameter = |name: &str, shape, packed| Parameter { name: name.to_string(), shape, packed };
        vec![parameter("a", [2, 3], true), parameter("b", [1, 4], false)]
    }

    fn state() -> State {
        let set = |first: f32| {
            let values = parameters().iter().map(|p| vec![first / 3.0; p.shape[0] * p.shape[1]]).collect();
            TensorSet::from_host(values, &parameters(), &Device::flex()).expect("shapes")
        };
        let strategy = StrategySettings::of(Method::Otaro);
        let settings = RunSettings {
            start: "test".to_string(),
            architecture: otaro_tests::tiny::regular(),
            data: "test".to_string(),
            data_fingerprint: "00".to_string(),
            length: 8,
            batch: 2,
            micro_batch: 1,
            steps: 10,
            seed: 0,
            reconstruction: otaro::Reconstruction::Midpoint,
            scale: otaro::Scale::Fine,
            passes: PassSettings::default(),
            strategy: strategy.clone(),
            optimizer: OptimizerSettings {
                rule: Rule::Adamw,
                learning_rate: 0.1 + 0.2,
                warmup: 1,
                final_share: 0.05,
                beta_1: 0.9,
                beta_2: 0.95,
                weight_decay: 0.01,
                clip: 1.0,
            },
        };
        let strategy = Strategy::new(strategy).expect("settings");
        let progress = Progress { settings, step: 3, updates: 2, tokens: 48, seconds: 1.5, strategy };
        let moments = Some(Moments { updates: 2, first: set(2.0), second: set(3.0) });
        State { progress, weights: set(1.0), moments, accumulator: Some(set(4.0)) }
    }

    fn saved() -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.safetensors");
        state().save(&path, &parameters()).expect("saved");
        fs::read(path).expect("the file")
    }

    #[test]
    fn a_state_reads_back_bit_by_bit() {
        let read = State::parse(&saved(), &parameters(), &Device::flex()).expect("a state");
        let written = state();
        assert_eq!(read.progress.settings, written.progress.settings);
        assert_eq!(read.progress.strategy, written.progress.strategy);
        let host = |set: &TensorSet| set.to_host().expect("host");
        assert!(host(&read.weights) == host(&written.weights));
        let sets = |state: &State| {
            let moments = state.moments.as_ref().expect("moments");
            let accumulator = state.accumulator.as_ref().expect("an accumulator");
            [host(&moments.first), host(&moments.second), host(accumulator)]
        };
        assert!(sets(&read) == sets(&written));
    }

    #[test]
    fn a_damaged_state_is_an_error_and_never_a_panic() {
        let bytes = saved();
        for length in 0..bytes.len() {
            assert!(
                State::parse(&bytes[..length], &parameters(), &Device::flex()).is_err(),
                "cut at {length}"
            );
        }
        // Where a flipped bit still reads, it changed a number or a name.
        for index in 0..bytes.len().min(6000) {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x11;
            let _ = State::parse(&damaged, &parameters(), &Device::flex());
        }
        let mut other = parameters();
        other[0].shape = [3, 3];
        let error = State::parse(&bytes, &other, &Device::flex()).err().expect("another model");
        assert!(format!("{error:#}").contains("has the shape [2, 3]"), "{error:#}");
    }
}
