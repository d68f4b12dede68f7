//! How far the predictions of a profile are from those of the unquantised model.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use otaro::{
    CancelToken, Checkpoint, Model, OpenOptions, Precision, PrecisionProfile, Session,
    cpu::{CpuOptions, FullWeights},
    pack::HuggingFaceFolder,
};
use otaro_eval::{
    BosPolicy, LogitSource, LogitsWriter, ModelSource, Origin, Outcome, Recording, SavedLogits, Windows,
    evaluate, read_text,
};
use serde::{Deserialize, Serialize};

use super::Arguments;
use crate::progress;

/// The logits of the unquantised model, in the folder of the results.
const REFERENCE: &str = "reference.safetensors";

/// A mean over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// KL divergence from the unquantised model, in nats.
    pub mean: f64,
    /// The standard error of that.
    pub standard_error: f64,
    /// The share of tokens for which both models hold the same token for the most probable one.
    pub top1: f64,
}

/// The windows of the text, at even distances.
pub fn windows(arguments: &Arguments, checkpoint: &Checkpoint) -> anyhow::Result<Windows> {
    let tokenizer = checkpoint.tokenizer()?;
    let ids = tokenizer.encode_rendered(&read_text(&arguments.text)?)?;
    let bos = BosPolicy::default().token(&tokenizer)?;
    let limit = checkpoint.architecture().context_length;
    let (context, windows) = (arguments.context, arguments.windows);
    ensure!((2..=limit).contains(&context), "--context is {context}, it must be 2 to {limit} for this model");
    let stride = context - usize::from(bos.is_some());
    let tokens = spread(&ids, stride, windows).with_context(|| {
        format!(
            "{}: {} tokens are fewer than --windows {windows} of --context {context}: give more text or fewer",
            arguments.text.display(),
            ids.len()
        )
    })?;
    Ok(Windows::new(tokens, context, None, bos))
}

/// The tokens of `count` pieces at even distances; `None` when there are too few.
fn spread(ids: &[u32], length: usize, count: usize) -> Option<Vec<u32>> {
    let spare = ids.len().checked_sub(count.checked_mul(length)?).filter(|_| count > 0)?;
    let piece = |index: usize| &ids[index * length + spare * index / count..][..length];
    Some((0..count).flat_map(piece).copied().collect())
}

/// The packed model beside what the unquantised one predicts.
pub struct Comparison {
    session: Session,
    reference: SavedLogits,
}

impl Comparison {
    /// Opens the packed model. The unquantised one runs once, and its logits are kept.
    pub fn new(
        arguments: &Arguments,
        checkpoint: &Arc<Checkpoint>,
        windows: &Windows,
        cancel: &CancelToken,
    ) -> anyhow::Result<Self> {
        let path = arguments.out.join(REFERENCE);
        if !path.exists() {
            record(&path, &arguments.reference, checkpoint, windows, cancel)?;
        }
        let reference = SavedLogits::open(&path)?;
        reference.check(windows).with_context(|| format!("delete {}", path.display()))?;
        let options = OpenOptions { device: arguments.device, ..OpenOptions::default() };
        let session = Model::on_device(Arc::clone(checkpoint), &options)?.session(Precision::MAX)?;
        Ok(Self { session, reference })
    }

    /// Runs the windows through the packed model with a profile.
    pub fn divergence(
        &mut self,
        profile: &PrecisionProfile,
        windows: &Windows,
        cancel: &CancelToken,
    ) -> anyhow::Result<Divergence> {
        self.session.set_profile(profile)?;
        let mut candidates: Vec<Box<dyn LogitSource + '_>> =
            vec![Box::new(ModelSource { session: &mut self.session, cancel })];
        let mut outcome = Outcome::new(true, 1);
        evaluate(windows, Some(&mut self.reference), &mut candidates, &mut outcome, &mut |_| {})?;
        let scores = outcome.candidates.first().zip(outcome.reference.as_ref());
        let comparison = scores.and_then(|(candidate, reference)| candidate.comparison(reference));
        let comparison = comparison.context("nothing was compared")?;
        Ok(Divergence {
            mean: rounded(comparison.divergence.mean),
            standard_error: rounded(comparison.divergence.standard_error),
            top1: rounded(comparison.agreement.mean),
        })
    }
}

/// Has the unquantised model predict, and writes its logits to a file.
fn record(
    path: &Path,
    folder: &Path,
    checkpoint: &Checkpoint,
    windows: &Windows,
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let architecture = checkpoint.architecture();
    let mut source = HuggingFaceFolder::open(folder)?;
    ensure!(source.architecture() == architecture, "{} is another model", folder.display());
    let model = Model::full_precision(
        architecture,
        FullWeights::load(architecture, &mut source)?,
        &CpuOptions::default(),
    )?;
    let mut session = model.session(Precision::MAX)?;
    let origin = Origin {
        model: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        tokenizer: checkpoint.tokenizer_fingerprint().to_string(),
        vocab_size: architecture.vocab_size,
    };
    let writer = LogitsWriter::create(path, windows, &origin)?;
    let mut recording = Recording { source: ModelSource { session: &mut session, cancel }, writer };
    let tokens = windows.count() * windows.context();
    let bar = progress::bar(tokens as u64, "unquantised model", "tokens");
    for window in windows.iter() {
        recording.logits(&window, &mut |_| Ok(()))?;
        bar.inc(window.tokens.len() as u64);
    }
    bar.finish_and_clear();
    Ok(recording.writer.finish()?)
}

/// Twelve decimals: what a JSON file gives back exactly, so that a search that goes on finds what one in a piece does.
fn rounded(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_spread_over_the_text() {
        let ids: Vec<u32> = (0..20).collect();
        let tokens = spread(&ids, 4, 3).expect("long enough");
        assert_eq!(tokens, [0, 1, 2, 3, 6, 7, 8, 9, 13, 14, 15, 16]);
        assert_eq!(spread(&ids, 10, 2).expect("just enough"), ids);
        assert!(spread(&ids, 7, 3).is_none() && spread(&ids, 4, 0).is_none());
    }

    #[test]
    fn what_is_kept_reads_back_exactly() {
        for index in 1..2000 {
            let value = rounded(f64::from(index).sqrt() / 7.0_f64.powi(index % 12));
            let json = serde_json::to_string(&value).expect("a number");
            assert_eq!(serde_json::from_str::<f64>(&json).expect("a number"), value, "{json}");
        }
    }
}
