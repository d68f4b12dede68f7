//! Calibration: makes the weights of a finished model good at every precision, with little text and
//! the memory of one decoder block.
//!
//! First block by block. The masters of a block (seven matrices, two norms) are trained, with
//! straight-through gradients, so that the block at `m`, on what the blocks before it give at that `m`,
//! answers as the unquantised block does on unquantised inputs. Then, if asked for, the whole model
//! learns the distribution of its unquantised self. `m` is drawn anew for every step, so one set of
//! weights serves every precision.
//!
//! ```text
//! folder --Masters--> blocks --Blockwise--> state/block-NNN --Distillation--> state/distilled
//! text   --Dataset--> windows --Streams (one for each m, one unquantised)--^
//! ```
//!
//! What a step does is a pure function of settings, data and step, and the tuned blocks are files, so
//! an interrupted job goes on with the bits that it would have had.

mod blockwise;
mod channels;
mod distill;
mod engine;
mod job;
mod masters;
mod settings;
mod shares;
mod state;
mod streams;
mod write;

pub use job::{Job, Progress};
pub use settings::CalibrateSettings;
pub use shares::Shares;
pub use state::BlockReport;
