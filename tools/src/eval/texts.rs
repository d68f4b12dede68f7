//! Perplexity and divergence on a text.

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use otaro::CancelToken;
use otaro_eval::{
    BosPolicy, LogitSource, LogitsWriter, ModelSource, Origin, Outcome, Recording, SavedLogits, Windows,
    evaluate, read_text,
};
use serde_json::json;

use super::{
    Models,
    arguments::Arguments,
    describe_bos,
    report::{Report, Row},
    subjects::{Label, Subject},
};
use crate::{progress, tokens};

/// How many tokens a window has at most unless it is said.
const DEFAULT_CONTEXT: usize = 512;

/// A text in windows, and the logits of the reference where they were saved before.
pub struct TextSource {
    windows: Windows,
    saved: Option<SavedLogits>,
    /// Of the models, for logits that are saved: the fingerprint of the tokenizer.
    tokenizer: String,
    vocab_size: usize,
}

impl TextSource {
    /// The text of the command line; `None` without one.
    pub fn open(arguments: &Arguments, subjects: &[&Subject]) -> anyhow::Result<Option<Self>> {
        let tokenizer = subjects.iter().find_map(|subject| subject.vocabulary.tokenizer.as_ref());
        let without = || format!("{} holds no tokenizer: give --tokens instead of --text", subjects[0].name);
        let (tokens, bos) = match (&arguments.tokens, &arguments.text) {
            (Some(ids), _) => {
                let bos = match (arguments.bos, tokenizer) {
                    // Ids are taken as they are.
                    (BosPolicy::Auto | BosPolicy::Never, _) => None,
                    (policy, tokenizer) => policy.token(&tokenizer.with_context(without)?.0)?,
                };
                (tokens::read(ids)?, bos)
            }
            (None, Some(path)) => {
                let (tokenizer, _) = tokenizer.with_context(without)?;
                (tokenizer.encode_rendered(&read_text(path)?)?, arguments.bos.token(tokenizer)?)
            }
            (None, None) => return Ok(None),
        };
        let limits = subjects.iter().map(|subject| subject.vocabulary.context_length);
        let limit = limits.min().unwrap_or(DEFAULT_CONTEXT);
        let context = arguments.context.unwrap_or(limit.min(DEFAULT_CONTEXT));
        ensure!(
            (2..=limit).contains(&context),
            "--context is {context}, it must be 2 to {limit} for this model"
        );
        let windows = Windows::new(tokens, context, arguments.windows, bos);
        ensure!(
            windows.count() > 0,
            "the text has {} tokens, fewer than one window of {context}",
            windows.given()
        );
        let saved = arguments.reference_logits.as_ref().map(|path| {
            let saved = SavedLogits::open(path)?;
            saved.check(&windows).map_err(|error| error.at(path.display()))?;
            check_origin(saved.origin(), subjects).with_context(|| path.display().to_string())?;
            anyhow::Ok(saved)
        });
        let tokenizer = tokenizer.map_or("none", |(_, fingerprint)| fingerprint).to_string();
        let vocab_size = subjects[0].vocabulary.size;
        Ok(Some(Self { windows, saved: saved.transpose()?, tokenizer, vocab_size }))
    }

    /// Runs reference and candidates over the text, and adds what is finished to the report.
    pub fn measure(
        mut self,
        arguments: &Arguments,
        models: &mut Models,
        report: &mut Report,
        cancel: &CancelToken,
    ) -> anyhow::Result<()> {
        let recorded = match (&arguments.save_logits, &models.reference) {
            (Some(path), Some(reference)) => {
                let (model, tokenizer) = (reference.label.model.clone(), self.tokenizer.clone());
                let origin = Origin { model, tokenizer, vocab_size: self.vocab_size };
                Some(LogitsWriter::create(path, &self.windows, &origin)?)
            }
            _ => None,
        };
        let mut outcome =
            Outcome::new(models.reference.is_some() || self.saved.is_some(), models.candidates.len());
        let sources = models.candidates.len() + usize::from(models.reference.is_some());
        let tokens = sources * self.windows.count() * self.windows.context();
        let bar = progress::bar(tokens as u64, "evaluating", "tokens");
        let result = self.run(models, recorded, &mut outcome, cancel, &bar);
        bar.finish_and_clear();
        if outcome.windows > 0 {
            self.add_to(report, &outcome, arguments.bos, models.reference.is_some());
        }
        result
    }

