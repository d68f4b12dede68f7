//! Writes a checkpoint in one pass over the weights: block of rows by block of rows, each quantised
//! once and its planes appended to their sections. Peak memory is one block, whatever the model.

use std::{
    collections::HashMap,
    fs::File,
    io::{Seek, SeekFrom, Write},
    ops::Range,
    path::Path,
};

use rayon::prelude::*;
use safetensors::tensor::Metadata;
use sefp::{LANE_ROWS, PackedMatrix, QuantizeError, Reconstruction, Scale};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{
    Section, SectionInfo, header,
    layout::{Layout, SECTION_ALIGNMENT, plane_name},
};
use crate::{Architecture, Error, ErrorKind, NamedProfiles, Norm, Result, WeightMatrix, hex::hex};

/// Weights read and quantised at a time: 32 MiB of f32.
const BLOCK_WEIGHTS: usize = 8 << 20;

/// Where the writer gets its numbers from.
pub trait WeightSource {
    /// Rows of a matrix, row-major `[rows.len(), in]`.
    fn rows(&mut self, matrix: WeightMatrix, rows: Range<usize>) -> Result<Vec<f32>>;

    /// A norm weight, `[hidden]`.
    fn norm(&mut self, norm: Norm) -> Result<Vec<f32>>;
}

/// A file that travels inside the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its name, as in [`BLOB_NAMES`](super::BLOB_NAMES).
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Everything of a checkpoint but its weights.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The shape of the model.
    pub architecture: Architecture,
    /// The reconstruction that the model is meant to be read with.
    pub reconstruction: Reconstruction,
    /// How finely the weights are scaled.
    pub scale: Scale,
    /// Tokenizer and configuration files.
    pub blobs: Vec<Blob>,
    /// The fingerprint of the tokenizer, or `none` for a model without one.
    pub tokenizer_fingerprint: String,
    /// Where the weights come from, in words or JSON.
    pub provenance: String,
    /// Precision profiles that suit the model.
    pub profiles: NamedProfiles,
}

/// How far a writer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteProgress {
    /// Weights of packed matrices written.
    pub done: usize,
    /// Weights of packed matrices in all.
    pub total: usize,
}

/// Writes a checkpoint to a temporary file beside `path`, syncs it and renames it into place: at
/// no time is there half a checkpoint under `path`.
///
/// `progress` is called after every block; an error from it (of kind
/// [`Cancelled`](ErrorKind::Cancelled), say) ends the work, leaves no file behind and is returned.
///
/// # Errors
/// [`Io`](ErrorKind::Io) when the disk is full or the folder cannot be written,
/// [`InvalidWeight`](ErrorKind::InvalidWeight) naming tensor, row and column,
/// [`InvalidArgument`](ErrorKind::InvalidArgument) for a profile that does not fit the model, whatever the source
/// returns.
pub fn write_checkpoint(
    path: &Path,
    manifest: &Manifest,
    source: &mut dyn WeightSource,
    progress: &mut dyn FnMut(WriteProgress) -> Result<()>,
) -> Result<()> {
    manifest.profiles.check(&manifest.architecture)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = temporary_in(folder).map_err(|e| Error::io("cannot write to folder", folder, e))?;
    let at_path = |error: std::io::Error| Error::io("cannot write", path, error);

    let writer = Writer::new(temporary.as_file_mut(), manifest)?;
    writer.write(source, progress).map_err(|failure| match failure {
        Failure::Io(error) => at_path(error),
        Failure::Other(error) => error,
    })?;
    temporary.as_file().sync_all().map_err(at_path)?;
    temporary.persist(path).map_err(|error| at_path(error.error))?;
    Ok(())
}

