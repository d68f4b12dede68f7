//! The unquantised weights of the model that is calibrated, a block at a time.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use otaro::{
    Architecture, Norm, Projection, WeightMatrix, checkpoint::WeightSource, pack::HuggingFaceFolder,
};
use sha2::{Digest, Sha256};

use crate::model::{Parameter, TensorSet, parameters};

/// The tensors of a decoder block: its matrices, then its norms.
pub(super) fn block_parameters(architecture: &Architecture, layer: usize) -> Vec<Parameter> {
    let of_block = |parameter: &Parameter| parameter.name.starts_with(&format!("model.layers.{layer}."));
    parameters(architecture).into_iter().filter(of_block).collect()
}

/// A block as [`Llama::block`](crate::model::Llama::block) takes it.
pub(super) fn parts(block: &TensorSet) -> (&[Tensor<2>; 7], &[Tensor<2>; 2]) {
    let (matrices, norms) = block.tensors().split_first_chunk().expect("a block has seven matrices");
    (matrices, norms.first_chunk().expect("a block has two norms"))
}

/// The weights of a block, in the order of [`block_parameters`].
///
/// # Errors
/// Those of the folder.
pub(super) fn read_block(
    folder: &mut HuggingFaceFolder,
    architecture: &Architecture,
    layer: usize,
    device: &Device,
) -> Result<TensorSet> {
    let mut values = Vec::new();
    for projection in Projection::ALL {
        values.push(read_matrix(folder, architecture, WeightMatrix::Layer(layer, projection))?);
    }
    for norm in [Norm::Attention(layer), Norm::FeedForward(layer)] {
        values.push(folder.norm(norm)?);
    }
    TensorSet::from_host(values, &block_parameters(architecture, layer), device)
}

/// A matrix, row after row.
///
/// # Errors
/// Those of the folder.
pub(super) fn read_matrix(
    folder: &mut HuggingFaceFolder,
    architecture: &Architecture,
    matrix: WeightMatrix,
) -> Result<Vec<f32>> {
    Ok(folder.rows(matrix, 0..matrix.grid(architecture).rows)?)
}

/// Tells models apart that are of one shape: SHA-256, in hex, of the names, the sizes and the first
/// MiB of all files of weights. Reading all of a large model would take longer than some steps.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn fingerprint(folder: &Path) -> Result<String> {
    let cannot_read = || format!("cannot read {}", folder.display());
    let mut paths = Vec::new();
    for entry in folder.read_dir().with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        let cannot_read = || format!("cannot read {}", path.display());
        let file = File::open(&path).with_context(cannot_read)?;
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(file.metadata().with_context(cannot_read)?.len().to_le_bytes());
        let mut head = Vec::new();
        file.take(1 << 20).read_to_end(&mut head).with_context(cannot_read)?;
        hash.update(head);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
