//! Which library this is.

use crate::{OtaroError, error::enter};

/// Which library this is.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct BuildInfo {
    /// The version, as in `0.1.0`.
    pub version: String,
    /// The revision of git that it was built from, with `-dirty` if files were changed; `unknown` outside of a checkout.
    pub revision: String,
    /// The system and processor that it was built for, as Rust calls them.
    pub target: String,
    /// `release` or `debug`.
    pub profile: String,
}

/// Which library this is.
#[uniffi::export]
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("OTARO_REVISION").to_owned(),
        target: env!("OTARO_TARGET").to_owned(),
        profile: env!("OTARO_PROFILE").to_owned(),
    }
}

/// One block of text for a bug report where no model could be opened: library, processor, memory. Touches no GPU.
///
/// # Errors
/// `Panicked`.
#[uniffi::export]
pub fn diagnostics() -> Result<String, OtaroError> {
    enter(|| Ok(revision_line() + &otaro::engine::diagnostics()))
}

/// The line that every block of diagnostics begins with.
pub(crate) fn revision_line() -> String {
    let BuildInfo { revision, target, profile, .. } = build_info();
    format!("{:<10} {revision}, {target}, {profile}\n", "build")
}
