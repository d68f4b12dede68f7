//! What comes back from the GPU: a buffer that the CPU can map, kept from pass to pass.

use std::{sync::mpsc, time::Duration};

use super::context::GpuContext;
use crate::{Candidate, Output, Result, cpu::top_k};

/// How long a finished device may take to tell that it has finished.
const ANSWER: Duration = Duration::from_secs(10);

/// What to bring back from a pass, and how to read it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) content: Content,
}

/// What the words of a [`Source`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Rows of a slot of this width and stride.
    Rows { width: usize, stride: usize },
    /// Candidates in their order.
    Candidates,
    /// A row of logits of this width, of which the best are to be picked here.
    Logits { width: usize, k: usize },
}

impl Content {
    /// Reads the words.
    pub(super) fn output(self, words: &[u32]) -> Output {
        let value = |&word: &u32| f32::from_bits(word);
        match self {
            Self::Rows { width, stride } => {
                Output::Rows(words.chunks(stride).flat_map(|row| &row[..width]).map(value).collect())
            }
            Self::Candidates => Output::TopK(
                words
                    .chunks_exact(2)
                    .map(|pair| Candidate { logit: f32::from_bits(pair[0]), token: pair[1] })
                    .collect(),
            ),
            Self::Logits { width, k } => {
                let logits: Vec<f32> = words[..width].iter().map(value).collect();
                Output::TopK(top_k(&logits, k))
            }
        }
    }
}

/// The way back.
#[derive(Debug, Default)]
pub(super) struct ReadbackBuffer(Option<wgpu::Buffer>);

impl ReadbackBuffer {
    /// Records the copy of what is to be brought back.
    pub(super) fn copy(&mut self, context: &GpuContext, encoder: &mut wgpu::CommandEncoder, source: &Source) {
        let bytes = source.bytes;
        let fits = |buffer: &wgpu::Buffer| buffer.size() >= bytes;
        let buffer = self.0.take().filter(fits).unwrap_or_else(|| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: bytes.next_power_of_two(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        encoder.copy_buffer_to_buffer(&source.buffer, source.offset, &buffer, 0, bytes);
        self.0 = Some(buffer);
    }

    /// The words that were copied, once the submission is done. Waits for it.
    ///
    /// The buffer is used again only if all went well: one that could not be mapped or unmapped is
    /// dropped.
    pub(super) fn words(&mut self, context: &GpuContext, bytes: u64) -> Result<Vec<u32>> {
        let doing = "reading back";
        let buffer = self.0.take().ok_or_else(|| context.error(doing, "nothing was copied"))?;
        let (sender, receiver) = mpsc::channel();
        buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            // Nobody listens any more after an error: that is no reason to fail here.
            let _ = sender.send(result);
        });
        context.wait(doing)?;
        // The answer may be in the hands of another thread that was waiting for the device too.
        match receiver.recv_timeout(ANSWER) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(context.error(doing, &error.to_string())),
            Err(_) => return Err(context.error(doing, "the device did not answer")),
        }
        let view = buffer
            .slice(..bytes)
            .get_mapped_range()
            .map_err(|error| context.error(doing, &error.to_string()))?;
        let words = view.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let words = words.collect();
        drop(view);
        buffer.unmap();
        self.0 = Some(buffer);
        Ok(words)
    }
}
