//! otaro: the on-device LLaMA runtime in which precision is a dial.

mod architecture;
mod device;
mod error;
mod generate;
mod rope;
mod text;
mod weights;

pub use architecture::{Architecture, RopeScaling};
pub use device::{Backend, Batch, Candidate, Device, DeviceInfo, DeviceKind, Output, Readback, Slot};
pub use error::{Error, ErrorKind, Result};
pub use generate::{Metrics, Sampler, SamplerSettings};
pub use sefp::{Precision, Reconstruction};
pub use text::{ChatTemplate, Message, Role, StopFilter, StopOutcome, TextDecoder, TextFiles, Tokenizer};
pub use weights::{Norm, Projection, WeightMatrix};
