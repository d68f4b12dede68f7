//! otaro: the on-device LLaMA runtime in which precision is a dial.

mod architecture;
mod auto;
mod cancel;
pub mod checkpoint;
pub mod cpu;
mod device;
pub mod engine;
mod error;
mod forward;
mod gate;
mod generate;
pub mod governor;
pub mod gpu;
mod hex;
pub mod memory;
mod model;
mod open;
pub mod pack;
pub mod preflight;
mod profile;
mod rope;
mod session;
#[cfg(test)]
mod test_checkpoint;
mod text;
mod weights;

pub use architecture::{Architecture, RopeScaling};
pub use cancel::CancelToken;
pub use checkpoint::Checkpoint;
pub use device::{Backend, Batch, Candidate, Device, DeviceInfo, DeviceKind, Output, Readback, Slot};
pub use error::{Error, ErrorKind, Result};
pub use gate::Gate;
pub use generate::{
    Answer, Conversation, FinishReason, GenerateOptions, Generator, Metrics, Sampler, SamplerSettings, Token,
};
pub use model::Model;
pub use open::{DeviceChoice, OpenOptions};
pub use profile::{
    MatrixPrecisions, NamedProfiles, PartialProfile, PrecisionProfile, ProfileSource, TensorClass,
};
pub use rope::Rope;
pub use sefp::{Precision, Reconstruction, Scale};
pub use session::Session;
pub use text::{ChatTemplate, Message, Role, StopFilter, StopOutcome, TextDecoder, TextFiles, Tokenizer};
pub use weights::{Norm, Projection, WeightMatrix};
