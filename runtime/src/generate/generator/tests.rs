#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use sefp::Precision;

use crate::{
    Model, SamplerSettings,
    generate::test_models::{CONTEXT, stories, tiny},
    text::test_files,
};

const PROMPT: &str = "the quick brown fox on";

fn tokenizer(model: &Model) -> Tokenizer {
    model.checkpoint().unwrap().tokenizer().unwrap()
}

fn greedy() -> Sampler {
    Sampler::new(SamplerSettings::greedy()).unwrap()
}

/// Greedy text of a random model soon repeats itself; drawn text does not.
fn lively() -> Sampler {
    let settings = SamplerSettings { temperature: 1.0, top_p: 1.0, seed: 11, ..SamplerSettings::default() };
    Sampler::new(settings).unwrap()
}

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, ..GenerateOptions::default() }
}

/// What a generation of a fresh session came to.
struct Outcome {
    ids: Vec<u32>,
    text: String,
    reason: Option<FinishReason>,
    metrics: Metrics,
}

fn generate(model: &Model, sampler: &mut Sampler, options: &GenerateOptions) -> Outcome {
    let tokenizer = tokenizer(model);
    let prompt = tokenizer.encode(PROMPT).unwrap();
    let mut session = model.session(Precision::E5M6).unwrap();
    let mut generator = Generator::new(&mut session, sampler, &tokenizer, &prompt, options).unwrap();
    let tokens: Vec<Token> = generator.by_ref().map(Result::unwrap).collect();
    Outcome {
        ids: tokens.iter().map(|token| token.id).collect(),
        text: tokens.into_iter().map(|token| token.text).collect(),
        reason: generator.finish_reason(),
        metrics: generator.metrics(),
    }
}

/// The same loop without any of the machinery, over the whole of the logits.
fn by_hand(
    model: &Model,
    mut sampler: Sampler,
    tokens: usize,
    precision: impl Fn(usize) -> Precision,
) -> Vec<u32> {
    let mut session = model.session(precision(0)).unwrap();
    let mut next = tokenizer(model).encode(PROMPT).unwrap();
    let mut ids = Vec::new();
    for step in 0..tokens {
        session.set_precision(precision(step)).unwrap();
        let mut logits = session.logits(&next, &CancelToken::new()).unwrap();
        next = vec![sampler.sample(&mut logits).unwrap()];
        ids.extend(&next);
    }
    ids
}

#[test]
fn generates_what_the_model_says() {
    let model = tiny(None, &[]);
    let outcome = generate(&model, &mut lively(), &options(40));
    assert_eq!(outcome.ids, by_hand(&model, lively(), 40, |_| Precision::E5M6));
    assert_eq!(outcome.reason, Some(FinishReason::MaxTokens));
    let tokenizer = tokenizer(&model);
    let mut decoder = tokenizer.decoder(&tokenizer.encode(PROMPT).unwrap()).unwrap();
    let mut text: String = outcome.ids.iter().map(|id| decoder.push(*id).unwrap()).collect();
    text += &decoder.finish().unwrap();
    assert_eq!(outcome.text, text);

    let greedy_ids = generate(&model, &mut greedy(), &options(20)).ids;
    assert_eq!(greedy_ids, by_hand(&model, greedy(), 20, |_| Precision::E5M6));
}

#[test]
fn candidates_and_all_logits_lead_to_the_same_answer() {
    let model = tiny(None, &[]);
    let settings = SamplerSettings { temperature: 0.9, top_k: 20, seed: 3, ..SamplerSettings::default() };
    let mut few = Sampler::new(settings.clone()).unwrap();
    assert_eq!(few.candidates_needed(), Some(20));
    let expected = generate(&model, &mut few, &options(30)).ids;
    // A penalty of no consequence makes the sampler ask for everything.
    let settings = SamplerSettings { repetition_penalty: 1.000_000_1, ..settings };
    let mut all = Sampler::new(settings).unwrap();
    assert_eq!(all.candidates_needed(), None);
    assert_eq!(generate(&model, &mut all, &options(30)).ids, expected);
}

