//! The runtime for Kotlin and Swift. Nothing is decided here: every method hands over to
//! [`otaro::engine`] and turns what comes back into types that cross the border.
//!
//! `bindings/README.md` lists the surface, its errors and the rules of its threads.

mod error;
mod info;
mod metrics;
mod model;
mod open;
mod options;
mod preflight;
mod session;
mod signal;
mod stream;

pub use error::{ErrorKind, OtaroError};
pub use info::{BuildInfo, build_info, diagnostics};
pub use metrics::Metrics;
pub use model::{Model, ModelInfo};
pub use open::{DeviceChoice, KvFormat, ModelSource, OpenOptions, OpenProgress, OpenStage, OpenTask, open};
pub use options::{ChatMessage, GenerationOptions, Role, SamplerOptions, SessionOptions};
pub use preflight::{FreeMemory, FreeMemorySource, PrecisionNeed, Preflight, PreflightOptions, preflight};
pub use session::Session;
pub use signal::{Decision, MemoryPressure, Signal, ThermalState};
pub use stream::{FinishReason, TokenBatch, TokenStream};

uniffi::setup_scaffolding!();
