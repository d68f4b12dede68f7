//! Bytes to the GPU through bounded staging: after every few MiB the copies are run and waited for,
//! so that the memory which wgpu copies through is given back, however large the model is.

use super::context::GpuContext;
use crate::Result;

/// Bytes that may be under way.
const STAGING_BYTES: usize = 16 << 20;

/// Writes to buffers, a piece at a time.
#[derive(Debug)]
pub(super) struct Uploader<'a> {
    context: &'a GpuContext,
    under_way: usize,
}

impl<'a> Uploader<'a> {
    pub(super) fn new(context: &'a GpuContext) -> Self {
        Self { context, under_way: 0 }
    }

    /// Writes `bytes`, whole words, at `offset` of a buffer.
    pub(super) fn write(&mut self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut at = offset;
        for piece in bytes.chunks(STAGING_BYTES) {
            if self.under_way + piece.len() > STAGING_BYTES {
                self.flush()?;
            }
            self.context.queue.write_buffer(buffer, at, piece);
            self.under_way += piece.len();
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Runs the copies and waits for them.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.context.queue.submit([]);
        self.under_way = 0;
        self.context.wait("uploading weights")
    }
}

/// A buffer of zeros for the kernels.
pub(super) fn storage_buffer(context: &GpuContext, label: &str, bytes: u64) -> wgpu::Buffer {
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
