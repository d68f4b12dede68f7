//! Another model to learn from.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use otaro::{Architecture, TextFiles, Tokenizer, pack::read_text_files};
use sha2::{Digest, Sha256};

use crate::model::{Llama, TensorSet, load_folder, parameters};

/// A model of the same vocabulary as the one that is trained. It stays as it is.
pub struct TeacherModel {
    architecture: Architecture,
    weights: Vec<Vec<f32>>,
}

impl TeacherModel {
    /// Reads a Hugging Face folder whose vocabulary is that of `tokenizer`, of the model that learns. `pupil` is
    /// the shape of that model, `length` the tokens of a window.
    ///
    /// # Errors
    /// Those of the folder; another vocabulary, with the first token that differs; a shorter context.
    pub fn open(folder: &Path, pupil: &Architecture, tokenizer: &Path, length: usize) -> Result<Self> {
        let open = || -> Result<Self> {
            same_tokens(&read_tokenizer(folder)?, &read_tokenizer(tokenizer)?)?;
            let (architecture, weights) = load_folder(folder)?;
            ensure!(
                architecture.vocab_size == pupil.vocab_size,
                "it gives logits for {} tokens, and the model that is to learn from it for {}: they must have the \
                 same vocabulary",
                architecture.vocab_size,
                pupil.vocab_size
            );
            ensure!(
                length <= architecture.context_length,
                "windows of {length} tokens are longer than its context of {}: give a smaller --length",
                architecture.context_length
            );
            Ok(Self { architecture, weights })
        };
        open().with_context(|| format!("the teacher {}", folder.display()))
    }

    /// A few digits that tell it from other teachers, wherever its folder lies.
    ///
    /// # Errors
    /// None that depends on the model.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&self.architecture)?);
        for values in &self.weights {
            hash.update(bytemuck::cast_slice::<f32, u8>(values));
        }
        Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The model on a device, for windows of `length` tokens.
    pub(super) fn on(&self, device: &Device, length: usize) -> Result<(Llama, TensorSet)> {
        let parameters = parameters(&self.architecture);
        let weights = TensorSet::from_host(self.weights.clone(), &parameters, device)?;
        Ok((Llama::new(&self.architecture, length, device), weights))
    }
}

fn read_tokenizer(folder: &Path) -> Result<Tokenizer> {
    let blobs = read_text_files(folder)?;
    Tokenizer::new(&TextFiles::from_blobs(&blobs)).with_context(|| folder.display().to_string())
}

/// Logits are told apart by their place alone: the same id must be the same token on both sides.
fn same_tokens(teacher: &Tokenizer, pupil: &Tokenizer) -> Result<()> {
    let name = |token: Option<String>| token.map_or("no token".to_string(), |token| format!("'{token}'"));
    for id in 0..teacher.vocab_size().max(pupil.vocab_size()) as u32 {
        let (theirs, ours) = (teacher.token(id), pupil.token(id));
        ensure!(
            theirs == ours,
            "its token {id} is {}, and that of the model that is to learn from it is {}: they must have the same \
             vocabulary",
            name(theirs),
            name(ours)
        );
    }
    Ok(())
}
