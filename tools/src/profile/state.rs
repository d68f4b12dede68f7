//! What a search has measured, kept on the disk after every measurement.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, ensure};
use otaro::{Checkpoint, DeviceChoice, PrecisionProfile};
use otaro_eval::Windows;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::measure::Divergence;
use crate::files;

/// Its name in the folder of the results.
const FILE: &str = "state.json";

/// Everything on which a measurement depends: with another of these it means nothing.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Hashes of the sections of the packed file.
    model: Vec<String>,
    /// Names, bytes and times of the files of the unquantised model.
    reference: Vec<String>,
    /// Hash of the token ids.
    text: String,
    context: usize,
    windows: usize,
    device: String,
}

impl Search {
    /// The search for profiles of this model, on these windows.
    pub fn new(
        checkpoint: &Checkpoint,
        reference: &Path,
        windows: &Windows,
        device: DeviceChoice,
    ) -> anyhow::Result<Self> {
        let mut hash = Sha256::new();
        windows.iter().flat_map(|window| window.tokens).for_each(|id| hash.update(id.to_le_bytes()));
        Ok(Self {
            model: checkpoint.sections().iter().map(|section| section.sha256.clone()).collect(),
            reference: weight_files(reference)?,
            text: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            context: windows.context(),
            windows: windows.count(),
            device: device.to_string(),
        })
    }
}

fn weight_files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let read = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let metadata = fs::metadata(&path).with_context(read)?;
            let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(format!("{name} {} {}", metadata.len(), time.unwrap_or_default().as_secs()));
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{} holds no *.safetensors: give the folder of the model", folder.display());
    Ok(files)
}

#[derive(Serialize, Deserialize)]
struct Kept {
    search: Search,
    /// By the text of the profile.
    measured: BTreeMap<String, Divergence>,
}

/// The measurements of a search.
pub struct State {
    path: PathBuf,
    kept: Kept,
}

impl State {
    /// Goes on with what the folder holds of this search, or begins it.
    pub fn open(folder: &Path, search: Search) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Before anything is measured: what else the folder comes to hold is of this search too.
                let state = Self { path, kept: Kept { search, measured: BTreeMap::new() } };
                return state.save().map(|()| state);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let kept: Kept = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not the state of a search: delete it", path.display()))?;
        ensure!(
            kept.search == search,
            "{} is of a search with another model, text, windows or device: give another --out, or delete it",
            path.display()
        );
        Ok(Self { path, kept })
    }

    /// How many measurements there are.
    pub fn measured(&self) -> usize {
        self.kept.measured.len()
    }

    /// A measurement that was made before.
    pub fn get(&self, profile: &PrecisionProfile) -> Option<Divergence> {
        self.kept.measured.get(&profile.to_string()).copied()
    }

    /// Keeps a measurement.
    pub fn add(&mut self, profile: &PrecisionProfile, divergence: Divergence) -> anyhow::Result<()> {
        self.kept.measured.insert(profile.to_string(), divergence);
        self.save()
    }

    fn save(&self) -> anyhow::Result<()> {
        write(&self.path, &serde_json::to_vec(&self.kept)?)
    }
}

/// Writes a file whole.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    files::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