    fn run(
        &mut self,
        models: &mut Models,
        recorded: Option<LogitsWriter>,
        outcome: &mut Outcome,
        cancel: &CancelToken,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let source = |session| ModelSource { session, cancel };
        let mut candidates: Vec<Box<dyn LogitSource + '_>> = Vec::new();
        for candidate in &mut models.candidates {
            candidates.push(Box::new(source(&mut candidate.session)));
        }
        let live = models.reference.as_mut().map(|reference| source(&mut reference.session));
        let progress = &mut |tokens| bar.inc(tokens as u64);
        match (live, recorded, &mut self.saved) {
            (Some(source), Some(writer), _) => {
                let mut recording = Recording { source, writer };
                evaluate(&self.windows, Some(&mut recording), &mut candidates, outcome, progress)?;
                recording.writer.finish()?;
            }
            (Some(mut live), None, _) => {
                evaluate(&self.windows, Some(&mut live), &mut candidates, outcome, progress)?;
            }
            (None, _, Some(saved)) => {
                evaluate(&self.windows, Some(saved), &mut candidates, outcome, progress)?;
            }
            (None, _, None) => evaluate(&self.windows, None, &mut candidates, outcome, progress)?,
        }
        Ok(())
    }

    fn add_to(&self, report: &mut Report, outcome: &Outcome, policy: BosPolicy, reference_is_model: bool) {
        if let (Some(saved), false) = (&self.saved, reference_is_model) {
            let label = Label {
                model: saved.origin().model.clone(),
                reading: None,
                bits_per_weight: None,
                bytes_per_token: None,
                device: "saved logits".to_string(),
            };
            report.rows.insert(0, Row::new(label, true));
        }
        let mut candidates = outcome.candidates.iter();
        for row in &mut report.rows {
            match (&outcome.reference, row.is_reference) {
                (Some(reference), true) => row.add_text(reference, None),
                (reference, _) => {
                    let Some(scores) = candidates.next() else { continue };
                    let comparison = reference.as_ref().and_then(|reference| scores.comparison(reference));
                    row.add_text(scores, comparison);
                }
            }
        }
        let (windows, context) = (&self.windows, self.windows.context());
        let done = match outcome.windows == windows.count() {
            true => outcome.windows.to_string(),
            false => format!("{} of {}", outcome.windows, windows.count()),
        };
        let bos = describe_bos(policy, windows.bos());
        let scored = windows.scored();
        report.conditions.push(format!("{done} windows of {context} tokens, {scored} of each scored, {bos}"));
        report.fields.extend([
            ("context", json!(context)),
            ("windows", json!(outcome.windows)),
            ("windows_asked_for", json!(windows.count())),
            ("bos_policy", json!(policy.name())),
            ("bos", json!(windows.bos())),
        ]);
    }
}

/// Whether saved logits are of the vocabulary of these models.
fn check_origin(origin: &Origin, subjects: &[&Subject]) -> anyhow::Result<()> {
    for subject in subjects {
        let vocabulary = &subject.vocabulary;
        ensure!(
            origin.vocab_size == vocabulary.size,
            "the saved logits are of {} tokens of {}, but {} has a vocabulary of {}",
            origin.vocab_size,
            origin.model,
            subject.name,
            vocabulary.size
        );
        let print = vocabulary.fingerprint().unwrap_or("none");
        ensure!(
            origin.tokenizer == "none" || print == "none" || print == origin.tokenizer,
            "the saved logits are of {}, whose tokenizer is not that of {}",
            origin.model,
            subject.name
        );
    }
    Ok(())
}
