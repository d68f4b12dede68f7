//! An opened model with its text.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use sefp::Precision;

use super::{EngineSession, SessionOptions, canary::Canary, shared::lock};
use crate::{
    Checkpoint, Conversation, DeviceChoice, DeviceKind, Error, ErrorKind, Model, OpenOptions,
    PrecisionProfile, Result, Tokenizer,
    checkpoint::{ModelSource, SectionCheck},
};

/// How a model is opened.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Device, reconstruction, and how the CPU computes.
    pub open: OpenOptions,
    /// Whether every byte is compared with its hash first, which reads the whole file.
    pub verify: bool,
    /// The precision or profile whose planes are made ready ahead of the first token; none by default.
    pub prepare: Option<PrecisionProfile>,
    /// A folder of the app's that is kept between starts: a GPU that kills the process at its first try is
    /// found out by it at the next start, and left alone.
    pub state_folder: Option<PathBuf>,
}

/// What is being done while a model is opened, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpenStage {
    /// The header and the scales are read and checked.
    #[default]
    Checking,
    /// Every section is hashed, if that was asked for.
    Verifying,
    /// The tokenizer is read.
    Text,
    /// The device is opened and, where it is to be chosen, tried.
    Device,
    /// Planes are made ready, if that was asked for.
    Weights,
    /// Done.
    Ready,
}

/// How far the opening of a model is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpenProgress {
    /// What is being done.
    pub stage: OpenStage,
    /// The share of that which is done, 0 to 1.
    pub fraction: f64,
}

/// An opened model with its tokenizer. Clones share everything.
#[derive(Clone, Debug)]
pub struct Engine(Arc<State>);

#[derive(Debug)]
struct State {
    model: Model,
    tokenizer: Tokenizer,
    canary: Option<Canary>,
    last_error: Mutex<Option<String>>,
    last_signal: Mutex<Option<String>>,
}

/// Told of progress; an error from it ends the work.
type Progress<'a> = &'a mut dyn FnMut(OpenProgress) -> Result<()>;

impl Engine {
    /// Opens a model. `progress` is called at every step; an error from it ends the work and is returned.
    ///
    /// # Errors
    /// As [`Checkpoint::open_source`], [`Model::on_device`] and [`Checkpoint::tokenizer`];
    /// [`Corrupt`](ErrorKind::Corrupt) when a hash is asked for and does not fit.
    pub fn open(source: ModelSource, options: &EngineOptions, progress: Progress<'_>) -> Result<Self> {
        let mut tell = |stage, fraction| progress(OpenProgress { stage, fraction });
        let checkpoint =
            Checkpoint::open_source(source, &mut |fraction| tell(OpenStage::Checking, fraction))?;
        if options.verify {
            verify(&checkpoint, &mut |fraction| tell(OpenStage::Verifying, fraction))?;
        }
        tell(OpenStage::Text, 0.0)?;
        let tokenizer = checkpoint.tokenizer()?;
        tell(OpenStage::Device, 0.0)?;
        let (model, canary) = on_device(Arc::new(checkpoint), options)?;
        if let Some(profile) = &options.prepare {
            let highest = profile.max();
            for precision in Precision::ALL.into_iter().filter(|&precision| precision <= highest) {
                let (done, all) = (precision.bit_planes(), highest.bit_planes() + 1);
                tell(OpenStage::Weights, done as f64 / all as f64)?;
                model.prepare(profile.capped(precision))?;
            }
        }
        tell(OpenStage::Ready, 1.0)?;
        Ok(Self::new(model, tokenizer, canary))
    }

    /// The engine of a model that was opened otherwise.
    ///
    /// # Errors
    /// [`Tokenizer`](ErrorKind::Tokenizer) when it has none, [`Io`](ErrorKind::Io).
    pub fn with_model(model: Model) -> Result<Self> {
        let tokenizer = match model.checkpoint() {
            Some(checkpoint) => checkpoint.tokenizer()?,
            None => {
                let reason = "a model that was not read from a packed file has no tokenizer inside";
                return Err(Error::new(ErrorKind::Tokenizer, reason));
            }
        };
        Ok(Self::new(model, tokenizer, None))
    }

    fn new(model: Model, tokenizer: Tokenizer, canary: Option<Canary>) -> Self {
        let (last_error, last_signal) = Default::default();
        Self(Arc::new(State { model, tokenizer, canary, last_error, last_signal }))
    }

    /// A session with an empty cache, on a thread of its own.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for options out of range,
    /// [`MissingPlanes`](ErrorKind::MissingPlanes), [`ChatTemplate`](ErrorKind::ChatTemplate),
    /// [`Device`](ErrorKind::Device).
    pub fn session(&self, options: SessionOptions) -> Result<Arc<EngineSession>> {
        EngineSession::new(self, options).map(Arc::new)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    pub(super) fn conversation(&self, profile: PrecisionProfile) -> Result<Conversation> {
        let template = match self.0.model.checkpoint() {
            Some(checkpoint) => checkpoint.chat_template()?,
            None => None,
        };
        Conversation::with_text(&self.0.model, self.0.tokenizer.clone(), template, profile)
    }

    /// The device has computed a token.
    pub(super) fn survived(&self) {
        if let Some(canary) = &self.0.canary {
            canary.clear();
        }
    }

    /// Keeps an error for the diagnostics.
    pub(super) fn note_error(&self, error: &Error) {
        *lock(&self.0.last_error) = Some(format!("{:?}: {error}", error.kind()));
    }

    /// Keeps what a signal led to for the diagnostics.
    pub(super) fn note_signal(&self, what: &str) {
        *lock(&self.0.last_signal) = Some(what.to_owned());
    }

    pub(super) fn last_error(&self) -> Option<String> {
        lock(&self.0.last_error).clone()
    }

    pub(super) fn last_signal(&self) -> Option<String> {
        lock(&self.0.last_signal).clone()
    }
}

fn verify(checkpoint: &Checkpoint, progress: &mut dyn FnMut(f64) -> Result<()>) -> Result<()> {
    let all = checkpoint.file_bytes()?.max(1) as f64;
    let checks = checkpoint.verify(&mut |bytes| progress((bytes as f64 / all).min(1.0)))?;
    let damaged = checks.into_iter().filter(|(_, check)| *check == SectionCheck::Damaged);
    let damaged: Vec<_> = damaged.map(|(section, _)| section.name()).collect();
    if damaged.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "{}: damaged sections: {}; download the file again",
        checkpoint.path().display(),
        damaged.join(", ")
    );
    Err(Error::new(ErrorKind::Corrupt, reason))
}

/// The model on its device, watched by a canary where that may be a GPU.
fn on_device(checkpoint: Arc<Checkpoint>, options: &EngineOptions) -> Result<(Model, Option<Canary>)> {
    let open = |device| Model::on_device(Arc::clone(&checkpoint), &OpenOptions { device, ..options.open });
    let folder = options.state_folder.as_deref().filter(|_| options.open.device != DeviceChoice::Cpu);
    let Some(folder) = folder else { return Ok((open(options.open.device)?, None)) };
    let version = env!("CARGO_PKG_VERSION");
    let canary = match Canary::look(folder, version) {
        Err(reason) => return Ok((open(DeviceChoice::Cpu)?.with_reason(reason), None)),
        Ok(canary) => canary,
    };
    canary.set(version, &format!("{} on the GPU", checkpoint.path().display()));
    let model = open(options.open.device)?;
    // Where the choice was free, the trial has computed tokens.
    if options.open.device == DeviceChoice::Auto || model.device_info().kind == DeviceKind::Cpu {
        canary.clear();
    }
    Ok((model, Some(canary)))
}
