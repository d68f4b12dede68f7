//! Logits of a reference in a file, so that it need not run again.
//!
//! A safetensors file with two tensors: `tokens`, U32 `[windows, context]`, and `logits`, F16
//! `[windows, context - 1, vocab]`, each row less its largest, which changes no probability and keeps what is
//! likely exact to one part in two thousand. `__metadata__` says what made them.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use half::{f16, slice::HalfFloatSliceExt};
use memmap2::Mmap;
use otaro::{Error, ErrorKind, Result};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{
    error::{corrupt, invalid, io},
    evaluate::LogitSource,
    windows::{Window, Windows},
};

/// The value of `format` in the metadata.
const FORMAT: &str = "otaro-logits";
const VERSION: &str = "1";

/// What the logits are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name of the model, for reports.
    pub model: String,
    /// The fingerprint of its tokenizer; `none` for a model that has none.
    pub tokenizer: String,
    /// Tokens of its vocabulary.
    pub vocab_size: usize,
}

/// Writes logits as they are computed, to a temporary file that becomes visible when it is complete.
#[derive(Debug)]
pub struct LogitsWriter {
    out: BufWriter<NamedTempFile>,
    path: PathBuf,
    vocab_size: usize,
    /// Rows that are still to come.
    missing: usize,
    row: Vec<u8>,
}

impl LogitsWriter {
    /// Begins the file for all windows.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn create(path: &Path, windows: &Windows, origin: &Origin) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file =
            builder.tempfile_in(folder).map_err(|error| io("cannot write to folder", folder, error))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let write = |out: &mut BufWriter<NamedTempFile>| -> std::io::Result<()> {
            let header = header(windows, origin);
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(header.as_bytes())?;
            for token in windows.iter().flat_map(|window| window.tokens) {
                out.write_all(&token.to_le_bytes())?;
            }
            Ok(())
        };
        write(&mut out).map_err(|error| io("cannot write", path, error))?;
        let missing = windows.count() * windows.scored();
        Ok(Self { out, path: path.to_owned(), vocab_size: origin.vocab_size, missing, row: Vec::new() })
    }

    /// Adds the logits of the next position, `[vocab]`.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a row too many or of another length,
    /// [`Io`](ErrorKind::Io) when the disk is full.
    pub fn push(&mut self, logits: &[f32]) -> Result<()> {
        if self.missing == 0 || logits.len() != self.vocab_size {
            return Err(invalid(format!("{}: logits that the file has no place for", self.path.display())));
        }
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.row.clear();
        self.row.extend(logits.iter().flat_map(|logit| f16::from_f32(logit - max).to_le_bytes()));
        self.missing -= 1;
        self.out.write_all(&self.row).map_err(|error| io("cannot write", &self.path, error))
    }

    /// Ends the file and puts it into its place.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) when rows are missing, [`Io`](ErrorKind::Io).
    pub fn finish(self) -> Result<()> {
        let path = &self.path;
        if self.missing > 0 {
            return Err(invalid(format!(
                "{}: logits of {} positions are missing",
                path.display(),
                self.missing
            )));
        }
        let failed = |error| io("cannot write", path, error);
        let file = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// The header, padded so that the tensors behind it are aligned.
fn header(windows: &Windows, origin: &Origin) -> String {
    let (count, context, scored) = (windows.count(), windows.context(), windows.scored());
    let tokens_end = count * context * size_of::<u32>();
    let logits_end = tokens_end + count * scored * origin.vocab_size * size_of::<f16>();
    let header = json!({
        "__metadata__": {
            "format": FORMAT, "version": VERSION, "model": origin.model, "tokenizer": origin.tokenizer,
        },
        "tokens": {"dtype": "U32", "shape": [count, context], "data_offsets": [0, tokens_end]},
        "logits": {
            "dtype": "F16", "shape": [count, scored, origin.vocab_size], "data_offsets": [tokens_end, logits_end],
        },
    });
    let header = header.to_string();
    format!("{header:width$}", width = header.len().next_multiple_of(8))
}

/// A source of logits that are written to a file as they pass.
#[derive(Debug)]
pub struct Recording<S> {
    /// What computes them.
    pub source: S,
    /// Where they go.
    pub writer: LogitsWriter,
}

impl<S: LogitSource> LogitSource for Recording<S> {
    fn logits(&mut self, window: &Window, each: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let writer = &mut self.writer;
        self.source.logits(window, &mut |logits| {
            writer.push(logits)?;
            each(logits)
        })
    }
}

/// Saved logits: of a file, or of bytes.
#[derive(Debug)]
pub struct SavedLogits<B = Mmap> {
    bytes: B,
    origin: Origin,
    tokens: Vec<u32>,
    context: usize,
    /// Where the logits begin.
    logits: usize,
    row: Vec<f32>,
}

impl SavedLogits {
    /// Opens a file and checks its shape.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), [`NotACheckpoint`](ErrorKind::NotACheckpoint) for a file of another kind,
    /// [`UnsupportedVersion`](ErrorKind::UnsupportedVersion), [`Corrupt`](ErrorKind::Corrupt).
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| io("cannot read", path, error);
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the map is private and read-only; that the file is not shortened meanwhile is the caller's
        // promise, as for any program that maps files.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Self::new(map).map_err(|error| error.at(path.display()))
    }
}

