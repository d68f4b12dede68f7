//! The CPU device: the plain twins of the WGSL kernels, one file per operation and of the same
//! name, so that a person can hold the two side by side.
//!
//! The twins are the oracle of the tests. What counts for speed, the products of matrices, stands
//! behind the same operation in `kernels`, with the instructions of the processor at hand.
//! Results do not depend on the number of threads or on how a prompt was cut into batches.

mod add;
mod attention;
mod blocked_attention;
mod cores;
mod device;
mod embed;
mod kernels;
mod kv_cache;
mod kv_format;
mod matmul;
mod matrix_product;
mod options;
mod pool;
mod products;
mod rms_norm;
mod rope;
mod rope_store_kv;
mod simd;
mod slots;
mod swiglu;
mod top_k;
mod weights;

pub use cores::Cores;
pub use device::CpuBackend;
pub use kv_format::KvFormat;
pub use matrix_product::MatrixProduct;
pub use options::{CpuKernel, CpuOptions};
pub(crate) use top_k::top_k;
pub use weights::FullWeights;