#[test]
fn the_precision_changes_while_it_generates() {
    let model = tiny(None, &[]);
    let precision = |step| if step < 5 { Precision::E5M8 } else { Precision::E5M3 };
    let tokenizer = tokenizer(&model);
    let prompt = tokenizer.encode(PROMPT).unwrap();
    let mut session = model.session(Precision::E5M8).unwrap();
    let mut sampler = lively();
    let mut generator =
        Generator::new(&mut session, &mut sampler, &tokenizer, &prompt, &options(60)).unwrap();
    let mut ids = Vec::new();
    for step in 0..60 {
        generator.set_profile(precision(step)).unwrap();
        ids.push(generator.next().unwrap().unwrap().id);
    }
    assert!(generator.next().is_none());
    assert_eq!(generator.metrics().profile, "E5M3");
    assert_eq!(ids, by_hand(&model, lively(), 60, precision));
    assert_ne!(
        ids,
        by_hand(&model, lively(), 60, |_| Precision::E5M8),
        "the switch made no difference: the test shows nothing"
    );
}

#[test]
fn an_end_token_ends_the_answer_unless_ignored() {
    let ids = by_hand(&tiny(None, &[]), lively(), 12, |_| Precision::E5M6);
    let end = ids[7];
    let first = ids.iter().position(|id| *id == end).unwrap();
    let model = tiny(None, &[1, end]);
    let outcome = generate(&model, &mut lively(), &options(40));
    assert_eq!(outcome.ids, ids[..=first]);
    assert_eq!(outcome.reason, Some(FinishReason::Eos));
    assert_eq!(outcome.metrics.generated_tokens, first + 1);

    let ignoring = GenerateOptions { ignore_eos: true, ..options(12) };
    let outcome = generate(&model, &mut lively(), &ignoring);
    assert_eq!(outcome.ids, ids);
    assert_eq!(outcome.reason, Some(FinishReason::MaxTokens));
}

#[test]
fn beginning_another_text_ends_the_answer_too() {
    let model = tiny(None, &[]);
    let ids = by_hand(&model, lively(), 300, |_| Precision::E5M6);
    let first = ids.iter().position(|id| *id == 1).unwrap();
    let outcome = generate(&model, &mut lively(), &options(300));
    assert_eq!(outcome.ids, ids[..=first]);
    assert_eq!(outcome.reason, Some(FinishReason::Eos));
}

#[test]
fn a_stop_string_ends_the_answer_before_it() {
    let model = tiny(None, &[]);
    let whole = generate(&model, &mut lively(), &options(60)).text;
    // Three characters from the middle of the answer: more than one token.
    let begin = whole.char_indices().nth(20).unwrap().0;
    let end = whole.char_indices().nth(23).unwrap().0;
    let stop = &whole[begin..end];
    let expected = &whole[..whole.find(stop).unwrap()];
    let with_stop = GenerateOptions { stop: vec!["never seen".into(), stop.into()], ..options(60) };
    let outcome = generate(&model, &mut lively(), &with_stop);
    assert_eq!(outcome.text, expected);
    assert_eq!(outcome.reason, Some(FinishReason::StopString));
    assert!(outcome.ids.len() < 60);

    let unfinished = GenerateOptions { stop: vec![format!("{whole}!")], ..options(60) };
    assert_eq!(
        generate(&model, &mut lively(), &unfinished).text,
        whole,
        "what was held back leaves at the end"
    );
}

#[test]
fn the_context_ends_the_answer() {
    let model = tiny(None, &[]);
    let endless = GenerateOptions { ignore_eos: true, ..options(CONTEXT * 2) };
    let outcome = generate(&model, &mut lively(), &endless);
    assert_eq!(outcome.reason, Some(FinishReason::Context));
    // Every position holds a token, and the last token needs none.
    assert_eq!(outcome.metrics.prompt_tokens + outcome.ids.len(), CONTEXT + 1);
}