impl<B: AsRef<[u8]>> SavedLogits<B> {
    /// Checks the bytes of a file.
    ///
    /// # Errors
    /// As [`SavedLogits::open`], without those of the system.
    pub fn new(bytes: B) -> Result<Self> {
        let data = bytes.as_ref();
        let other = || Error::new(ErrorKind::NotACheckpoint, "not a file of saved logits");
        let (header_bytes, header) = SafeTensors::read_metadata(data).map_err(|e| other().with_source(e))?;
        let empty = HashMap::new();
        let metadata = header.metadata().as_ref().unwrap_or(&empty);
        let field = |key: &str| metadata.get(key).map(String::as_str);
        if field("format") != Some(FORMAT) {
            return Err(other());
        }
        if field("version") != Some(VERSION) {
            let what =
                format!("saved logits of version {}, not {VERSION}", field("version").unwrap_or("none"));
            return Err(Error::new(ErrorKind::UnsupportedVersion, what + ": save them again"));
        }
        let named =
            |key: &str| field(key).map(str::to_string).ok_or_else(|| corrupt(format!("no {key} is named")));
        let tensor = |name: &str, dtype: Dtype| -> Result<(Vec<usize>, usize)> {
            let info = header.info(name).filter(|info| info.dtype == dtype);
            let info = info.ok_or_else(|| corrupt(format!("there is no tensor {name} of type {dtype:?}")))?;
            // The offsets were checked against the length of the file, and against the shape.
            Ok((info.shape.clone(), 8 + header_bytes + info.data_offsets.0))
        };
        let (tokens_shape, tokens) = tensor("tokens", Dtype::U32)?;
        let (logits_shape, logits) = tensor("logits", Dtype::F16)?;
        let (&[windows, context], &[of_windows, scored, vocab_size]) = (&tokens_shape[..], &logits_shape[..])
        else {
            return Err(corrupt("its tensors do not have two and three dimensions"));
        };
        if windows == 0 || context < 2 || vocab_size == 0 || (of_windows, scored) != (windows, context - 1) {
            return Err(corrupt(format!("tokens are {tokens_shape:?}, but logits {logits_shape:?}")));
        }
        let ids = &data[tokens..][..windows * context * size_of::<u32>()];
        let tokens = ids.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect();
        let origin = Origin { model: named("model")?, tokenizer: named("tokenizer")?, vocab_size };
        Ok(Self { bytes, origin, tokens, context, logits, row: Vec::new() })
    }

    /// What they are of.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Checks that they are of these windows, from the first on; there may be more.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument), saying what is different.
    pub fn check(&self, windows: &Windows) -> Result<()> {
        if windows.context() != self.context {
            let (saved, given) = (self.context, windows.context());
            return Err(invalid(format!(
                "the logits were saved with windows of {saved} tokens, not {given}"
            )));
        }
        let saved = self.tokens.len() / self.context;
        if windows.count() > saved {
            let what = format!("the logits of {saved} windows were saved, not of {}", windows.count());
            return Err(invalid(what + ": use --windows, or save them again"));
        }
        let mut pairs = windows.iter().zip(self.tokens.chunks(self.context));
        match pairs.position(|(window, saved)| window.tokens != saved) {
            Some(window) => Err(invalid(format!(
                "the logits were saved for another text: window {window} has other tokens"
            ))),
            None => Ok(()),
        }
    }
}

