//! What the tests share: the folder of real models and references, and small models made on the spot.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod huggingface;
pub mod reference;
pub mod tiny;

use std::path::{Path, PathBuf};

/// A file of the folder `shared` beside the project, which holds real weights and reference
/// numbers. Without that folder the test says so and must return.
///
/// # Panics
/// If the folder is there but the file is not, or if `OTARO_REQUIRE_SHARED` is set and the folder
/// is not there.
pub fn shared(file: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if !folder.exists() {
        assert!(std::env::var_os("OTARO_REQUIRE_SHARED").is_none(), "../shared is required but not there");
        eprintln!("skipped: ../shared is not there");
        return None;
    }
    let path = folder.join(file);
    assert!(path.exists(), "{} is missing", path.display());
    Some(path)
}

/// A folder that is removed at the end of the test.
pub fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
