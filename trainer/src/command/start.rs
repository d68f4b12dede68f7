//! From the command line to what a run needs: a model, a tokenizer, data.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use otaro::{Architecture, ChatTemplate, TextFiles, Tokenizer, pack::read_text_files};

use super::arguments::{Packing, RunArguments};
use crate::{
    data::{
        self, Dataset, Document, Encoder, Example, TokenizerSettings, encode_sources, hold_out,
        train_tokenizer,
    },
    model::{initialize, load_folder, read_architecture},
    strategy::Method,
    train::{GradientReducer, PassSettings, RunSettings},
};

/// The files of a tokenizer that a model folder may have.
const TEXT_FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// Windows longer than this must be asked for.
const DEFAULT_LENGTH: usize = 512;

/// What a run needs.
pub struct Start {
    /// Every setting that a resumed run must share.
    pub settings: RunSettings,
    /// The folder of the tokenizer.
    pub tokenizer: PathBuf,
    /// What is trained on.
    pub training: Dataset,
    /// What the model is evaluated on at the end.
    pub evaluation: Option<Dataset>,
}

impl Start {
    /// Reads model, tokenizer and data.
    ///
    /// # Errors
    /// Whatever is wrong with one of the files, or two that do not belong together.
    pub fn prepare(arguments: &RunArguments, reducer: &dyn GradientReducer) -> Result<Self> {
        let (architecture, start) = model(arguments)?;
        let length = arguments.length.unwrap_or(architecture.context_length.min(DEFAULT_LENGTH));
        ensure!(
            length <= architecture.context_length,
            "windows of {length} tokens are longer than the model's context of {}",
            architecture.context_length
        );
        let tokenizer = tokenizer_folder(arguments, &architecture, reducer)?;
        let encoder = encoder(&tokenizer, &architecture)?.score_all(arguments.score_all);
        let (examples, kept) = examples(arguments, &encoder)?;
        let training = match arguments.packing {
            Packing::Stream => Dataset::stream(&examples, length, arguments.seed)?,
            Packing::Whole => Dataset::packed(&examples, length, encoder.padding(), arguments.seed)?,
        };
        let evaluation =
            kept.map(|kept| Dataset::in_order(&kept, length, arguments.eval_windows)).transpose()?;
        let mut strategy = arguments.strategy.settings(arguments.seed, arguments.steps);
        let untrained = strategy.method == Method::None;
        if untrained {
            strategy.method = Method::Full;
        }
        let sources: Vec<_> = arguments
            .data
            .iter()
            .map(|source| format!("{}:{}", source.path.display(), source.repeat))
            .collect();
        let settings = RunSettings {
            start,
            architecture,
            data: sources.join(" "),
            data_fingerprint: training.fingerprint().to_string(),
            length,
            batch: arguments.batch,
            micro_batch: arguments.micro_batch,
            steps: if untrained { 0 } else { arguments.steps },
            seed: arguments.seed,
            reconstruction: arguments.reconstruction,
            scale: arguments.scale,
            passes: PassSettings { recompute: arguments.recompute, half: arguments.mixed_precision },
            strategy,
            optimizer: arguments.optimizer.settings(),
        };
        Ok(Self { settings, tokenizer, training, evaluation })
    }
}

/// The weights that a new run starts from.
///
/// # Errors
/// Whatever is wrong with the folder of the model.
pub fn weights(arguments: &RunArguments, architecture: &Architecture) -> Result<Vec<Vec<f32>>> {
    match &arguments.model {
        Some(folder) => Ok(load_folder(folder)?.1),
        None => Ok(initialize(architecture, arguments.seed)),
    }
}

/// The shape of the model, and where it comes from in words.
fn model(arguments: &RunArguments) -> Result<(Architecture, String)> {
    match (&arguments.model, &arguments.from_scratch) {
        (Some(folder), _) => {
            Ok((read_architecture(&folder.join("config.json"))?, folder.display().to_string()))
        }
        (None, Some(config)) => {
            let start = format!("{}, random weights of seed {}", config.display(), arguments.seed);
            Ok((read_architecture(config)?, start))
        }
        (None, None) => bail!("give --model FOLDER or --from-scratch CONFIG"),
    }
}

/// What is trained on, and what is evaluated on.
fn examples(arguments: &RunArguments, encoder: &Encoder) -> Result<(Vec<Example>, Option<Vec<Example>>)> {
    if arguments.holdout > 0.0 {
        let mut documents = Vec::new();
        for source in &arguments.data {
            ensure!(source.repeat == 1.0, "{}: --holdout takes no repeated data", source.path.display());
            documents.extend(data::read(&source.path)?);
        }
        let (training, kept) = hold_out(documents, arguments.holdout)?;
        return Ok((encoder.encode(&training)?, Some(encoder.encode(&kept)?)));
    }
    let examples = encode_sources(&arguments.data, encoder, arguments.seed)?;
    let kept = arguments.eval_data.as_ref().map(|path| encoder.encode(&data::read(path)?)).transpose()?;
    Ok((examples, kept))
}

/// Where the tokenizer lies; a new one is learnt first when asked for, once per `--out`.
fn tokenizer_folder(
    arguments: &RunArguments,
    architecture: &Architecture,
    reducer: &dyn GradientReducer,
) -> Result<PathBuf> {
    if !arguments.train_tokenizer {
        let given = arguments.tokenizer.as_ref().or(arguments.model.as_ref());
        return given.cloned().context("a new model needs --tokenizer FOLDER or --train-tokenizer");
    }
    let folder = arguments.out.join("tokenizer");
    if !arguments.resume {
        if reducer.rank() == 0 {
            learn_tokenizer(arguments, architecture, &folder)?;
        }
        reducer.wait()?;
    }
    Ok(folder)
}

fn learn_tokenizer(arguments: &RunArguments, architecture: &Architecture, folder: &Path) -> Result<()> {
    let mut texts = Vec::new();
    for source in &arguments.data {
        texts.extend(data::read(&source.path)?.into_iter().map(text));
    }
    let settings = TokenizerSettings {
        vocab_size: architecture.vocab_size,
        context_length: architecture.context_length,
        ..TokenizerSettings::default()
    };
    train_tokenizer(texts.into_iter(), &settings, |_| {})?.save(folder)
}

/// The words of a document.
fn text(document: Document) -> String {
    match document {
        Document::Text(text) => text,
        Document::Chat(messages) => {
            let words: Vec<_> = messages.into_iter().map(|message| message.content).collect();
            words.join("\n")
        }
    }
}

/// The tokenizer and chat template of a folder.
///
/// # Errors
/// Files that are missing or cannot be read; a vocabulary larger than the model's.
pub(super) fn encoder(folder: &Path, architecture: &Architecture) -> Result<Encoder> {
    let blobs = read_text_files(folder)?;
    let files = TextFiles::from_blobs(&blobs);
    let tokenizer = Tokenizer::new(&files).with_context(|| folder.display().to_string())?;
    Encoder::new(tokenizer, ChatTemplate::new(&files)?, architecture.vocab_size)
}

/// Copies the tokenizer's files from one folder to another.
///
/// # Errors
/// Those of the file system.
pub fn copy_text_files(from: &Path, to: &Path) -> Result<()> {
    for name in TEXT_FILES {
        let path = from.join(name);
        if path.exists() {
            fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
