//! otaro-trainer: one fine-tuning, one checkpoint, every precision (OTARo, arXiv 2511.13147).

mod atomic;
pub mod calibrate;
pub mod command;
pub mod data;
pub mod kernels;
pub mod log;
pub mod memory;
pub mod model;
pub mod plot;
pub mod report;
pub mod strategy;
pub mod train;

/// What made a model or a result.
pub const REVISION: &str = concat!("otaro-trainer ", env!("CARGO_PKG_VERSION"));
