//! The residual stream between two blocks: of every window, at every precision and unquantised. In
//! memory as long as a budget allows, else in temporary files.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

/// Which of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Unquantised weights on unquantised inputs.
    Reference,
    /// That of the precision with this number in the order of the shares.
    At(usize),
}

impl Stream {
    fn index(self) -> usize {
        match self {
            Self::Reference => 0,
            Self::At(precision) => precision + 1,
        }
    }
}

/// `[windows, values]` for each stream.
pub(super) struct Streams {
    /// Values of a window: its tokens times the width of the model.
    values: usize,
    storage: Vec<Storage>,
}

enum Storage {
    Memory(Vec<f32>),
    /// Without a name: it is gone with the process.
    File(Mutex<File>),
}

impl Streams {
    /// Streams of zeros, one for each precision and the reference: in memory if all of them take at
    /// most `budget` bytes, else in files of `folder`.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written.
    pub(super) fn new(
        precisions: usize,
        windows: usize,
        values: usize,
        budget: u64,
        folder: &Path,
    ) -> Result<Self> {
        let bytes = (windows * values * size_of::<f32>()) as u64;
        let count = precisions + 1;
        let storage = (0..count).map(|_| {
            if bytes * count as u64 <= budget {
                return Ok(Storage::Memory(vec![0.0; windows * values]));
            }
            let spill = || -> std::io::Result<File> {
                let file = tempfile::tempfile_in(folder)?;
                file.set_len(bytes)?;
                Ok(file)
            };
            let file = spill().with_context(|| {
                format!("cannot keep {bytes} bytes of activations in {}", folder.display())
            })?;
            Ok(Storage::File(Mutex::new(file)))
        });
        Ok(Self { values, storage: storage.collect::<Result<_>>()? })
    }

    /// The values of some windows, one window after another.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&self, stream: Stream, windows: &[usize]) -> Result<Vec<f32>> {
        let mut values = vec![0.0; windows.len() * self.values];
        for (out, &window) in values.chunks_exact_mut(self.values).zip(windows) {
            match &self.storage[stream.index()] {
                Storage::Memory(all) => out.copy_from_slice(&all[window * self.values..][..self.values]),
                Storage::File(file) => {
                    // A panic elsewhere leaves no half-read file: every use seeks first.
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    file.seek(SeekFrom::Start(self.offset(window)))
                        .and_then(|_| file.read_exact(bytemuck::cast_slice_mut(out)))
                        .context("cannot read the temporary file of activations")?;
                }
            }
        }
        Ok(values)
    }

    /// Replaces the values of a window.
    ///
    /// # Errors
    /// The disk is full.
    pub(super) fn write(&mut self, stream: Stream, window: usize, values: &[f32]) -> Result<()> {
        let offset = self.offset(window);
        match &mut self.storage[stream.index()] {
            Storage::Memory(all) => all[window * self.values..][..self.values].copy_from_slice(values),
            Storage::File(file) => {
                let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.write_all(bytemuck::cast_slice(values)))
                    .context("cannot write the temporary file of activations")?;
            }
        }
        Ok(())
    }

    fn offset(&self, window: usize) -> u64 {
        (window * self.values * size_of::<f32>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_files_keep_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = Vec::new();
        for budget in [0, u64::MAX] {
            let mut streams = Streams::new(2, 3, 4, budget, folder.path()).expect("room");
            for (stream, first) in [(Stream::Reference, 1.0), (Stream::At(1), 20.0), (Stream::At(0), 300.0)] {
                for window in 0..3 {
                    streams.write(stream, window, &[first + window as f32; 4]).expect("room");
                }
            }
            assert_eq!(streams.read(Stream::At(1), &[2, 0]).expect("readable")[3..5], [22.0, 20.0]);
            let read = |stream| streams.read(stream, &[0, 1, 2]).expect("readable");
            kept.push([read(Stream::Reference), read(Stream::At(0)), read(Stream::At(1))]);
        }
        assert_eq!(kept[0], kept[1]);
    }
}