/// A temporary file with the permissions of any new file; by default only its owner could read the
/// model.
fn temporary_in(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// An error of the file, which does not know its name, or one that is complete.
enum Failure {
    Io(std::io::Error),
    Other(Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

struct Writer<'a> {
    file: &'a mut File,
    manifest: &'a Manifest,
    layout: Layout,
    begins: HashMap<String, u64>,
    data_start: u64,
    /// Position and hash of each section as far as it is written, in the order of [`Section::ALL`].
    cursors: Vec<(u64, Sha256)>,
}

impl<'a> Writer<'a> {
    fn new(file: &'a mut File, manifest: &'a Manifest) -> Result<Self> {
        let blobs: Vec<_> =
            manifest.blobs.iter().map(|blob| (blob.name.as_str(), blob.bytes.len())).collect();
        let layout = Layout::new(&manifest.architecture, &blobs);
        let begins = layout.entries.iter().map(|entry| (entry.name.clone(), entry.begin)).collect();
        let cursors = layout.sections.iter().map(|&(begin, _)| (begin, Sha256::new())).collect();
        let mut writer = Self { file, manifest, layout, begins, data_start: 0, cursors };
        // The hashes are not known yet but their length is, so the header already has its final size.
        writer.data_start = writer.header(&"0".repeat(64))?.len() as u64;
        debug_assert_eq!(writer.data_start % SECTION_ALIGNMENT, 0);
        Ok(writer)
    }

    fn write(
        mut self,
        source: &mut dyn WeightSource,
        progress: &mut dyn FnMut(WriteProgress) -> Result<()>,
    ) -> std::result::Result<(), Failure> {
        let manifest = self.manifest;
        for blob in &manifest.blobs {
            self.seek_section(Section::Blobs, self.begins[&blob.name])?;
            self.append(Section::Blobs, &blob.bytes)?;
        }
        for norm in Norm::all(&manifest.architecture) {
            let weights = source.norm(norm)?;
            self.seek_section(Section::Norms, self.begins[&norm.to_string()])?;
            self.append(Section::Norms, bytemuck::cast_slice(&weights))?;
        }
        let mut done = WriteProgress { done: 0, total: manifest.architecture.packed_weights() };
        progress(done)?;
        for matrix in WeightMatrix::all(&manifest.architecture) {
            self.write_matrix(matrix, source, &mut |weights| {
                done.done += weights;
                progress(done)
            })?;
        }
        self.finish()
    }

    fn write_matrix(
        &mut self,
        matrix: WeightMatrix,
        source: &mut dyn WeightSource,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> std::result::Result<(), Failure> {
        let grid = matrix.grid(&self.manifest.architecture);
        for section in &Section::ALL[Section::Scales as usize..] {
            self.seek_section(*section, self.begins[&plane_name(matrix, *section)])?;
        }
        let block_rows = (BLOCK_WEIGHTS / grid.cols / LANE_ROWS).max(1) * LANE_ROWS;
        for first in (0..grid.rows).step_by(block_rows) {
            let rows = first..grid.rows.min(first + block_rows);
            let weights = source.rows(matrix, rows)?;
            let packed = pack_tile_rows(&weights, grid.cols, self.manifest.scale);
            for packed in packed.map_err(|e| weight_error(matrix, first, grid.cols, e))? {
                self.append(Section::Scales, packed.scales())?;
                self.append(Section::Base, bytemuck::cast_slice(packed.base()))?;
                for (section, words) in Section::BIT_PLANES.into_iter().zip(packed.bits()) {
                    self.append(section, bytemuck::cast_slice(words))?;
                }
            }
            progress(weights.len())?;
        }
        Ok(())
    }

    /// Appends to a section and to its hash.
    fn append(&mut self, section: Section, bytes: &[u8]) -> std::io::Result<()> {
        let (position, hash) = &mut self.cursors[section as usize];
        hash.update(bytes);
        self.file.seek(SeekFrom::Start(self.data_start + *position))?;
        *position += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Fills a section with zeros up to `begin`, where its next tensor starts.
    fn seek_section(&mut self, section: Section, begin: u64) -> std::io::Result<()> {
        let zeros = begin - self.cursors[section as usize].0;
        self.append(section, &vec![0; zeros as usize])
    }

    /// Writes the header, now that the hashes are known, and the padding between the sections.
    fn finish(self) -> std::result::Result<(), Failure> {
        self.file.set_len(self.data_start + self.layout.end())?;
        let header = self.header("")?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        Ok(())
    }

    /// The header, padded with spaces so that the data starts at a section boundary. An empty
    /// `placeholder` asks for the real hashes.
    fn header(&self, placeholder: &str) -> Result<Vec<u8>> {
        let sections: Vec<_> = Section::ALL
            .into_iter()
            .zip(&self.layout.sections)
            .zip(&self.cursors)
            .map(|((name, &(begin, end)), (_, hash))| {
                let sha256 = match placeholder {
                    "" => hex(&hash.clone().finalize()),
                    placeholder => placeholder.to_string(),
                };
                SectionInfo { name, begin, end, sha256 }
            })
            .collect();
        let entries = self.layout.entries.iter().map(|entry| (entry.name.clone(), entry.info())).collect();
        let metadata =
            Metadata::new(Some(header::metadata(self.manifest, &sections)?), entries).map_err(|e| {
                Error::new(ErrorKind::InvalidArgument, "the model does not fit the file format")
                    .with_source(e)
            })?;
        header::encode(&metadata)
    }
}

/// Quantises rows in parallel, 16 at a time: in every plane, the tiles of consecutive rows follow
/// one another, so the parts can be appended as they are.
fn pack_tile_rows(
    weights: &[f32],
    cols: usize,
    scale: Scale,
) -> std::result::Result<Vec<PackedMatrix>, QuantizeError> {
    let tile_row = LANE_ROWS * cols;
    weights
        .par_chunks(tile_row)
        .enumerate()
        .map(|(index, rows)| {
            PackedMatrix::pack(rows, rows.len() / cols, cols, scale)
                .map_err(|error| QuantizeError { index: error.index + index * tile_row, ..error })
        })
        .collect()
}

fn weight_error(matrix: WeightMatrix, first_row: usize, cols: usize, error: QuantizeError) -> Error {
    let (row, col) = (first_row + error.index / cols, error.index % cols);
    Error::new(
        ErrorKind::InvalidWeight,
        format!("{matrix}: the weight at row {row}, column {col} is {}", error.fault),
    )
}
