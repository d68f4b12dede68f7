//! The GPU device: the WGSL kernels of `shaders/` behind the operations of a
//! [`Device`](crate::Device), through wgpu, on the limits that WebGPU guarantees.
//!
//! A [`GpuContext`] is an opened adapter with its compiled kernels; a [`GpuBackend`] is a model on
//! it. Operations are recorded and run together when the pass is finished: one submission, one
//! compute pass. Precision is a number in the parameters of a dispatch: switching it compiles
//! nothing and uploads the missing planes only.

mod backend;
mod buffers;
mod context;
mod device;
mod kv_cache;
mod operations;
mod params;
mod pass;
mod pipelines;
mod readback;
mod slots;
mod upload;
mod weights;

#[cfg(test)]
mod tests;

pub use backend::GpuBackend;
pub use context::{AdapterSummary, GpuContext, GpuOptions};
