//! The models of an evaluation: what they are, and the ways in which each is read.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{bail, ensure};
use otaro::{
    Architecture, Checkpoint, ErrorKind, Model, OpenOptions, Precision, PrecisionProfile, Reconstruction,
    Session, TextFiles, Tokenizer,
    cpu::{CpuOptions, FullWeights},
    pack::{HuggingFaceFolder, read_text_files},
};

use super::arguments::{Arguments, ModelPath, Reconstructions};

/// What a packed file is called after its name.
const PACKED_EXTENSION: &str = ".sefp.safetensors";

/// A model before its weights are read.
pub struct Subject {
    pub name: String,
    weights: Weights,
    pub vocabulary: Vocabulary,
    bits_per_weight: Option<f64>,
}

enum Weights {
    Packed(Arc<Checkpoint>),
    /// As they are, in f32.
    Folder(PathBuf),
}

/// What must be the same for models to be compared.
pub struct Vocabulary {
    pub size: usize,
    pub context_length: usize,
    /// `None` for a model that takes token ids only.
    pub tokenizer: Option<(Tokenizer, String)>,
}

/// A model that is read in one way.
pub struct Candidate {
    pub label: Label,
    pub session: Session,
}

/// What a row says about its model.
#[derive(Clone, Debug)]
pub struct Label {
    pub model: String,
    /// `None` for unquantised weights.
    pub reading: Option<Reading>,
    pub bits_per_weight: Option<f64>,
    pub bytes_per_token: Option<f64>,
    pub device: String,
}

/// How packed weights are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub profile: PrecisionProfile,
    pub reconstruction: Reconstruction,
}

impl Subject {
    /// Opens a file or a folder, without reading its weights.
    pub fn open(model: &ModelPath) -> anyhow::Result<Self> {
        let ModelPath { path, bits_per_weight } = model;
        if path.is_dir() {
            return Self::open_folder(path, *bits_per_weight);
        }
        ensure!(
            bits_per_weight.is_none(),
            "{}: the bits of a packed file are known, no @ is needed",
            path.display()
        );
        let checkpoint = Arc::new(Checkpoint::open(path)?);
        let tokenizer = match checkpoint.text_files() {
            Ok(_) => Some(checkpoint.tokenizer()?),
            Err(error) if error.kind() == ErrorKind::Tokenizer => None,
            Err(error) => return Err(error.into()),
        };
        let vocabulary = Vocabulary::new(checkpoint.architecture(), tokenizer)?;
        let weights = Weights::Packed(checkpoint);
        Ok(Self { name: name(path), weights, vocabulary, bits_per_weight: None })
    }

    /// Opens the folder of a model in Hugging Face's format.
    pub fn open_folder(path: &Path, bits_per_weight: Option<f64>) -> anyhow::Result<Self> {
        let vocabulary = folder_vocabulary(path)?;
        Ok(Self { name: name(path), weights: Weights::Folder(path.to_owned()), vocabulary, bits_per_weight })
    }

    /// Everything that is to be measured of it: a packed file at each precision and profile with each reconstruction, a
    /// folder as it is.
    pub fn candidates(&self, arguments: &Arguments) -> anyhow::Result<Vec<Candidate>> {
        match &self.weights {
            Weights::Folder(folder) => Ok(vec![self.unquantised(folder, arguments)?]),
            Weights::Packed(checkpoint) => self.packed(checkpoint, arguments),
        }
    }

    fn unquantised(&self, folder: &Path, arguments: &Arguments) -> anyhow::Result<Candidate> {
        let mut source = HuggingFaceFolder::open(folder)?;
        let architecture = source.architecture().clone();
        let weights = FullWeights::load(&architecture, &mut source)?;
        let options = CpuOptions { kernel: arguments.kernel, ..CpuOptions::default() };
        let model = Model::full_precision(&architecture, weights, &options)?;
        let session = model.session(Precision::MAX)?;
        // What the runtime reads are values of f32; what they stand for is what counts.
        let bytes_of_f32 = session.weight_bytes_per_token() as f64;
        let label = Label {
            model: self.name.clone(),
            reading: None,
            bits_per_weight: self.bits_per_weight,
            bytes_per_token: self.bits_per_weight.map(|bits| bytes_of_f32 * bits / 32.0),
            device: model.device_info().to_string(),
        };
        Ok(Candidate { label, session })
    }

