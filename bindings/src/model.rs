//! An opened model.

use std::sync::{Arc, Mutex, PoisonError};

use otaro::engine::Engine;

use crate::{
    OtaroError, Session, SessionOptions,
    error::{enter, precision},
    info::revision_line,
};

/// An opened model. Sessions share its weights and keep them until they are closed themselves.
#[derive(Debug, uniffi::Object)]
pub struct Model(Mutex<Option<Engine>>);

/// What a model is.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ModelInfo {
    /// Bytes of the whole file, whether or not all of it is there.
    pub file_bytes: u64,
    /// Weights of its matrices.
    pub weights: u64,
    /// Layers.
    pub layers: u32,
    /// Tokens of the vocabulary.
    pub vocab_size: u32,
    /// Tokens of context that the model was made for.
    pub context_length: u32,
    /// Whether it has a chat template; otherwise it only continues text.
    pub has_chat_template: bool,
    /// The highest precision that the file holds now.
    pub max_mantissa_bits: u32,
    /// Which device answers.
    pub device: String,
    /// Whether that is a GPU.
    pub on_gpu: bool,
    /// Why this device answers, where the choice was left to otaro.
    pub device_reason: Option<String>,
    /// Where the weights come from.
    pub provenance: String,
}

impl Model {
    pub(crate) fn new(engine: Engine) -> Self {
        Self(Mutex::new(Some(engine)))
    }

    fn engine(&self) -> otaro::Result<Engine> {
        let engine = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        engine
            .ok_or_else(|| otaro::Error::new(otaro::ErrorKind::Closed, "the model is closed: open it again"))
    }
}

#[uniffi::export]
impl Model {
    /// A session with an empty context, on a thread of its own. Makes the buffers of the device: not on the
    /// main thread.
    ///
    /// # Errors
    /// `InvalidArgument` for options out of range, `MissingPlanes`, `ChatTemplate`, `Device`, `Closed`.
    pub fn session(&self, options: SessionOptions) -> Result<Arc<Session>, OtaroError> {
        enter(|| {
            let session = self.engine()?.session(options.try_into()?)?;
            Ok(Arc::new(Session::new(session)))
        })
    }

    /// What the model is.
    ///
    /// # Errors
    /// `Io`, `MissingPlanes` when the file was cut meanwhile, `Closed`.
    pub fn info(&self) -> Result<ModelInfo, OtaroError> {
        enter(|| {
            let info = self.engine()?.info()?;
            Ok(ModelInfo {
                file_bytes: info.file_bytes,
                weights: info.weights as u64,
                layers: info.layers as u32,
                vocab_size: info.vocab_size as u32,
                context_length: info.context_length as u32,
                has_chat_template: info.has_chat_template,
                max_mantissa_bits: info.max_precision.mantissa_bits(),
                on_gpu: info.device.kind == otaro::DeviceKind::Gpu,
                device: info.device.to_string(),
                device_reason: info.device_reason,
                provenance: info.provenance,
            })
        })
    }

    /// Gives back the memory of planes above a precision, 3 to 8. Sessions stay usable at any precision:
    /// what they need is read or uploaded again.
    ///
    /// # Errors
    /// `InvalidArgument`, `Closed`.
    pub fn trim(&self, mantissa_bits: u32) -> Result<(), OtaroError> {
        enter(|| self.engine()?.model().trim(precision(mantissa_bits)?))
    }

    /// One block of text for a bug report.
    ///
    /// # Errors
    /// `Closed`.
    pub fn diagnostics(&self) -> Result<String, OtaroError> {
        enter(|| Ok(revision_line() + &self.engine()?.diagnostics()))
    }

    /// Lets go of the model. Does no harm twice; sessions go on until they are closed.
    pub fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
