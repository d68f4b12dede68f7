//! Token ids from a safetensors file.

use anyhow::{Context, bail};
use safetensors::{Dtype, SafeTensors};

/// Reads `FILE.safetensors#NAME`: a tensor of I32, I64, U32 or U16 ids, flattened.
pub fn read(reference: &str) -> anyhow::Result<Vec<u32>> {
    let (path, name) = reference.split_once('#').context("--tokens: give FILE.safetensors#NAME")?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let tensors =
        SafeTensors::deserialize(&bytes).with_context(|| format!("{path} is not a safetensors file"))?;
    let tensor =
        tensors.tensor(name).with_context(|| format!("{path}: there are {}", tensors.names().join(", ")))?;
    let data = tensor.data();
    let ids: Vec<i64> = match tensor.dtype() {
        Dtype::I32 => data.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect(),
        Dtype::U32 => data.as_chunks().0.iter().map(|&b| i64::from(u32::from_le_bytes(b))).collect(),
        Dtype::I64 => data.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        Dtype::U16 => data.as_chunks().0.iter().map(|&b| i64::from(u16::from_le_bytes(b))).collect(),
        other => bail!("{path}: {name} is of type {other:?}; token ids are I32, U32, I64 or U16"),
    };
    let id = |(index, id): (usize, i64)| {
        u32::try_from(id).with_context(|| format!("{path}: {name}[{index}] is {id}, which is no token id"))
    };
    ids.into_iter().enumerate().map(id).collect()
}
