//! Which model: a packed file, a folder that is packed on first use, or the one in `models/`.

use std::{
    fmt,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, bail};
use etcetera::{BaseStrategy, choose_base_strategy};
use indicatif::{ProgressBar, ProgressStyle};
use otaro::{
    CancelToken, Checkpoint, ErrorKind,
    pack::{PackOptions, pack_folder},
};
use sha2::{Digest, Sha256};

/// How packed models are called.
const SUFFIX: &str = ".sefp.safetensors";

/// There is no model, and what to type.
#[derive(Debug)]
pub struct NoModel;

impl std::error::Error for NoModel {}

impl fmt::Display for NoModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "there is no model in models/

Give one, a packed file or the folder of a Hugging Face LLaMA model (config.json, tokenizer.json,
*.safetensors), which is packed on first use:

    cargo run --example chat -- --bits 6 --model PATH

A file models/NAME.sefp.safetensors is found by itself. To make one:

    cargo run --release --bin otaro -- pack FOLDER models/NAME.sefp.safetensors",
        )
    }
}

/// Opens the model at `path`, or the default one.
pub fn open(path: Option<&Path>, cancel: &CancelToken) -> anyhow::Result<Checkpoint> {
    match path {
        None => {
            let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
            Ok(Checkpoint::open(default_model(&[Path::new("models"), &project])?)?)
        }
        Some(path) if path.is_dir() => open_folder(path, cancel),
        Some(path) => Ok(Checkpoint::open(path)?),
    }
}

/// The first packed file of the first folder that has one.
fn default_model(folders: &[&Path]) -> anyhow::Result<PathBuf> {
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let packed = paths.filter(|path| path.to_string_lossy().ends_with(SUFFIX));
        if let Some(path) = packed.min() {
            return Ok(path);
        }
    }
    Err(NoModel.into())
}

/// Opens the packed copy of a Hugging Face folder, and makes it if there is none or the folder changed.
fn open_folder(folder: &Path, cancel: &CancelToken) -> anyhow::Result<Checkpoint> {
    if !folder.join("config.json").is_file() {
        bail!(
            "{}: there is no config.json: give the folder of a Hugging Face model or a packed file",
            folder.display()
        );
    }
    let cache = choose_base_strategy().context("there is no folder for caches")?.cache_dir().join("otaro");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make the folder {}", cache.display()))?;
    let (prefix, name) = cache_name(folder)?;
    let path = cache.join(&name);
    if path.exists() {
        match Checkpoint::open(&path) {
            Ok(checkpoint) => return Ok(checkpoint),
            // Damaged, or of another version: made again below.
            Err(error) if error.kind() != ErrorKind::Io => eprintln!("{error}: packing again"),
            Err(error) => return Err(error.into()),
        }
    }
    pack(folder, &path, cancel)?;
    remove_outdated(&cache, &prefix, &name);
    Ok(Checkpoint::open(&path)?)
}

/// The name of the packed copy, and the part of it that stays when the folder changes. The rest of it
/// depends on names, sizes and times of the files.
fn cache_name(folder: &Path) -> anyhow::Result<(String, String)> {
    let read = || format!("cannot read the folder {}", folder.display());
    let folder = folder.canonicalize().with_context(read)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(read)? {
        let entry = entry.with_context(read)?;
        // Follows links: folders of the Hugging Face hub are full of them.
        let metadata = fs::metadata(entry.path()).with_context(read)?;
        if metadata.is_file() {
            files.push(format!("{:?} {}", entry.file_name(), state(&metadata)));
        }
    }
    files.sort();
    let model = folder.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{model}-{}-", short_hash(&folder.to_string_lossy()));
    let name = format!(
        "{prefix}{}{SUFFIX}",
        short_hash(&(env!("CARGO_PKG_VERSION").to_owned() + &files.join("\n")))
    );
    Ok((prefix, name))
}

fn state(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", metadata.len(), modified.unwrap_or_default().as_nanos())
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn pack(folder: &Path, path: &Path, cancel: &CancelToken) -> anyhow::Result<()> {
    eprintln!("packing {} into {}", folder.display(), path.display());
    let style = ProgressStyle::with_template("[{bar:40}] {percent:>3} %, {eta} left")?.progress_chars("=> ");
    let bar = ProgressBar::new(0).with_style(style);
    pack_folder(folder, path, &PackOptions::default(), &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        cancel.check()
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Removes packed copies of earlier states of the same folder. If one cannot be removed it stays.
fn remove_outdated(cache: &Path, prefix: &str, name: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        if file.starts_with(prefix) && file.ends_with(SUFFIX) && file != name {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use super::*;

    #[test]
    fn the_first_packed_file_is_the_default_and_without_one_it_says_what_to_type() {
        let (empty, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let missing = empty.path().join("missing");
        let error = default_model(&[empty.path(), &missing]).unwrap_err();
        assert!(error.is::<NoModel>());
        let message = error.to_string();
        assert!(message.contains("cargo run --example chat -- --bits 6 --model PATH"), "{message}");
        for name in ["b.sefp.safetensors", "a.sefp.safetensors", "README.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = default_model(&[empty.path(), &missing, folder.path()]).unwrap();
        assert_eq!(found.file_name().unwrap(), "a.sefp.safetensors");
    }
}
