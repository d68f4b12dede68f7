//! One error type for the whole runtime: a kind to branch on, a sentence to show, the cause.

use std::{error, fmt, io, path::Path};

/// What the runtime's fallible calls return.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, where, and what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

/// The kinds of error that an app may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be read or written.
    Io,
    /// The file is not a model of the format that was expected.
    NotACheckpoint,
    /// The file is one of ours but of a version that this build does not read.
    UnsupportedVersion,
    /// The model is of an architecture, or has a feature, that this build does not run.
    UnsupportedModel,
    /// The file contradicts itself or its hashes: it is damaged.
    Corrupt,
    /// The file is a prefix that does not hold the planes of the precision asked for.
    MissingPlanes,
    /// A weight that SEFP cannot hold.
    InvalidWeight,
    /// Text could not be turned into tokens or back.
    Tokenizer,
    /// The chat template of the model failed.
    ChatTemplate,
    /// An argument is out of its range.
    InvalidArgument,
    /// The conversation is longer than the context of the model or of the session.
    ContextFull,
    /// The caller asked to stop.
    Cancelled,
    /// No GPU adapter, or none that can run the kernels.
    NoAdapter,
    /// The device failed: it was lost, ran out of memory or refused a command.
    Device,
    /// The model computed values that are not finite.
    NotFinite,
    /// The model or the session was closed before.
    Closed,
    /// The session is suspended and begins nothing new.
    Suspended,
    /// The session is still at work on something else.
    Busy,
    /// A defect of the engine: a panic that was caught.
    Panicked,
}

impl Error {
    /// An error of a kind, with a sentence that says what, where and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An I/O error on a file: `what` says what was being done, as in "cannot open".
    pub(crate) fn io(what: &str, path: &Path, source: io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{what} {}", path.display())).with_source(source)
    }

    /// The same error, its message preceded by where it happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The kind, to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
