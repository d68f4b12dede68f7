//! Errors of this crate, in the type of the runtime.

use std::{io, path::Path};

use otaro::{Error, ErrorKind};

/// An argument, or the content of a file, that cannot be used.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// A file that contradicts itself.
pub(crate) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// An I/O error: `what` says what was being done, as in "cannot read".
pub(crate) fn io(what: &str, path: &Path, source: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{what} {}", path.display())).with_source(source)
}
