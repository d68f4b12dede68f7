//! The calibrated model: a Hugging Face folder of the masters, a shard for each block, and the packed
//! file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use burn::tensor::Device;
use otaro::{
    Architecture, Norm, WeightMatrix,
    checkpoint::WeightSource,
    pack::{HuggingFaceFolder, PackOptions, pack_folder},
};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

use super::{
    CalibrateSettings,
    masters::{block_parameters, read_matrix},
    state::StateFolder,
};
use crate::{
    atomic,
    command::copy_text_files,
    model::{Parameter, TensorSet, parameters},
};

/// Where the tuned weights are.
pub(super) enum Tuned<'a> {
    /// The blocks in the state, the rest as it was.
    Blocks { state: &'a StateFolder, folder: &'a mut HuggingFaceFolder },
    /// All in memory.
    Whole(&'a TensorSet),
}

/// A tensor and its values.
type Named = (Parameter, Vec<f32>);

impl Tuned<'_> {
    /// A block (from 0), or, for `None`, what belongs to none.
    fn shard(&mut self, architecture: &Architecture, layer: Option<usize>) -> Result<Vec<Named>> {
        let wanted = match layer {
            Some(layer) => block_parameters(architecture, layer),
            None => {
                let in_block = |parameter: &Parameter| parameter.name.starts_with("model.layers.");
                parameters(architecture).into_iter().filter(|parameter| !in_block(parameter)).collect()
            }
        };
        let values = match (self, layer) {
            (Self::Whole(weights), _) => {
                let all = parameters(architecture);
                let tensor = |parameter: &Parameter| {
                    let index = all.iter().position(|it| it.name == parameter.name);
                    let tensor = index.and_then(|index| weights.tensors().get(index));
                    let tensor = tensor.with_context(|| format!("{} is not trained", parameter.name))?;
                    Ok(tensor.try_to_data()?.try_into_vec()?)
                };
                wanted.iter().map(tensor).collect::<Result<Vec<_>>>()?
            }
            (Self::Blocks { state, .. }, Some(layer)) => {
                state.block(layer, &wanted, &Device::flex())?.0.to_host()?
            }
            (Self::Blocks { folder, .. }, None) => {
                let matrices = [WeightMatrix::Embedding, WeightMatrix::Head];
                let matrices = &matrices[..if architecture.tied_head { 1 } else { 2 }];
                let mut values = Vec::new();
                for &matrix in matrices {
                    values.push(read_matrix(folder, architecture, matrix)?);
                }
                values.push(folder.norm(Norm::Final)?);
                values
            }
        };
        Ok(wanted.into_iter().zip(values).collect())
    }
}

/// Writes `huggingface/` and `model.sefp.safetensors` into `out`. Either is there as a whole or not at
/// all.
///
/// # Errors
/// The disk is full; a file of the model that cannot be copied.
pub(super) fn write_model(
    out: &Path,
    model: &Path,
    settings: &CalibrateSettings,
    tuned: &mut Tuned<'_>,
) -> Result<()> {
    let temporary =
        tempfile::tempdir_in(out).with_context(|| format!("cannot write to {}", out.display()))?;
    // A packed file says what the folder that it was made of is called.
    let written = temporary.path().join(model.canonicalize()?.file_name().unwrap_or("model".as_ref()));
    fs::create_dir(&written).with_context(|| format!("cannot write to {}", out.display()))?;
    write_shards(&written, &settings.architecture, tuned)?;
    write_config(model, &written)?;
    copy_text_files(model, &written)?;
    let options = PackOptions { reconstruction: settings.reconstruction, scale: settings.scale };
    pack_folder(&written, &out.join("model.sefp.safetensors"), &options, &mut |_| Ok(()))?;
    let folder = out.join("huggingface");
    let replace = || -> std::io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(&written, &folder)
    };
    replace().with_context(|| format!("cannot write {}", folder.display()))
}

fn write_shards(folder: &Path, architecture: &Architecture, tuned: &mut Tuned<'_>) -> Result<()> {
    let shards = architecture.layers + 1;
    let (mut places, mut bytes) = (BTreeMap::new(), 0);
    for shard in 0..shards {
        let tensors = tuned.shard(architecture, shard.checked_sub(1))?;
        let name = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        let views = tensors.iter().map(|(parameter, values)| {
            // Hugging Face stores a norm as a vector.
            let shape = if parameter.packed { parameter.shape.to_vec() } else { vec![values.len()] };
            let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values))?;
            Ok((parameter.name.as_str(), view))
        });
        let views: Vec<_> = views.collect::<Result<_>>()?;
        let path = folder.join(&name);
        let metadata = Some([("format".to_string(), "pt".to_string())].into());
        safetensors::serialize_to_file(views, metadata, &path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        for (parameter, values) in tensors {
            bytes += size_of_val(values.as_slice());
            places.insert(parameter.name, name.clone());
        }
    }
    let index = json!({ "metadata": { "total_size": bytes }, "weight_map": places });
    atomic::write(
        &folder.join("model.safetensors.index.json"),
        &(serde_json::to_string_pretty(&index)? + "\n"),
    )
}

/// The configuration of the model as it was, but for the type of the weights.
fn write_config(from: &Path, to: &Path) -> Result<()> {
    let path: PathBuf = from.join("config.json");
    let cannot_read = || format!("cannot read {}", path.display());
    let mut config: Value =
        serde_json::from_slice(&fs::read(&path).with_context(cannot_read)?).with_context(cannot_read)?;
    for name in ["torch_dtype", "dtype"] {
        if let Some(dtype) = config.get_mut(name) {
            *dtype = json!("float32");
        }
    }
    atomic::write(&to.join("config.json"), &(serde_json::to_string_pretty(&config)? + "\n"))
}
