//! The measures of `otaro-eval` on real and on tiny models.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use otaro::{
    CancelToken, Checkpoint, Model, Precision, Session, TextFiles, Tokenizer,
    cpu::{CpuOptions, FullWeights},
    pack::HuggingFaceFolder,
};
use otaro_eval::{
    LogitSource, LogitsWriter, ModelSource, Origin, Outcome, Recording, SavedLogits, Scores, Windows,
    evaluate,
    task::{Answers, Encoder, Question, Task, ask},
};
use otaro_tests::{
    huggingface,
    reference::{Reference, stories260k, stories260k_folder},
    shared, temporary_folder, tiny,
};

/// stories260K unquantised and packed, with some windows of a story.
struct Stories {
    _folder: tempfile::TempDir,
    reference: Model,
    packed: Model,
    windows: Windows,
}

fn stories() -> Option<Stories> {
    let (folder, checkpoint) = stories260k()?;
    let mut source = HuggingFaceFolder::open(&stories260k_folder()?).unwrap();
    let architecture = source.architecture().clone();
    let weights = FullWeights::load(&architecture, &mut source).unwrap();
    let reference = Model::full_precision(&architecture, weights, &CpuOptions::default()).unwrap();
    let packed = Model::on_cpu(Arc::new(checkpoint), None, &CpuOptions::default()).unwrap();
    let tokens = Reference::open(&shared("reference/stories260K.tokens.safetensors")?).tokens("stream");
    let windows = Windows::new(tokens, 256, Some(4), None);
    Some(Stories { _folder: folder, reference, packed, windows })
}

impl Stories {
    /// Scores of every precision, lowest first, and at the end of the reference again; and of the reference.
    fn run(&self, reference: &mut dyn LogitSource) -> (Vec<Scores>, Scores) {
        let cancel = CancelToken::new();
        let mut sessions: Vec<Session> =
            Precision::ALL.iter().map(|&precision| self.packed.session(precision).unwrap()).collect();
        sessions.push(self.reference.session(Precision::MAX).unwrap());
        let source = |session| -> Box<dyn LogitSource> { Box::new(ModelSource { session, cancel: &cancel }) };
        let mut candidates: Vec<_> = sessions.iter_mut().map(source).collect();
        let mut outcome = Outcome::new(true, candidates.len());
        evaluate(&self.windows, Some(reference), &mut candidates, &mut outcome, &mut |_| ()).unwrap();
        assert_eq!(outcome.windows, self.windows.count());
        (outcome.candidates, outcome.reference.unwrap())
    }
}

#[test]
fn divergence_falls_with_the_precision_and_is_nothing_without_quantisation() {
    let Some(stories) = stories() else { return };
    let mut session = stories.reference.session(Precision::MAX).unwrap();
    let mut reference = ModelSource { session: &mut session, cancel: &CancelToken::new() };
    let (candidates, reference) = stories.run(&mut reference);
    let compared: Vec<_> = candidates.iter().map(|scores| scores.comparison(&reference).unwrap()).collect();
    for (precision, comparison) in Precision::ALL.iter().zip(&compared) {
        let (divergence, agreement) = (comparison.divergence, comparison.agreement);
        println!("{precision}: {divergence:?}, {agreement:?}, {:?}", comparison.log_ratio);
        assert!(comparison.median_divergence < comparison.divergence_p99);
        // The ratio is of pairs: its error is below that of a perplexity.
        assert!(comparison.log_ratio.standard_error < reference.negative_log_likelihood().standard_error);
    }
    let (quantised, itself) = compared.split_at(Precision::ALL.len());
    // Int8 activations cost about as much as the last bits of the weights do.
    for pair in quantised[..4].windows(2) {
        assert!(pair[0].divergence.mean > 1.5 * pair[1].divergence.mean, "{pair:?}");
        assert!(pair[0].agreement.mean < pair[1].agreement.mean, "{pair:?}");
    }
    assert!(quantised.iter().all(|comparison| comparison.divergence.mean > 0.0));
    assert_eq!(itself[0].divergence.mean, 0.0);
    assert_eq!(itself[0].agreement.mean, 1.0);
    assert_eq!(itself[0].log_ratio.mean, 0.0);
}

#[test]
fn saved_logits_give_the_figures_of_the_live_reference() {
    let Some(stories) = stories() else { return };
    let folder = temporary_folder();
    let path = folder.path().join("logits.safetensors");
    let vocab_size = stories.reference.architecture().vocab_size;
    let origin = Origin { model: "stories260K".to_string(), tokenizer: "none".to_string(), vocab_size };
    let mut session = stories.reference.session(Precision::MAX).unwrap();
    let source = ModelSource { session: &mut session, cancel: &CancelToken::new() };
    let writer = LogitsWriter::create(&path, &stories.windows, &origin).unwrap();
    let mut recording = Recording { source, writer };
    let (live, live_reference) = stories.run(&mut recording);
    recording.writer.finish().unwrap();

    let mut saved = SavedLogits::open(&path).unwrap();
    saved.check(&stories.windows).unwrap();
    let (again, reference) = stories.run(&mut saved);
    for (live, again) in live.iter().zip(&again) {
        assert_eq!(live.negative_log_likelihoods, again.negative_log_likelihoods);
        let (live, again) =
            (live.comparison(&live_reference).unwrap(), again.comparison(&reference).unwrap());
        let difference = (live.divergence.mean - again.divergence.mean).abs();
        println!("{} {difference:e}", live.divergence.mean);
        assert!(difference < 2e-6 + 1e-3 * live.divergence.mean, "{live:?} {again:?}");
        assert!((live.agreement.mean - again.agreement.mean).abs() < 5e-3);
        assert!((live.log_ratio.mean - again.log_ratio.mean).abs() < 1e-4);
    }
}

