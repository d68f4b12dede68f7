//! Errors on their way out.

use std::error::Error as _;

/// What an app may want to tell apart; one for each [`otaro::ErrorKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ErrorKind {
    /// A file could not be read.
    Io,
    /// The file is not a packed model.
    NotACheckpoint,
    /// The file is of a version of the format that this build does not read.
    UnsupportedVersion,
    /// The model is of an architecture, or has a feature, that this build does not run.
    UnsupportedModel,
    /// The file is damaged: download it again.
    Corrupt,
    /// The file is a part of a model that does not hold the precision asked for (yet).
    MissingPlanes,
    /// A weight that the format cannot hold.
    InvalidWeight,
    /// Text could not be turned into tokens or back.
    Tokenizer,
    /// The chat template of the model failed, or refuses these messages.
    ChatTemplate,
    /// An argument is out of its range.
    InvalidArgument,
    /// The conversation is longer than the context.
    ContextFull,
    /// The opening was cancelled. (A cancelled answer is no error: it ends with `FinishReason.Cancelled`.)
    Cancelled,
    /// No GPU, or none that can run the kernels.
    NoAdapter,
    /// The device failed: it was lost, ran out of memory or refused a command.
    Device,
    /// The model computed values that are not finite.
    NotFinite,
    /// The model or the session was closed before.
    Closed,
    /// The session is suspended: resume it first.
    Suspended,
    /// The session is still at its last answer: read it to its end or cancel it.
    Busy,
    /// A defect of otaro: a panic that was caught. `details` and `diagnostics` belong into a report.
    Panicked,
    /// A kind that this surface does not know; `details` has its name.
    Other,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum OtaroError {
    /// The only variant: branch on `kind`.
    #[error("{reason}")]
    Failed {
        /// What to branch on.
        kind: ErrorKind,
        /// What, where and what to do, in a sentence.
        reason: String,
        /// The causes below it, one on a line; empty if there are none.
        details: String,
    },
}

impl OtaroError {
    /// What to branch on.
    pub fn kind(&self) -> ErrorKind {
        let Self::Failed { kind, .. } = self;
        *kind
    }
}

impl From<otaro::ErrorKind> for ErrorKind {
    fn from(kind: otaro::ErrorKind) -> Self {
        use otaro::ErrorKind as K;
        match kind {
            K::Io => Self::Io,
            K::NotACheckpoint => Self::NotACheckpoint,
            K::UnsupportedVersion => Self::UnsupportedVersion,
            K::UnsupportedModel => Self::UnsupportedModel,
            K::Corrupt => Self::Corrupt,
            K::MissingPlanes => Self::MissingPlanes,
            K::InvalidWeight => Self::InvalidWeight,
            K::Tokenizer => Self::Tokenizer,
            K::ChatTemplate => Self::ChatTemplate,
            K::InvalidArgument => Self::InvalidArgument,
            K::ContextFull => Self::ContextFull,
            K::Cancelled => Self::Cancelled,
            K::NoAdapter => Self::NoAdapter,
            K::Device => Self::Device,
            K::NotFinite => Self::NotFinite,
            K::Closed => Self::Closed,
            K::Suspended => Self::Suspended,
            K::Busy => Self::Busy,
            K::Panicked => Self::Panicked,
            _ => Self::Other,
        }
    }
}

impl From<otaro::Error> for OtaroError {
    fn from(error: otaro::Error) -> Self {
        let kind = ErrorKind::from(error.kind());
        let mut details = match kind {
            ErrorKind::Other => vec![format!("{:?}", error.kind())],
            _ => Vec::new(),
        };
        let mut cause = error.source();
        while let Some(error) = cause {
            details.push(error.to_string());
            cause = error.source();
        }
        Self::Failed { kind, reason: error.to_string(), details: details.join("\n") }
    }
}

/// Runs what an entry point does; a panic in it becomes an error.
pub(crate) fn enter<T>(work: impl FnOnce() -> otaro::Result<T>) -> Result<T, OtaroError> {
    otaro::engine::guard(work).map_err(OtaroError::from)
}

/// A precision of the other side.
pub(crate) fn precision(mantissa_bits: u32) -> otaro::Result<otaro::Precision> {
    otaro::Precision::from_mantissa_bits(mantissa_bits).map_err(|error| {
        otaro::Error::new(otaro::ErrorKind::InvalidArgument, "mantissa_bits must be 3 to 8")
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_its_sentence_and_its_causes() {
        let cause = std::io::Error::other("the disk is gone");
        let error = otaro::Error::new(otaro::ErrorKind::Io, "cannot read x").with_source(cause);
        let OtaroError::Failed { kind, reason, details } = error.into();
        assert_eq!(
            (kind, reason.as_str(), details.as_str()),
            (ErrorKind::Io, "cannot read x", "the disk is gone")
        );
    }

    #[test]
    fn no_panic_crosses() {
        let error = enter::<()>(|| panic!("plane 9")).expect_err("a panic");
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert!(error.to_string().contains("plane 9"), "{error}");
    }

    #[test]
    fn only_precisions_that_there_are() {
        for bits in [0, 2, 9, u32::MAX] {
            assert_eq!(
                enter(|| precision(bits)).expect_err("no precision").kind(),
                ErrorKind::InvalidArgument
            );
        }
        assert_eq!(precision(3).expect("the lowest"), otaro::Precision::E5M3);
    }
}
