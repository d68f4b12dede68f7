//! The folder that an interrupted calibration goes on from: its settings, every block that is done, and
//! the whole model as far as it was distilled.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use otaro::Architecture;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::{CalibrateSettings, masters::block_parameters};
use crate::{
    atomic,
    model::{Parameter, TensorSet},
    train::{
        Moments,
        checkpoint::{FIRST, SECOND, read_progress, read_set, save_sets},
    },
};

/// How far a block was from the unquantised one, before and after it was tuned: the squared difference
/// of what they give over the square of what the unquantised one gives, token by token, on average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// The block, from 0.
    pub layer: usize,
    /// Mantissa bits, error before, error after; lowest precision first.
    pub errors: Vec<(u32, f64, f64)>,
}

/// The folder of the state, which one process uses at a time.
pub(super) struct StateFolder {
    path: PathBuf,
    /// Locked as long as it is open; the system unlocks it when the process ends, however it does.
    _lock: File,
}

/// The whole model, as far as it was distilled.
pub(super) struct Distilled {
    pub(super) step: usize,
    pub(super) weights: TensorSet,
    pub(super) moments: Option<Moments>,
}

impl StateFolder {
    /// Begins, or goes on: the stored settings must be the same then.
    ///
    /// # Errors
    /// There is a calibration already and `resume` is not asked for, or none and it is; settings
    /// that differ; another process at work there; those of the file system.
    pub(super) fn open(out: &Path, settings: &CalibrateSettings, resume: bool) -> Result<Self> {
        let folder = out.join("state");
        let path = folder.join("settings.json");
        let begun = path.exists();
        ensure!(begun || !resume, "{} holds no calibration to go on with: leave --resume out", out.display());
        ensure!(
            resume || !begun,
            "{} holds a calibration already: give --resume to go on with it, or another --out",
            out.display()
        );
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let state = Self { _lock: lock(&folder)?, path: folder };
        if begun {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let stored: CalibrateSettings =
                serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            stored.must_equal(settings, state.distilled_path().exists())?;
            remove_temporaries(out)?;
            remove_temporaries(&state.path)?;
        }
        atomic::write(&path, &(serde_json::to_string_pretty(settings)? + "\n"))?;
        Ok(state)
    }

    fn block_path(&self, layer: usize) -> PathBuf {
        self.path.join(format!("block-{layer:03}.safetensors"))
    }

    /// What every block gained, once all of them are done and intact.
    ///
    /// # Errors
    /// As [`Self::load_block`].
    pub(super) fn reports(
        &self,
        architecture: &Architecture,
        device: &Device,
    ) -> Result<Option<Vec<BlockReport>>> {
        let report = |layer| {
            let block = self.load_block(layer, &block_parameters(architecture, layer), device)?;
            Ok(block.map(|(_, report)| report))
        };
        (0..architecture.layers).map(report).collect()
    }

    /// Keeps a block that is done.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn save_block(
        &self,
        weights: &TensorSet,
        parameters: &[Parameter],
        report: &BlockReport,
    ) -> Result<()> {
        save_sets(&self.block_path(report.layer), parameters, &[("", weights)], report)
    }

    /// A block that was kept.
    ///
    /// # Errors
    /// A file that is damaged or of another model; names it.
    pub(super) fn load_block(
        &self,
        layer: usize,
        parameters: &[Parameter],
        device: &Device,
    ) -> Result<Option<(TensorSet, BlockReport)>> {
        let Some((path, bytes)) = read(self.block_path(layer))? else { return Ok(None) };
        let parse = || -> Result<_> {
            let weights = read_set(&SafeTensors::deserialize(&bytes)?, "", parameters, device)?;
            Ok((weights, read_progress(&bytes)?))
        };
        parse().map(Some).with_context(|| damaged(&path))
    }

    /// A block that must be there.
    ///
    /// # Errors
    /// As [`Self::load_block`]; the block is not there.
    pub(super) fn block(
        &self,
        layer: usize,
        parameters: &[Parameter],
        device: &Device,
    ) -> Result<(TensorSet, BlockReport)> {
        let path = self.block_path(layer);
        self.load_block(layer, parameters, device)?.with_context(|| format!("{} is gone", path.display()))
    }

    /// Keeps the whole model.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn save_distilled(&self, distilled: &Distilled, parameters: &[Parameter]) -> Result<()> {
        let mut sets = vec![("", &distilled.weights)];
        if let Some(moments) = &distilled.moments {
            sets.push((FIRST, &moments.first));
            sets.push((SECOND, &moments.second));
        }
        save_sets(&self.distilled_path(), parameters, &sets, &distilled.step)
    }

    /// The whole model that was kept.
    ///
    /// # Errors
    /// A file that is damaged or of another model; names it.
    pub(super) fn load_distilled(
        &self,
        parameters: &[Parameter],
        device: &Device,
    ) -> Result<Option<Distilled>> {
        let Some((path, bytes)) = read(self.distilled_path())? else { return Ok(None) };
        let parse = || -> Result<_> {
            let step: usize = read_progress(&bytes)?;
            let file = SafeTensors::deserialize(&bytes)?;
            let set = |prefix| read_set(&file, prefix, parameters, device);
            let moments = match step {
                0 => None,
                updates => Some(Moments { updates, first: set(FIRST)?, second: set(SECOND)? }),
            };
            Ok(Distilled { step, weights: set("")?, moments })
        };
        parse().map(Some).with_context(|| damaged(&path))
    }

    fn distilled_path(&self) -> PathBuf {
        self.path.join("distilled.safetensors")
    }
}

fn read(path: PathBuf) -> Result<Option<(PathBuf, Vec<u8>)>> {
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Keeps other processes out of the folder.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => bail!(
            "another process calibrates in {}: wait for it, or give another --out",
            folder.parent().unwrap_or(folder).display()
        ),
        // Not every file system has locks.
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
        _ => Ok(file),
    }
}

/// Removes what a process that was killed had begun to write.
fn remove_temporaries(folder: &Path) -> Result<()> {
    let remove = || -> std::io::Result<()> {
        for entry in folder.read_dir()? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(".tmp") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().with_context(|| format!("cannot remove temporary files in {}", folder.display()))
}

fn damaged(path: &Path) -> String {
    format!("{} is damaged: remove it, and it is made again", path.display())
}