/// A tiny model with a tokenizer of the words `w0`, `w1`, ...
fn tiny_model(context_length: usize) -> (Session, Encoder) {
    let folder = temporary_folder();
    let architecture = tiny::irregular();
    huggingface::write(folder.path(), &architecture, 33, &huggingface::Form::default());
    let json = std::fs::read(folder.path().join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::new(&TextFiles { tokenizer: &json, ..TextFiles::default() }).unwrap();
    let mut source = HuggingFaceFolder::open(folder.path()).unwrap();
    let weights = FullWeights::load(&architecture, &mut source).unwrap();
    let model = Model::full_precision(&architecture, weights, &CpuOptions::PLAIN).unwrap();
    (model.session(Precision::MAX).unwrap(), Encoder { tokenizer, bos: Some(1), context_length })
}

/// The log-likelihood of the last `count` of some tokens, one forward pass for each.
fn by_hand(session: &mut Session, tokens: &[u32], count: usize) -> f64 {
    let first = tokens.len() - count;
    let likelihood = |place: usize| {
        session.truncate(0);
        let logits = session.logits(&tokens[..place], &CancelToken::new()).unwrap();
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        f64::from(logits[tokens[place] as usize]) - sum.ln()
    };
    (first..tokens.len()).map(likelihood).sum()
}

fn question(query: &str, choices: [&str; 3], gold: usize) -> Question {
    let choices = choices.map(str::to_string).to_vec();
    Question { query: query.to_string(), passage: String::new(), choices, gold }
}

#[test]
fn choices_are_scored_as_by_hand() {
    let (mut session, encoder) = tiny_model(300);
    let cases = [
        // Three choices of one, two and three tokens after the same context.
        (
            Task::OpenBookQa,
            question("w5 w6 w7", ["w8", "w9 w10", "w11 w12 w13"], 2),
            [(vec![1, 5, 6, 7, 8], 1), (vec![1, 5, 6, 7, 9, 10], 2), (vec![1, 5, 6, 7, 11, 12, 13], 3)],
        ),
        // The choice is in the context, and the rest of the sentence is scored.
        (
            Task::WinoGrande,
            question("w5 w6 _ w7 w8", ["w9", "w10 w11", "w12"], 0),
            [(vec![1, 5, 6, 9, 7, 8], 2), (vec![1, 5, 6, 10, 11, 7, 8], 2), (vec![1, 5, 6, 12, 7, 8], 2)],
        ),
    ];
    for (task, question, expected) in cases {
        let encoded = encoder.encode(task, &question).unwrap();
        assert_eq!(encoded.shared(), 3, "the last token of the context is given again");
        let found = ask(&mut session, &encoded, &CancelToken::new()).unwrap();
        let mut likelihoods = Vec::new();
        for ((tokens, count), found) in expected.iter().zip(&found) {
            let likelihood = by_hand(&mut session, tokens, *count);
            assert!((likelihood - found).abs() < 1e-5, "{task} {tokens:?}: {found}, by hand {likelihood}");
            likelihoods.push(likelihood);
        }
        let best = |values: &[f64]| (0..3).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        let normalised: Vec<_> = likelihoods
            .iter()
            .zip(&question.choices)
            .map(|(sum, choice)| sum / choice.len() as f64)
            .collect();
        let mut answers = Answers::default();
        answers.add(&encoded, &found);
        assert_eq!(answers.right, [best(&likelihoods) == question.gold]);
        assert_eq!(answers.right_normalised, [best(&normalised) == question.gold]);
        println!("{task}: {likelihoods:?}, normalised {normalised:?}, {answers:?}");
    }
}

#[test]
fn long_contexts_lose_their_beginning() {
    let (mut session, encoder) = tiny_model(5);
    let long = question("w2 w3 w4 w5 w6 w7", ["w8", "w9 w10", "w11"], 0);
    let encoded = encoder.encode(Task::OpenBookQa, &long).unwrap();
    assert!(encoded.truncated);
    // Five tokens are given, and the sixth is the last that is scored.
    assert_eq!(encoded.choices[0].tokens, [3, 4, 5, 6, 7, 8]);
    assert_eq!(
        (encoded.choices[1].tokens.as_slice(), encoded.choices[1].context),
        (&[4, 5, 6, 7, 9, 10][..], 4)
    );
    let found = ask(&mut session, &encoded, &CancelToken::new()).unwrap();
    assert!((found[0] - by_hand(&mut session, &[3, 4, 5, 6, 7, 8], 1)).abs() < 1e-5);
    let endless = question("w2", ["w3", "w8 w8 w8 w8 w8 w8 w8", "w4"], 0);
    let error = encoder.encode(Task::OpenBookQa, &endless).unwrap_err().to_string();
    assert!(error.contains("longer than the context"), "{error}");
}

/// A packed file knows what its tokenizer does of its own accord.
#[test]
fn the_tokenizer_of_stories_begins_with_a_bos() {
    let Some((_folder, checkpoint)) = stories260k() else { return };
    let checkpoint: Checkpoint = checkpoint;
    let tokenizer = checkpoint.tokenizer().unwrap();
    assert_eq!(tokenizer.added_bos().unwrap(), tokenizer.bos());
    assert!(tokenizer.bos().is_some());
}
