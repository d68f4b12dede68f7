//! The folder that an interrupted calibration goes on from: its settings, every block that is done, and
//! the whole model as far as it was distilled.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::CalibrateSettings;
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

/// The folder of the state.
pub(super) struct StateFolder(PathBuf);

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
    /// that differ; those of the file system.
    pub(super) fn open(out: &Path, settings: &CalibrateSettings, resume: bool) -> Result<Self> {
        let folder = Self(out.join("state"));
        let path = folder.0.join("settings.json");
        if !path.exists() {
            ensure!(!resume, "{} holds no calibration to go on with: leave --resume out", out.display());
            atomic::write(&path, &(serde_json::to_string_pretty(settings)? + "\n"))?;
            return Ok(folder);
        }
        ensure!(
            resume,
            "{} holds a calibration already: give --resume to go on with it, or another --out",
            out.display()
        );
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let stored: CalibrateSettings =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        stored.must_equal(settings)?;
        Ok(folder)
    }

    fn block_path(&self, layer: usize) -> PathBuf {
        self.0.join(format!("block-{layer:03}.safetensors"))
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
        self.0.join("distilled.safetensors")
    }
}

fn read(path: PathBuf) -> Result<Option<(PathBuf, Vec<u8>)>> {
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn damaged(path: &Path) -> String {
    format!("{} is damaged: remove it, and it is made again", path.display())
}
