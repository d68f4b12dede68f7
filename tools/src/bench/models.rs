//! Which models: packed files, and random weights of a shape, written once and kept.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use etcetera::{BaseStrategy, choose_base_strategy};
use otaro::{
    Architecture, CancelToken, Checkpoint, ErrorKind, Norm, Reconstruction, Scale, WeightMatrix,
    checkpoint::{Manifest, WeightSource, write_checkpoint},
    pack::{SHAPES, Shape},
};

use super::arguments::Arguments;
use crate::progress;

/// How packed models are called.
const SUFFIX: &str = ".sefp.safetensors";

/// A model to measure.
pub struct Subject {
    /// What the rows call it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// The models of the command line, those of random weights written where they are not there yet.
pub fn subjects(arguments: &Arguments, cancel: &CancelToken) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for path in &arguments.models {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.strip_suffix(SUFFIX).unwrap_or(&file).to_string();
        // An absolute path, to be found among the maps of the process.
        let path = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
        subjects.push(Subject { name, path });
    }
    for shape in &arguments.shapes {
        let (name, architecture) = shape_of(shape)?;
        let path = random_model(&name, &architecture, arguments.cache.as_deref(), cancel)?;
        subjects.push(Subject { name: format!("{name} (random)"), path: path.canonicalize()? });
    }
    if subjects.is_empty() {
        bail!("give a packed file, or --shape NAME for random weights");
    }
    Ok(subjects)
}

/// A shape of the table, or of a `config.json`.
fn shape_of(text: &str) -> anyhow::Result<(String, Architecture)> {
    if let Some(shape) = Shape::find(text) {
        return Ok((shape.name.to_string(), shape.architecture.clone()));
    }
    let path = Path::new(text);
    if !path.is_file() {
        let names: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
        bail!("'{text}' is not a shape: give one of {}, or a config.json", names.join(", "));
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {text}"))?;
    let architecture = Architecture::from_huggingface(&bytes).with_context(|| text.to_string())?;
    let folder = path.canonicalize()?.parent().and_then(|folder| Some(folder.file_name()?.to_owned()));
    Ok((folder.map_or("shape".to_string(), |name| name.to_string_lossy().into_owned()), architecture))
}

/// The file of a shape with random weights, written if it is not there yet.
fn random_model(
    name: &str,
    architecture: &Architecture,
    cache: Option<&Path>,
    cancel: &CancelToken,
) -> anyhow::Result<PathBuf> {
    let folder = match cache {
        Some(folder) => folder.to_path_buf(),
        None => choose_base_strategy()
            .context("there is no folder for caches: give --cache")?
            .cache_dir()
            .join("otaro"),
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let json = serde_json::to_vec(architecture)?;
    let path = folder.join(format!("random-{name}-{:08x}{SUFFIX}", hash(&json)));
    if path.exists() {
        match Checkpoint::open(&path) {
            Ok(checkpoint) if checkpoint.architecture() == architecture => return Ok(path),
            Ok(_) => bail!("{} has another shape: remove it", path.display()),
            Err(error) if error.kind() == ErrorKind::Io => return Err(error.into()),
            // Damaged, or of another version of the format.
            Err(error) => eprintln!("{error}: writing it again"),
        }
    }
    eprintln!("writing random weights of {name} to {}", path.display());
    let manifest = Manifest {
        architecture: architecture.clone(),
        reconstruction: Reconstruction::default(),
        scale: Scale::default(),
        blobs: Vec::new(),
        tokenizer_fingerprint: "none".to_string(),
        provenance: "random weights".to_string(),
        profiles: Default::default(),
    };
    let bar = progress::bar(0, "writing", "weights");
    write_checkpoint(&path, &manifest, &mut RepeatedNoise::new(architecture), &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        cancel.check()
    })?;
    bar.finish_and_clear();
    Ok(path)
}

/// FNV-1a in 32 bits.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Random numbers in `-1..1`, used over and over from another place: a billion of them cost no more
/// than a copy, and no kernel can tell.
struct RepeatedNoise<'a> {
    architecture: &'a Architecture,
    noise: Vec<f32>,
    state: u32,
}

/// Numbers that are made: a prime, so that rows of any usual length start in different places.
const NOISE: usize = 1_048_573;

impl<'a> RepeatedNoise<'a> {
    fn new(architecture: &'a Architecture) -> Self {
        let mut source = Self { architecture, noise: Vec::new(), state: 0x9e37_79b9 };
        source.noise = (0..NOISE).map(|_| source.next() as i32 as f32 / 2_f32.powi(31)).collect();
        source
    }

    /// Marsaglia's xorshift.
    fn next(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state
    }
}

impl WeightSource for RepeatedNoise<'_> {
    fn rows(&mut self, matrix: WeightMatrix, rows: Range<usize>) -> otaro::Result<Vec<f32>> {
        let cols = matrix.grid(self.architecture).cols;
        // The variance 1 / in: activations neither die nor explode.
        let bound = (3.0 / cols as f32).sqrt();
        let start = self.next() as usize % NOISE;
        let noise = self.noise[start..].iter().chain(self.noise.iter().cycle());
        Ok(noise.take(rows.len() * cols).map(|value| value * bound).collect())
    }

    fn norm(&mut self, _norm: Norm) -> otaro::Result<Vec<f32>> {
        Ok(vec![1.0; self.architecture.hidden_size])
    }
}
