//! The lines of a text file, plain or compressed with zstd.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// What some programs put before UTF-8 text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The lines of a text file with their numbers, one in memory at a time. A name that ends in `.zst`
/// is decompressed on the way.
pub struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    number: usize,
    failed: bool,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// If the file does not exist, is a folder, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let metadata = path.metadata().with_context(|| format!("cannot read {shown}"))?;
        ensure!(!metadata.is_dir(), "{shown} is a folder: name the .txt or .jsonl file in it");
        let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
        let reader: Box<dyn BufRead> = if is_compressed(path) {
            Box::new(BufReader::new(Frames::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Self::new(path, reader))
    }

    /// The lines of bytes that are already decompressed; `path` is for messages.
    pub(super) fn new(path: &Path, reader: Box<dyn BufRead>) -> Self {
        Self { path: path.to_owned(), reader, number: 0, failed: false }
    }

    /// The file and the line returned last, as `path:line`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.path.display(), self.number)
    }

    fn read(&mut self) -> Result<Option<String>> {
        self.number += 1;
        let mut bytes = Vec::new();
        let read = self.reader.read_until(b'\n', &mut bytes);
        if read.with_context(|| format!("{}: cannot read", self.place()))? == 0 {
            return Ok(None);
        }
        let Ok(mut line) = String::from_utf8(bytes) else {
            bail!("{}: expected text in UTF-8; save the file in that encoding", self.place());
        };
        if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some(line))
    }
}

impl Iterator for Lines {
    /// A line with its line break, if it has one.
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let line = self.read();
        self.failed = line.is_err();
        line.transpose()
    }
}

/// Whether the name ends in `.zst`.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst"))
}

/// The content of a zstd file: of all its frames, where the library reads one. Parallel compressors
/// write many, and stopping after the first would lose text in silence.
struct Frames<R> {
    source: R,
    /// The frame being read; `None` between frames.
    frame: Option<FrameDecoder>,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self { source, frame: None }
    }

    /// Begins the next frame that has content; `false` at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let mut decoder = FrameDecoder::new();
            match decoder.init(&mut self.source) {
                Ok(()) => {
                    self.frame = Some(decoder);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(frame) = &mut self.frame else {
                if self.next_frame()? {
                    continue;
                }
                return Ok(0);
            };
            while frame.can_collect() == 0 && !frame.is_finished() {
                let some = BlockDecodingStrategy::UptoBytes(buffer.len());
                frame.decode_blocks(&mut self.source, some).map_err(io::Error::other)?;
            }
            let read = frame.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let stored = frame.get_checksum_from_data();
            if stored.is_some() && stored != frame.get_calculated_checksum() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the checksum of a zstd frame is wrong",
                ));
            }
            self.frame = None;
        }
    }
}
