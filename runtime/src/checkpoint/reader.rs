//! Opens a checkpoint and lends out its planes, straight from the memory map.

use std::{ops::Range, path::Path, sync::OnceLock};

use memmap2::{Mmap, MmapOptions};
use sefp::{Precision, Reconstruction, Scale, TileView};

use super::{
    BLOB_NAMES, Section, SectionInfo,
    check::corrupt_entry,
    header::{Header, LENGTH_BYTES, MAX_HEADER_BYTES},
    layout::plane_name,
    source::{ModelSource, Opened},
};
use crate::{Architecture, Error, ErrorKind, NamedProfiles, Norm, Result, WeightMatrix};

#[cfg(target_endian = "big")]
compile_error!("the planes of a checkpoint are little-endian words, used straight from the map");

/// An opened checkpoint.
///
/// Each section is mapped when it is first used, so a file that is still being downloaded gives up
/// its planes as they land: [`available`](Self::available) looks at the length of the file anew.
///
/// A memory map of a file that another process *shortens* ends in a signal (SIGBUS) that no library
/// can turn into an error. Replace model files by renaming a new file into place, as the writer
/// does. The length is checked again each time a precision is asked for, which turns the usual case
/// into an error of kind [`MissingPlanes`](ErrorKind::MissingPlanes).
#[derive(Debug)]
pub struct Checkpoint {
    source: Opened,
    data_start: u64,
    pub(super) header: Header,
    maps: [OnceLock<Mmap>; Section::ALL.len()],
}

