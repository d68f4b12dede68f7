//! Reads the reference tensors.

use std::path::{Path, PathBuf};

use otaro::{
    Checkpoint,
    pack::{PackOptions, pack_folder},
};
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use crate::shared;

/// A safetensors file in memory.
pub struct Reference(Vec<u8>);

impl Reference {
    /// Reads a file.
    pub fn open(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    /// Names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.tensors().names().into_iter().map(str::to_string).collect()
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensors().tensor(name).unwrap().shape().to_vec()
    }

    /// An F32 tensor.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.values(name, Dtype::F32, f32::from_le_bytes)
    }

    /// A U32 tensor.
    pub fn u32(&self, name: &str) -> Vec<u32> {
        self.values(name, Dtype::U32, u32::from_le_bytes)
    }

    /// A U16 tensor.
    pub fn u16(&self, name: &str) -> Vec<u16> {
        self.values(name, Dtype::U16, u16::from_le_bytes)
    }

    /// A U8 tensor.
    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.values(name, Dtype::U8, |[byte]: [u8; 1]| byte)
    }

    /// An I32 tensor of token ids.
    pub fn tokens(&self, name: &str) -> Vec<u32> {
        self.values(name, Dtype::I32, |bytes| i32::from_le_bytes(bytes).try_into().unwrap())
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    fn values<const N: usize, T>(&self, name: &str, dtype: Dtype, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data().as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
    }
}

/// The folder of stories260K, a real model of 260,032 parameters.
pub fn stories260k_folder() -> Option<PathBuf> {
    shared("models/stories260K")
}

/// stories260K, packed into a temporary folder that must be kept while the checkpoint is used.
pub fn stories260k() -> Option<(TempDir, Checkpoint)> {
    stories260k_packed(&PackOptions::default())
}

/// [`stories260k`], packed in a way of its own.
pub fn stories260k_packed(options: &PackOptions) -> Option<(TempDir, Checkpoint)> {
    let folder = stories260k_folder()?;
    let temporary = crate::temporary_folder();
    let path = temporary.path().join("stories260K.sefp.safetensors");
    pack_folder(&folder, &path, options, &mut |_| Ok(())).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    Some((temporary, checkpoint))
}