impl<B: AsRef<[u8]>> LogitSource for SavedLogits<B> {
    fn logits(&mut self, window: &Window, each: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let (scored, vocab_size) = (self.context - 1, self.origin.vocab_size);
        let row_bytes = vocab_size * size_of::<f16>();
        let rows = self.bytes.as_ref()[self.logits..].chunks_exact(row_bytes);
        let saved = self.tokens.chunks(self.context).nth(window.index);
        if saved != Some(&window.tokens) {
            return Err(invalid(format!("no logits were saved of window {}", window.index)));
        }
        for row in rows.skip(window.index * scored).take(scored) {
            let halves: Vec<f16> = row.as_chunks().0.iter().map(|&half| f16::from_le_bytes(half)).collect();
            self.row.resize(vocab_size, 0.0);
            halves.convert_to_f32_slice(&mut self.row);
            each(&self.row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    const VOCAB: usize = 5;

    fn windows(first: u32) -> Windows {
        Windows::new((0..11).map(|i| (first + i) % VOCAB as u32).collect(), 4, None, None)
    }

    fn origin() -> Origin {
        Origin { model: "toy".to_string(), tokenizer: "none".to_string(), vocab_size: VOCAB }
    }

    fn row(index: usize) -> [f32; VOCAB] {
        std::array::from_fn(|token| ((index * 7 + token * 3) % 11) as f32 * 0.25 + 20.0)
    }

    /// A file of two windows, as its bytes.
    fn saved() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logits.safetensors");
        let mut writer = LogitsWriter::create(&path, &windows(0), &origin()).unwrap();
        assert!(writer.push(&[0.0; VOCAB + 1]).is_err());
        (0..6).for_each(|index| writer.push(&row(index)).unwrap());
        assert!(writer.push(&row(0)).is_err());
        assert!(!path.exists());
        writer.finish().unwrap();
        let opened = SavedLogits::open(&path).unwrap();
        opened.check(&windows(0)).unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn what_was_saved_comes_back() {
        let mut saved = SavedLogits::new(saved()).unwrap();
        assert_eq!(saved.origin(), &origin());
        let mut rows = Vec::new();
        for window in windows(0).iter() {
            let keep = &mut |logits: &[f32]| {
                rows.push(logits.to_vec());
                Ok(())
            };
            saved.logits(&window, keep).unwrap();
        }
        assert_eq!(rows.len(), 6);
        for (index, found) in rows.iter().enumerate() {
            let max = row(index).into_iter().fold(0.0, f32::max);
            // Quarters below 4 are exact in half precision.
            assert_eq!(found[..], row(index).map(|logit| logit - max));
        }
    }

    #[test]
    fn other_windows_are_refused() {
        let saved = SavedLogits::new(saved()).unwrap();
        let refused = |windows: &Windows| saved.check(windows).unwrap_err().to_string();
        assert!(refused(&windows(1)).contains("another text: window 0"));
        let tokens = |count: usize| (0..count).map(|i| i as u32 % 5).collect::<Vec<_>>();
        assert!(refused(&Windows::new(tokens(11), 5, None, None)).contains("windows of 4 tokens, not 5"));
        assert!(refused(&Windows::new(tokens(12), 4, None, None)).contains("2 windows were saved, not of 3"));
        assert!(refused(&Windows::new(tokens(8), 4, None, Some(0))).contains("another text"));
        saved.check(&Windows::new(tokens(4), 4, None, None)).unwrap();
    }

    #[test]
    fn an_unfinished_file_does_not_appear() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logits.safetensors");
        let mut writer = LogitsWriter::create(&path, &windows(0), &origin()).unwrap();
        writer.push(&row(0)).unwrap();
        assert!(writer.finish().unwrap_err().to_string().contains("5 positions are missing"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = LogitsWriter::create(Path::new("/nowhere/logits"), &windows(0), &origin());
        assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn damaged_files_are_errors() {
        let bytes = saved();
        for length in 0..bytes.len() {
            assert!(SavedLogits::new(&bytes[..length]).is_err(), "{length} bytes");
        }
        let refused = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
            let mut changed = bytes.clone();
            changed[at..][..to.len()].copy_from_slice(to.as_bytes());
            SavedLogits::new(changed).unwrap_err().kind()
        };
        assert_eq!(refused(FORMAT, "other-logits"), ErrorKind::NotACheckpoint);
        assert_eq!(refused("\"version\":\"1\"", "\"version\":\"2\""), ErrorKind::UnsupportedVersion);
        assert_eq!(refused("[2,3,5]", "[3,2,5]"), ErrorKind::Corrupt);
        assert_eq!(refused("\"model\"", "\"maker\""), ErrorKind::Corrupt);
        assert_eq!(refused("\"F16\"", "\"I16\""), ErrorKind::Corrupt);
    }
}
