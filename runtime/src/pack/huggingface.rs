//! A Hugging Face folder as a source of weights: `config.json` and one or many safetensors files,
//! mapped, checked up front, converted to f32 row by row.

use std::{
    collections::HashMap,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::{Architecture, Error, ErrorKind, Norm, Result, WeightMatrix, checkpoint::WeightSource};

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// The weights of a Hugging Face LLaMA checkpoint.
#[derive(Debug)]
pub struct HuggingFaceFolder {
    architecture: Architecture,
    shards: Vec<Mmap>,
    tensors: HashMap<String, Tensor>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Tensor {
    shard: usize,
    bytes: Range<usize>,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl HuggingFaceFolder {
    /// Opens a folder and checks that every tensor of the architecture is there with its shape, in
    /// f32, f16 or bf16, and that none is there which this build would have to ignore.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), [`NotACheckpoint`](ErrorKind::NotACheckpoint),
    /// [`UnsupportedModel`](ErrorKind::UnsupportedModel), [`Corrupt`](ErrorKind::Corrupt).
    pub fn open(folder: &Path) -> Result<Self> {
        let config = folder.join("config.json");
        let bytes = std::fs::read(&config).map_err(|e| Error::io("cannot read", &config, e))?;
        let architecture = Architecture::from_huggingface(&bytes).map_err(|e| e.at(config.display()))?;
        let mut source = Self { architecture, shards: Vec::new(), tensors: HashMap::new() };
        for shard in shard_paths(folder)? {
            source.add_shard(&shard)?;
        }
        source.check().map_err(|e| e.at(folder.display()))?;
        Ok(source)
    }

    /// The shape of the model.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    fn add_shard(&mut self, path: &Path) -> Result<()> {
        let io = |error| Error::io("cannot read", path, error);
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is private and read-only; that the file is not shortened while it is packed
        // is the caller's promise, as for any program that maps files.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let tensors = SafeTensors::deserialize(&map).map_err(|e| {
            let what = format!("{} is not a valid safetensors file", path.display());
            Error::new(ErrorKind::Corrupt, what).with_source(e)
        })?;
        let map_start = map.as_ptr() as usize;
        for (name, view) in tensors.iter() {
            let begin = view.data().as_ptr() as usize - map_start;
            let bytes = begin..begin + view.data().len();
            let tensor =
                Tensor { shard: self.shards.len(), bytes, dtype: view.dtype(), shape: view.shape().to_vec() };
            self.tensors.insert(name.to_string(), tensor);
        }
        self.shards.push(map);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if let Some(name) = self.tensors.keys().filter(|name| name.ends_with(".bias")).min() {
            return Err(Error::new(
                ErrorKind::UnsupportedModel,
                format!("this build does not run biases ({name})"),
            ));
        }
        for norm in Norm::all(&self.architecture) {
            self.find(&norm.to_string(), &[self.architecture.hidden_size])?;
        }
        for matrix in WeightMatrix::all(&self.architecture) {
            self.find_matrix(matrix)?;
        }
        Ok(())
    }

    /// A tied embedding may be stored under the name of the head alone.
    fn find_matrix(&self, matrix: WeightMatrix) -> Result<&Tensor> {
        let grid = matrix.grid(&self.architecture);
        let shape = [grid.rows, grid.cols];
        let under_own_name = self.find(&matrix.to_string(), &shape);
        if matrix == WeightMatrix::Embedding && self.architecture.tied_head {
            let head_name = WeightMatrix::Head.to_string();
            if !self.tensors.contains_key(&matrix.to_string()) && self.tensors.contains_key(&head_name) {
                return self.find(&head_name, &shape);
            }
        }
        under_own_name
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let tensor = self.tensors.get(name).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("tensor {name} is in none of the safetensors files"))
        })?;
        if tensor.shape != shape {
            let what =
                format!("tensor {name} has the shape {:?}, config.json asks for {shape:?}", tensor.shape);
            return Err(Error::new(ErrorKind::Corrupt, what));
        }
        match tensor.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(tensor),
            other => {
                let what = format!("tensor {name} is of type {other:?}; this build packs F32, F16 and BF16");
                Err(Error::new(ErrorKind::UnsupportedModel, what))
            }
        }
    }

    fn read(&self, tensor: &Tensor, values: Range<usize>) -> Vec<f32> {
        let size = tensor.dtype.bitsize() / 8;
        let bytes = &self.shards[tensor.shard][tensor.bytes.clone()][values.start * size..values.end * size];
        match tensor.dtype {
            Dtype::F32 => convert(bytes, f32::from_le_bytes),
            Dtype::F16 => convert(bytes, |b| f16::from_le_bytes(b).to_f32()),
            _ => convert(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        }
    }
}

impl WeightSource for HuggingFaceFolder {
    fn rows(&mut self, matrix: WeightMatrix, rows: Range<usize>) -> Result<Vec<f32>> {
        let cols = matrix.grid(&self.architecture).cols;
        Ok(self.read(self.find_matrix(matrix)?, rows.start * cols..rows.end * cols))
    }

    fn norm(&mut self, norm: Norm) -> Result<Vec<f32>> {
        let hidden = self.architecture.hidden_size;
        Ok(self.read(self.find(&norm.to_string(), &[hidden])?, 0..hidden))
    }
}

fn convert<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
}

/// The safetensors files of a folder: those of the index, or the single one.
fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let index_path = folder.join(INDEX_FILE);
    if !index_path.exists() {
        let single = folder.join(SINGLE_FILE);
        return match single.exists() {
            true => Ok(vec![single]),
            false => Err(Error::new(
                ErrorKind::NotACheckpoint,
                format!("{}: neither {SINGLE_FILE} nor {INDEX_FILE} is there", folder.display()),
            )),
        };
    }
    let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("{}: {what}", index_path.display()));
    let bytes = std::fs::read(&index_path).map_err(|e| Error::io("cannot read", &index_path, e))?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|e| corrupt("not a shard index").with_source(e))?;
    let mut names: Vec<_> = index.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    // A shard is a file of this folder: an index from a stranger must not reach elsewhere.
    if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        return Err(corrupt(&format!("'{name}' is not the name of a file in this folder")));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