#[test]
fn cancelling_leaves_a_session_that_goes_on() {
    let model = tiny(None, &[]);
    let tokenizer = tokenizer(&model);
    let prompt = tokenizer.encode(PROMPT).unwrap();
    let mut session = model.session(Precision::E5M6).unwrap();
    let mut sampler = lively();
    let options = options(12);

    options.cancel.cancel();
    let mut generator = Generator::new(&mut session, &mut sampler, &tokenizer, &prompt, &options).unwrap();
    assert!(generator.next().is_none());
    assert_eq!(generator.finish_reason(), Some(FinishReason::Cancelled));
    options.cancel.reset();
    assert!(generator.next().is_none(), "over is over");
    assert_eq!(session.position(), 0);

    let mut generator = Generator::new(&mut session, &mut sampler, &tokenizer, &prompt, &options).unwrap();
    let mut ids: Vec<u32> = generator.by_ref().take(4).map(|token| token.unwrap().id).collect();
    options.cancel.cancel();
    assert!(generator.next().is_none());
    let tokens = generator.tokens().to_vec();
    options.cancel.reset();
    let mut generator = Generator::new(&mut session, &mut sampler, &tokenizer, &tokens, &options).unwrap();
    assert!(generator.metrics().reused_tokens >= prompt.len());
    ids.extend(generator.by_ref().take(4).map(|token| token.unwrap().id));
    assert_eq!(ids, by_hand(&model, lively(), 8, |_| Precision::E5M6));
}

#[test]
fn prompts_that_cannot_be_are_refused() {
    let model = tiny(None, &[]);
    let tokenizer = tokenizer(&model);
    let mut session = model.session(Precision::E5M6).unwrap();
    session.prefill(&[1, 2, 3], &CancelToken::new()).unwrap();
    let mut sampler = lively();
    let stop = GenerateOptions { stop: vec![String::new()], ..options(4) };
    let cases = [
        (vec![], options(4), ErrorKind::InvalidArgument),
        (vec![1, 2], options(4), ErrorKind::InvalidArgument),
        (vec![1; CONTEXT + 1], options(4), ErrorKind::ContextFull),
        (vec![1, 2, 3, 4], stop, ErrorKind::InvalidArgument),
    ];
    for (prompt, options, kind) in cases {
        let error = Generator::new(&mut session, &mut sampler, &tokenizer, &prompt, &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    // A token outside of the vocabulary is an error of the first step, and the last one.
    let mut generator =
        Generator::new(&mut session, &mut sampler, &tokenizer, &[1, 2, 3, 9999], &options(4)).unwrap();
    assert_eq!(generator.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(generator.next().is_none());
}

#[test]
fn nothing_is_generated_when_nothing_is_asked_for() {
    let outcome = generate(&tiny(None, &[]), &mut greedy(), &options(0));
    assert_eq!((outcome.ids.len(), outcome.reason), (0, Some(FinishReason::MaxTokens)));
}

#[test]
fn figures_add_up() {
    let metrics = generate(&tiny(None, &[]), &mut greedy(), &options(10)).metrics;
    assert_eq!((metrics.generated_tokens, metrics.reused_tokens), (10, 0));
    assert_eq!(metrics.prompt_tokens, test_files::byte_fallback().encode(PROMPT).unwrap().len());
    assert!(metrics.prefill <= metrics.first_token && !metrics.prefill.is_zero());
    assert!(metrics.weight_bytes_per_token > 0 && metrics.decode_tokens_per_second().is_some());
}

#[test]
fn stories_are_told_as_the_reference_tells_them() {
    let Some((model, tokenizer, reference)) = stories() else { return };
    for case in reference["greedy"].as_array().unwrap() {
        let prompt = tokenizer.encode(case["prompt"].as_str().unwrap()).unwrap();
        let expected: Vec<u32> = serde_json::from_value(case["output_ids"].clone()).unwrap();
        let mut session = model.session(Precision::MAX).unwrap();
        let (mut sampler, options) = (greedy(), options(expected.len().min(64)));
        let generator = Generator::new(&mut session, &mut sampler, &tokenizer, &prompt, &options).unwrap();
        let tokens: Vec<Token> = generator.map(Result::unwrap).collect();
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        assert_eq!(ids, expected[..ids.len()]);
        assert!(ids.len() >= 20, "{ids:?}");
        let text: String = tokens.into_iter().map(|token| token.text).collect();
        let whole = tokenizer.decode(&[prompt.as_slice(), &ids].concat()).unwrap();
        assert_eq!(format!("{}{text}", tokenizer.decode(&prompt).unwrap()), whole);
    }
}