impl Checkpoint {
    /// Opens a file, or any prefix of one that holds at least the base planes.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), [`NotACheckpoint`](ErrorKind::NotACheckpoint),
    /// [`UnsupportedVersion`](ErrorKind::UnsupportedVersion),
    /// [`UnsupportedModel`](ErrorKind::UnsupportedModel), [`Corrupt`](ErrorKind::Corrupt), or
    /// [`MissingPlanes`](ErrorKind::MissingPlanes) when the prefix is too short for E5M3.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_source(path.as_ref().into(), &mut |_| Ok(()))
    }

    /// The same for bytes wherever they are. `progress` is called with the share of the work that is done,
    /// 0 to 1; an error from it ends the work and is returned.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`InvalidArgument`](ErrorKind::InvalidArgument) for an offset that is not aligned.
    pub fn open_source(source: ModelSource, progress: &mut dyn FnMut(f64) -> Result<()>) -> Result<Self> {
        let checkpoint = Self::open_header(source)?;
        checkpoint
            .require(Precision::MIN)
            .and_then(|()| checkpoint.check_scales(progress))
            .map_err(|error| error.at(checkpoint.path().display()))?;
        Ok(checkpoint)
    }

    /// Reads and checks the header, and nothing beyond it: enough to know what the model will take.
    pub(crate) fn open_header(source: ModelSource) -> Result<Self> {
        let name = match &source {
            ModelSource::Path(path) => path.display().to_string(),
            ModelSource::Part { name, .. } => name.clone(),
        };
        source.open().and_then(Self::with_header).map_err(|error| error.at(name))
    }

    fn with_header(source: Opened) -> Result<Self> {
        let json = read_header(&source)?.ok_or_else(|| {
            Error::new(ErrorKind::NotACheckpoint, "not a packed SEFP model: it has no safetensors header")
        })?;
        let header = Header::parse(&json)?;
        let data_start = LENGTH_BYTES + json.len() as u64;
        let checkpoint = Self { source, data_start, header, maps: Default::default() };
        checkpoint.check_entries()?;
        Ok(checkpoint)
    }

    /// Where the file is; of bytes that came as an open file, what messages call them.
    pub fn path(&self) -> &Path {
        &self.source.name
    }

    /// The shape of the model.
    pub fn architecture(&self) -> &Architecture {
        &self.header.architecture
    }

    /// How finely the weights were scaled when they were packed.
    pub fn scale(&self) -> Scale {
        self.header.scale
    }

    /// The reconstruction that the model is meant to be read with.
    pub fn reconstruction(&self) -> Reconstruction {
        self.header.reconstruction
    }

    /// The format version of the file.
    pub fn version(&self) -> &str {
        &self.header.version
    }

    /// Fingerprint of the tokenizer, or `none`.
    pub fn tokenizer_fingerprint(&self) -> &str {
        &self.header.tokenizer_fingerprint
    }

    /// Where the weights come from.
    pub fn provenance(&self) -> &str {
        &self.header.provenance
    }

    /// The profiles that the file carries.
    pub fn profiles(&self) -> &NamedProfiles {
        &self.header.profiles
    }

    /// All metadata of the file as key and value, unknown fields included, sorted by key.
    pub fn metadata(&self) -> Vec<(&str, &str)> {
        let fields = self.header.metadata().into_iter().flatten();
        let mut fields: Vec<_> = fields.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        fields.sort_unstable();
        fields
    }

    /// The sections in their order.
    pub fn sections(&self) -> &[SectionInfo] {
        &self.header.sections
    }

    /// Offset in the model's bytes of the first byte of data; section offsets count from here.
    pub fn data_start(&self) -> u64 {
        self.data_start
    }

    /// Bytes that the complete file has.
    pub fn complete_bytes(&self) -> u64 {
        self.data_start + self.header.data_bytes()
    }

    /// Bytes that the file has now.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn file_bytes(&self) -> Result<u64> {
        self.source.bytes()
    }

    /// Whether a section is in the file whole.
    pub(super) fn is_complete(&self, section: Section, file_bytes: u64) -> bool {
        self.data_start + self.section(section).end <= file_bytes
    }

    /// The highest precision that the file holds at this moment.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), [`MissingPlanes`](ErrorKind::MissingPlanes) when the file was shortened
    /// below its base planes.
    pub fn available(&self) -> Result<Precision> {
        let file_bytes = self.file_bytes()?;
        let complete = |precision: &Precision| self.is_complete(Section::completing(*precision), file_bytes);
        Precision::ALL
            .into_iter()
            .take_while(complete)
            .last()
            .ok_or_else(|| self.missing(Precision::MIN, file_bytes))
    }

    /// Checks that the file holds every plane of a precision.
    ///
    /// # Errors
    /// [`MissingPlanes`](ErrorKind::MissingPlanes) that says which plane and how many bytes are missing,
    /// [`Io`](ErrorKind::Io).
    pub fn require(&self, precision: Precision) -> Result<()> {
        let file_bytes = self.file_bytes()?;
        match self.is_complete(Section::completing(precision), file_bytes) {
            true => Ok(()),
            false => Err(self.missing(precision, file_bytes)),
        }
    }

    fn missing(&self, precision: Precision, file_bytes: u64) -> Error {
        let needed = self.data_start + self.section(Section::completing(precision)).end;
        let absent: Vec<_> = Section::ALL
            .into_iter()
            .filter(|&section| {
                section <= Section::completing(precision) && !self.is_complete(section, file_bytes)
            })
            .map(Section::name)
            .collect();
        let usable =
            Precision::ALL.into_iter().rfind(|&p| self.is_complete(Section::completing(p), file_bytes));
        let advice = match usable {
            Some(usable) => format!("use at most {usable} until the rest has arrived"),
            None => "no precision is complete yet".to_string(),
        };
        Error::new(
            ErrorKind::MissingPlanes,
            format!(
                "{precision} needs the first {needed} bytes of the file, which has {file_bytes}: \
                 missing {} ({} bytes); {advice}",
                absent.join(", "),
                needed.saturating_sub(file_bytes),
            ),
        )
    }

    /// A file that travels inside, or `None`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) when the map fails.
    pub fn blob(&self, name: &str) -> Result<Option<&[u8]>> {
        match self.header.entry(name) {
            Some(info) if BLOB_NAMES.contains(&name) => {
                self.bytes(Section::Blobs, info.data_offsets).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Bytes of a file that travels inside; 0 if it does not. Reads nothing.
    pub(crate) fn blob_bytes(&self, name: &str) -> u64 {
        let blob = self.header.entry(name).filter(|_| BLOB_NAMES.contains(&name));
        blob.map_or(0, |info| (info.data_offsets.1 - info.data_offsets.0) as u64)
    }

    /// A norm weight, `[hidden]`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) when the map fails.
    pub fn norm(&self, norm: Norm) -> Result<&[f32]> {
        self.tensor(Section::Norms, &norm.to_string())
    }

    /// Scale codes of a matrix, `[tiles, 16]`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) when the map fails.
    pub fn scales(&self, matrix: WeightMatrix) -> Result<&[u8]> {
        self.tensor(Section::Scales, &plane_name(matrix, Section::Scales))
    }

    /// The base plane of a matrix, `[tiles, 128]`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) when the map fails.
    pub fn base(&self, matrix: WeightMatrix) -> Result<&[u32]> {
        self.tensor(Section::Base, &plane_name(matrix, Section::Base))
    }

    /// A bit plane of a matrix, `[tiles, 32]`; `plane` 0 is `bit4`, 4 is `bit8`.
    ///
    /// # Errors
    /// [`MissingPlanes`](ErrorKind::MissingPlanes) when the file does not hold it (yet),
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a plane above 4, [`Io`](ErrorKind::Io).
    pub fn bit_plane(&self, matrix: WeightMatrix, plane: usize) -> Result<&[u32]> {
        let section = *Section::BIT_PLANES.get(plane).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("there is no bit plane {plane}"))
        })?;
        self.tensor(section, &plane_name(matrix, section))
    }

    /// The planes of a matrix, as far as a precision needs them.
    ///
    /// # Errors
    /// As [`bit_plane`](Self::bit_plane).
    pub fn tiles(&self, matrix: WeightMatrix, precision: Precision) -> Result<TileView<'_>> {
        let bits = (0..precision.bit_planes())
            .map(|plane| self.bit_plane(matrix, plane))
            .collect::<Result<Vec<_>>>()?;
        TileView::new(matrix.grid(self.architecture()), self.scales(matrix)?, self.base(matrix)?, &bits)
            .ok_or_else(|| corrupt_entry(&matrix.to_string(), "its planes do not fit together"))
    }

    pub(super) fn section(&self, section: Section) -> &SectionInfo {
        &self.header.sections[section as usize]
    }

    fn tensor<T: bytemuck::AnyBitPattern>(&self, section: Section, name: &str) -> Result<&[T]> {
        let info = self.header.entry(name).ok_or_else(|| corrupt_entry(name, "it is missing"))?;
        let bytes = self.bytes(section, info.data_offsets)?;
        bytemuck::try_cast_slice(bytes).map_err(|_| corrupt_entry(name, "it is not aligned"))
    }

    fn bytes(&self, section: Section, (begin, end): (usize, usize)) -> Result<&[u8]> {
        let map = self.map(section)?;
        let start = self.section(section).begin as usize;
        let range = begin.checked_sub(start).zip(end.checked_sub(start)).map(|(begin, end)| begin..end);
        range
            .and_then(|range| map.get(range))
            .ok_or_else(|| corrupt_entry(section.name(), "a tensor lies outside of it"))
    }

    /// The bytes of a section.
    pub(super) fn map(&self, section: Section) -> Result<&[u8]> {
        self.mapped(section).map(|map| &map[..])
    }

    /// The map of a section, if it was asked for before.
    pub(super) fn mapped_already(&self, section: Section) -> Option<&Mmap> {
        self.maps[section as usize].get()
    }

    /// The map of a section, made when it is first asked for.
    pub(super) fn mapped(&self, section: Section) -> Result<&Mmap> {
        let cell = &self.maps[section as usize];
        if let Some(map) = cell.get() {
            return Ok(map);
        }
        let file_bytes = self.file_bytes()?;
        if !self.is_complete(section, file_bytes) {
            let precision = Precision::ALL.into_iter().find(|&p| Section::completing(p) >= section);
            return Err(self.missing(precision.unwrap_or(Precision::MAX), file_bytes));
        }
        let info = self.section(section);
        let Range { start, end } = info.begin..info.end;
        let mut options = MmapOptions::new();
        options.offset(self.source.offset + self.data_start + start).len((end - start) as usize);
        // SAFETY: the map is private and read-only, and every byte of it was inside of the file a
        // moment ago. What remains is a file that others change meanwhile; see the type's documentation.
        let map = unsafe { options.map(&self.source.file) }
            .map_err(|error| Error::io("cannot map", self.path(), error))?;
        Ok(cell.get_or_init(|| map))
    }
}

/// The JSON of the header, or `None` where the file does not start as a safetensors file does.
fn read_header(source: &Opened) -> Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES as usize];
    let bytes = source.bytes()?;
    if bytes < LENGTH_BYTES {
        return Ok(None);
    }
    source.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > bytes - LENGTH_BYTES {
        return Ok(None);
    }
    let mut json = vec![0; length as usize];
    source.read_at(LENGTH_BYTES, &mut json)?;
    Ok(Some(json))
}
