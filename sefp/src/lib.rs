//! SEFP: shared-exponent floating point, the number format of otaro.
//!
//! Weights are grouped by 64 along the input dimension. A group shares one scale, a byte of five
//! exponent and three fraction bits; every weight keeps a sign and up to eight mantissa bits as a
//! 9-bit offset-binary code `u8`. A lower precision is a right shift of the same code
//! (`u_m = u8 >> (8 - m)`), so one stored model holds all of E5M3 to E5M8:
//!
//! ```
//! use sefp::{Precision, Reconstruction, Scale, decode, quantize_group, truncate};
//!
//! let weights = [0.75, -0.3, 0.0, 0.01];
//! let mut codes = [0; 4];
//! let scale = quantize_group(&weights, &mut codes, Scale::Fine)?;
//! for precision in Precision::ALL {
//!     let code = truncate(codes[1], precision);
//!     let value = decode(code, scale, precision, Reconstruction::Midpoint);
//!     assert!((value + 0.3).abs() <= sefp::step(scale, precision));
//! }
//! # Ok::<(), sefp::QuantizeError>(())
//! ```
//!
//! The crate has no I/O, no threads and no GPU. Everything here is the reference that the kernels
//! of the runtime and the fake quantiser of the trainer are held against, bit for bit.

mod decode;
mod fake;
mod grid;
mod pack;
mod precision;
mod quantize;
mod view;

pub use decode::{Offset, decode, step, step_bias, truncate};
pub use fake::fake_quantize_group;
pub use grid::{BASE_WORDS, BIT_WORDS, TileGrid};
pub use pack::PackedMatrix;
pub use precision::{
    Precision, Reconstruction, Scale, UnknownPrecision, UnknownReconstruction, UnknownScale,
};
pub use quantize::{QuantizeError, WeightFault, quantize_group};
pub use view::{Tile, TileView};

/// Consecutive weights of one row that share a scale.
pub const GROUP_SIZE: usize = 64;
/// Rows of a tile: the lanes of a kernel.
pub const LANE_ROWS: usize = 16;
/// Largest valid scale code; code 0 marks a group of zeros, 241 and above never occur.
pub const MAX_SCALE_CODE: u8 = 240;
/// Planes of one bit each that refine the 4-bit base plane from E5M3 to E5M8.
pub const BIT_PLANES: usize = 5;
