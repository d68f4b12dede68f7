//! Files that are there completely or not at all.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Writes a file, and the folders it lies in, such that a reader sees the old text or the new one.
///
/// # Errors
/// The disk is full or the folder cannot be written; names the path.
pub fn write(path: &Path, text: &str) -> Result<()> {
    replace(path, |temporary| Ok(fs::write(temporary, text)?))
}

/// Has `write` fill a file beside `path`, syncs it and moves it there.
///
/// # Errors
/// Those of `write` and of the file system; what stood at `path` stands there still then.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let replace = || -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        // As any new file; by default only its owner could read it.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(folder)?.into_temp_path();
        write(&temporary)?;
        fs::File::open(&temporary)?.sync_all()?;
        Ok(temporary.persist(path)?)
    };
    replace().with_context(|| format!("cannot write {}", path.display()))
}