    fn packed(&self, checkpoint: &Arc<Checkpoint>, arguments: &Arguments) -> anyhow::Result<Vec<Candidate>> {
        let architecture = checkpoint.architecture();
        let profiles = profiles(arguments, checkpoint)?;
        let reconstructions = match &arguments.reconstruction {
            None => vec![checkpoint.reconstruction()],
            Some(Reconstructions(reconstructions)) => reconstructions.clone(),
        };
        let mut candidates = Vec::new();
        for reconstruction in reconstructions {
            let cpu = CpuOptions { kernel: arguments.kernel, ..CpuOptions::default() };
            let options = OpenOptions { device: arguments.device, reconstruction: Some(reconstruction), cpu };
            let model = Model::on_device(Arc::clone(checkpoint), &options)?;
            for profile in &profiles {
                let session = model.session(profile)?;
                let label = Label {
                    model: self.name.clone(),
                    bits_per_weight: Some(profile.resolve(architecture)?.bits_per_weight(architecture)),
                    reading: Some(Reading { profile: profile.clone(), reconstruction }),
                    bytes_per_token: Some(session.weight_bytes_per_token() as f64),
                    device: model.device_info().to_string(),
                };
                candidates.push(Candidate { label, session });
            }
        }
        Ok(candidates)
    }
}

/// Precisions and profiles of a file, as given or every precision that it holds, highest first.
fn profiles(arguments: &Arguments, checkpoint: &Checkpoint) -> anyhow::Result<Vec<PrecisionProfile>> {
    let available = checkpoint.available()?;
    let mut profiles: Vec<PrecisionProfile> = match (&arguments.bits[..], &arguments.profiles[..]) {
        ([], []) => {
            let all = Precision::ALL.into_iter().rev().filter(|&precision| precision <= available);
            all.map(Into::into).collect()
        }
        (bits, _) => bits.iter().map(|&precision| precision.into()).collect(),
    };
    for source in &arguments.profiles {
        profiles.push(source.profile(checkpoint.profiles(), available)?);
    }
    for profile in &profiles {
        checkpoint.require(profile.resolve(checkpoint.architecture())?.max())?;
    }
    Ok(profiles)
}

/// What reports call a model.
fn name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(PACKED_EXTENSION).unwrap_or(&name).to_string()
}

fn folder_vocabulary(folder: &Path) -> anyhow::Result<Vocabulary> {
    let source = HuggingFaceFolder::open(folder)?;
    let tokenizer = match read_text_files(folder) {
        Ok(blobs) => Some(Tokenizer::new(&TextFiles::from_blobs(&blobs))?),
        Err(error) if error.kind() == ErrorKind::NotACheckpoint => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Vocabulary::new(source.architecture(), tokenizer)?)
}

impl Vocabulary {
    fn new(architecture: &Architecture, tokenizer: Option<Tokenizer>) -> otaro::Result<Self> {
        let tokenizer = match tokenizer {
            Some(tokenizer) => Some((tokenizer.fingerprint()?, tokenizer)).map(|(print, it)| (it, print)),
            None => None,
        };
        Ok(Self { size: architecture.vocab_size, context_length: architecture.context_length, tokenizer })
    }

    /// The fingerprint of the tokenizer.
    pub fn fingerprint(&self) -> Option<&str> {
        self.tokenizer.as_ref().map(|(_, fingerprint)| fingerprint.as_str())
    }
}

/// Checks that models have the vocabulary of the first, as far as that is known.
pub fn check_vocabularies(subjects: &[&Subject]) -> anyhow::Result<()> {
    let fingerprinted = subjects.iter().find(|subject| subject.vocabulary.tokenizer.is_some());
    for subject in subjects {
        let (first, other) = (&subjects[0].vocabulary, &subject.vocabulary);
        if other.size != first.size {
            bail!(
                "{} has a vocabulary of {} tokens, but {} one of {}: their predictions cannot be compared",
                subject.name,
                other.size,
                subjects[0].name,
                first.size
            );
        }
        if let (Some(known), Some(print)) = (fingerprinted, other.fingerprint()) {
            ensure!(
                known.vocabulary.fingerprint() == Some(print),
                "{} and {} have different tokenizers: their predictions cannot be compared",
                known.name,
                subject.name
            );
        }
    }
    Ok(())
}
