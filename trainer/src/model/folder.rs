//! Hugging Face folders: weights in, weights out.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use otaro::{Architecture, Norm, WeightMatrix, checkpoint::WeightSource, pack::HuggingFaceFolder};
use safetensors::{Dtype, tensor::TensorView};

use super::parameters;

/// Reads a `config.json`.
///
/// # Errors
/// Names the file and the field which cannot be used.
pub fn read_architecture(config: &Path) -> Result<Architecture> {
    let bytes = fs::read(config).with_context(|| format!("cannot read {}", config.display()))?;
    Architecture::from_huggingface(&bytes).with_context(|| config.display().to_string())
}

/// Reads the weights of a Hugging Face folder in f32, in the order of [`parameters`].
///
/// # Errors
/// Those of the folder: a file that is missing or damaged, a tensor of another shape or type.
pub fn load_folder(folder: &Path) -> Result<(Architecture, Vec<Vec<f32>>)> {
    let mut source = HuggingFaceFolder::open(folder)?;
    let architecture = source.architecture().clone();
    let mut values = Vec::new();
    for matrix in WeightMatrix::all(&architecture) {
        values.push(source.rows(matrix, 0..matrix.grid(&architecture).rows)?);
    }
    for norm in Norm::all(&architecture) {
        values.push(source.norm(norm)?);
    }
    Ok((architecture, values))
}

/// Writes `model.safetensors` in f32 and `config.json` into `folder`.
///
/// # Errors
/// Those of the file system.
pub fn save_weights(folder: &Path, architecture: &Architecture, values: &[Vec<f32>]) -> Result<()> {
    let parameters = parameters(architecture);
    let views = parameters.iter().zip(values).map(|(parameter, values)| {
        // Hugging Face stores a norm as a vector.
        let shape = if parameter.packed { parameter.shape.to_vec() } else { vec![values.len()] };
        let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values));
        view.map(|view| (parameter.name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    let metadata = Some([("format".to_string(), "pt".to_string())].into());
    let path = folder.join("model.safetensors");
    safetensors::serialize_to_file(views, metadata, &path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let path = folder.join("config.json");
    let config = serde_json::to_string_pretty(&architecture.to_huggingface())?;
    fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))
}
