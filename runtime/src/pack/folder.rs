//! Packs a Hugging Face folder into one checkpoint.

use std::path::Path;

use sefp::{Reconstruction, Scale};

use super::HuggingFaceFolder;
use crate::{
    Error, ErrorKind, NamedProfiles, Result, TextFiles, Tokenizer,
    checkpoint::{BLOB_NAMES, Blob, Manifest, WriteProgress, write_checkpoint},
};

/// How a folder is packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// The reconstruction that the model is meant to be read with.
    pub reconstruction: Reconstruction,
    /// How finely the weights are scaled.
    pub scale: Scale,
    /// Precision profiles that the file is to carry.
    pub profiles: NamedProfiles,
}

/// Packs the folder of a Hugging Face LLaMA model into the file `output`, which becomes visible
/// when it is complete. The tokenizer and the configuration travel inside.
///
/// `progress` is called after every block of weights; an error from it ends the work and is returned.
///
/// # Errors
/// As [`HuggingFaceFolder::open`] and [`write_checkpoint`];
/// [`NotACheckpoint`](ErrorKind::NotACheckpoint) when there is no `tokenizer.json`,
/// [`Tokenizer`](ErrorKind::Tokenizer) when it cannot be read.
pub fn pack_folder(
    folder: &Path,
    output: &Path,
    options: &PackOptions,
    progress: &mut dyn FnMut(WriteProgress) -> Result<()>,
) -> Result<()> {
    let mut source = HuggingFaceFolder::open(folder)?;
    let blobs = read_text_files(folder)?;
    let name = folder.canonicalize().ok();
    let name = name.as_deref().unwrap_or(folder).file_name().unwrap_or_default().to_string_lossy();
    let provenance = serde_json::json!({
        "packed_by": concat!("otaro ", env!("CARGO_PKG_VERSION")),
        "source": name,
    });
    let manifest = Manifest {
        architecture: source.architecture().clone(),
        reconstruction: options.reconstruction,
        scale: options.scale,
        profiles: options.profiles.clone(),
        tokenizer_fingerprint: fingerprint(&blobs).map_err(|e| e.at(folder.display()))?,
        blobs,
        provenance: provenance.to_string(),
    };
    write_checkpoint(output, &manifest, &mut source, progress)
}

/// Reads the text files of a Hugging Face folder, as they travel inside a checkpoint.
///
/// # Errors
/// [`NotACheckpoint`](ErrorKind::NotACheckpoint) when there is no `tokenizer.json`, [`Io`](ErrorKind::Io).
pub fn read_text_files(folder: &Path) -> Result<Vec<Blob>> {
    let mut blobs = Vec::new();
    for name in BLOB_NAMES {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => blobs.push(Blob { name: name.to_string(), bytes }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("cannot read", &path, error)),
        }
    }
    if !blobs.iter().any(|blob| blob.name == "tokenizer.json") {
        let what = format!(
            "{}: tokenizer.json is not there (a folder with only a tokenizer.model can be converted by saving \
             its tokenizer with transformers)",
            folder.display()
        );
        return Err(Error::new(ErrorKind::NotACheckpoint, what));
    }
    Ok(blobs)
}

fn fingerprint(blobs: &[Blob]) -> Result<String> {
    Tokenizer::new(&TextFiles::from_blobs(blobs))?.fingerprint()
}
