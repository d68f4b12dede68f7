//! otaro: the on-device LLaMA runtime in which precision is a dial.

mod architecture;
mod device;
mod error;
mod rope;
mod weights;

pub use architecture::{Architecture, RopeScaling};
pub use device::{Backend, Batch, Candidate, Device, DeviceInfo, DeviceKind, Output, Readback, Slot};
pub use error::{Error, ErrorKind, Result};
pub use sefp::{Precision, Reconstruction};
pub use weights::{Norm, Projection, WeightMatrix};
