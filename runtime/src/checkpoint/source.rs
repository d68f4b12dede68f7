//! Where the bytes of a model are: a file, or a part of an open one, such as an asset in an Android package.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Result};

/// Offsets in a larger file must be multiples of this: planes are words of so many bytes, used where they lie.
/// A larger multiple is better: with 64, tensors lie on cache lines, and from 16384 on, planes on pages.
pub const OFFSET_ALIGNMENT: u64 = 4;

/// The bytes of a model.
#[derive(Debug)]
pub enum ModelSource {
    /// A file.
    Path(PathBuf),
    /// A part of an open file.
    Part {
        /// The file: a regular one, so that it can be mapped.
        file: File,
        /// Where the model begins, a multiple of [`OFFSET_ALIGNMENT`].
        offset: u64,
        /// Bytes of the model; to the end of the file by default.
        length: Option<u64>,
        /// What messages call it.
        name: String,
    },
}

/// A [`ModelSource`], opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) name: PathBuf,
    pub(super) offset: u64,
    length: Option<u64>,
}

impl ModelSource {
    /// A part of the file behind a descriptor of this process, which is duplicated: the caller may close
    /// its own at once, and its position in the file stays as it is. Android hands such descriptors out
    /// for assets that are stored uncompressed and for documents of other apps.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a number that is no descriptor,
    /// [`Io`](ErrorKind::Io) when it cannot be duplicated.
    #[cfg(unix)]
    pub fn descriptor(descriptor: i32, offset: u64, length: Option<u64>) -> Result<Self> {
        use std::os::fd::BorrowedFd;

        let name = match offset {
            0 => format!("file descriptor {descriptor}"),
            _ => format!("file descriptor {descriptor} from byte {offset}"),
        };
        if descriptor < 0 {
            let reason = format!("{name}: a descriptor is not negative; was the file opened?");
            return Err(Error::new(ErrorKind::InvalidArgument, reason));
        }
        // SAFETY: it is not -1, and it is used for no more than the duplication, which the system refuses for a
        // number behind which nothing is open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let duplicate = borrowed
            .try_clone_to_owned()
            .map_err(|error| Error::io("cannot use", Path::new(&name), error))?;
        Ok(Self::Part { file: duplicate.into(), offset, length, name })
    }

    pub(super) fn open(self) -> Result<Opened> {
        let opened = match self {
            Self::Path(path) => {
                let file = File::open(&path).map_err(|error| Error::io("cannot read", &path, error))?;
                Opened { file, name: path, offset: 0, length: None }
            }
            Self::Part { file, offset, length, name } => Opened { file, name: name.into(), offset, length },
        };
        if !opened.offset.is_multiple_of(OFFSET_ALIGNMENT) {
            let reason = format!(
                "the model begins at byte {}, which is no multiple of {OFFSET_ALIGNMENT}: store it aligned, as \
                 zipalign does with what is not compressed",
                opened.offset
            );
            return Err(Error::new(ErrorKind::InvalidArgument, reason));
        }
        let metadata = opened.file.metadata().map_err(|error| opened.io(error))?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::NotACheckpoint, "not a packed SEFP model: it is not a file"));
        }
        Ok(opened)
    }
}

impl From<&Path> for ModelSource {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_path_buf())
    }
}

impl Opened {
    fn io(&self, error: io::Error) -> Error {
        Error::io("cannot read", &self.name, error)
    }

    /// Bytes of the model that are there now.
    pub(super) fn bytes(&self) -> Result<u64> {
        let file_bytes = self.file.metadata().map_err(|error| self.io(error))?.len();
        let behind = file_bytes.saturating_sub(self.offset);
        Ok(self.length.map_or(behind, |length| length.min(behind)))
    }

    /// Reads bytes of the model. The position of the file, which a duplicated descriptor shares, is left alone.
    pub(super) fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, self.offset + at, bytes).map_err(|error| self.io(error))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    use io::{Read, Seek};

    file.seek(io::SeekFrom::Start(at))?;
    file.read_exact(bytes)
}
