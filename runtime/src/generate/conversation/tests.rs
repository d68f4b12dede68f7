#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::{
    CancelToken,
    generate::test_models::{CONTEXT, TEMPLATE, stories, tiny},
};

fn conversation(template: Option<&str>) -> Conversation {
    greedy(Conversation::new(&tiny(template, &[]), Precision::E5M6).unwrap())
}

fn greedy(mut conversation: Conversation) -> Conversation {
    conversation.set_sampler(SamplerSettings::greedy()).unwrap();
    conversation
}

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, ..GenerateOptions::default() }
}

/// The whole answer, and its figures.
fn ask(conversation: &mut Conversation, question: &str, options: &GenerateOptions) -> (String, Metrics) {
    let mut answer = conversation.ask(question, options).unwrap();
    let text = answer.by_ref().map(|token| token.unwrap().text).collect();
    let metrics = answer.metrics();
    (text, metrics)
}

#[test]
fn a_second_question_computes_only_what_is_new() {
    let mut conversation = conversation(Some(TEMPLATE));
    let (first, metrics) = ask(&mut conversation, "the one", &options(20));
    assert_eq!(metrics.reused_tokens, 0);
    assert!(metrics.device.starts_with("cpu"), "{}", metrics.device);
    let (held, _) = conversation.context();
    // All but the last token of the answer, which nothing has been computed after yet.
    assert_eq!(held, metrics.prompt_tokens + 19);

    let (second, metrics) = ask(&mut conversation, "the two", &options(20));
    assert_eq!(metrics.reused_tokens, held);
    let said: Vec<(Role, &str)> =
        conversation.messages().iter().map(|m| (m.role, m.content.as_str())).collect();
    let expected = [
        (Role::User, "the one"),
        (Role::Assistant, first.as_str()),
        (Role::User, "the two"),
        (Role::Assistant, &second),
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_reused_changes_no_answer() {
    let mut reusing = conversation(Some(TEMPLATE));
    ask(&mut reusing, "the one", &options(20));
    let prompt_tokens = {
        let mut answer = reusing.ask("the two", &options(20)).unwrap();
        assert!(answer.by_ref().all(|token| token.is_ok()));
        answer.metrics().prompt_tokens
    };
    let tokens = reusing.past.tokens.clone();

    let mut session = reusing.model.session(Precision::E5M6).unwrap();
    let mut sampler = Sampler::new(SamplerSettings::greedy()).unwrap();
    let prompt = &tokens[..prompt_tokens];
    let mut generator =
        Generator::new(&mut session, &mut sampler, &reusing.tokenizer, prompt, &options(20)).unwrap();
    assert!(generator.by_ref().all(|token| token.is_ok()));
    assert_eq!(generator.tokens(), tokens);
}

#[test]
fn a_cancelled_answer_stays_as_far_as_it_came() {
    let mut conversation = conversation(Some(TEMPLATE));
    let options = options(200);
    let mut answer = conversation.ask("the one", &options).unwrap();
    let mut text = String::new();
    while text.chars().count() < 3 {
        text += &answer.next().unwrap().unwrap().text;
    }
    options.cancel.cancel();
    assert!(answer.next().is_none());
    assert_eq!(answer.finish_reason(), Some(FinishReason::Cancelled));
    assert_eq!(conversation.messages().last().unwrap().content, text);

    options.cancel.reset();
    let (held, _) = conversation.context();
    let (_, metrics) = ask(&mut conversation, "the two", &options);
    assert!(metrics.reused_tokens > 0 && metrics.reused_tokens <= held);
    assert_eq!(conversation.messages().len(), 4);
}

#[test]
fn a_question_without_any_answer_is_forgotten() {
    for template in [Some(TEMPLATE), None] {
        let mut conversation = conversation(template);
        let (expected, _) = ask(&mut conversation, "the two", &options(10));
        conversation.reset(None).unwrap();
        let cancelled = GenerateOptions { cancel: CancelToken::new(), ..options(10) };
        cancelled.cancel.cancel();
        assert!(conversation.ask("the one", &cancelled).unwrap().next().is_none());
        let (text, _) = ask(&mut conversation, "the two", &options(10));
        assert_eq!(text, expected, "{template:?}");
        assert_eq!(conversation.messages().len(), 2);
    }
}

#[test]
fn a_dropped_answer_stays_as_far_as_it_came() {
    let mut conversation = conversation(Some(TEMPLATE));
    let ids: Vec<u32> =
        conversation.ask("the", &options(50)).unwrap().take(9).map(|token| token.unwrap().id).collect();
    assert!(conversation.past.tokens.ends_with(&ids));
    let (_, metrics) = ask(&mut conversation, "go on", &options(5));
    assert!(metrics.reused_tokens > 0);
}

#[test]
fn a_question_that_the_template_refuses_changes_nothing() {
    let template = "{% if messages[-1].content == 'no' %}{{ raise_exception('I refuse') }}{% endif %}"
        .to_owned()
        + TEMPLATE;
    let mut conversation = conversation(Some(&template));
    ask(&mut conversation, "the one", &options(5));
    let (held, messages) = (conversation.context(), conversation.messages().to_vec());
    let error = conversation.ask("no", &options(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChatTemplate);
    assert!(error.to_string().contains("I refuse"));
    assert_eq!((conversation.context(), conversation.messages()), (held, messages.as_slice()));
    let stop = GenerateOptions { stop: vec![String::new()], ..options(5) };
    assert_eq!(conversation.ask("yes", &stop).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(conversation.messages(), messages);
    assert!(conversation.ask("yes", &options(5)).is_ok());
}

#[test]
fn a_conversation_that_has_become_too_long_says_so() {
    let mut conversation = conversation(Some(TEMPLATE));
    let error = conversation.ask(&"x".repeat(CONTEXT), &options(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextFull);
    assert!(conversation.messages().is_empty());
    assert!(conversation.ask("x", &options(5)).is_ok());
}

#[test]
fn a_system_message_comes_first_and_needs_a_template() {
    let mut with_template = conversation(Some(TEMPLATE));
    with_template.reset(Some("be brief")).unwrap();
    ask(&mut with_template, "the one", &options(5));
    let beginning =
        with_template.tokenizer.encode_rendered("<s>system: be brief</s><s>user: the one</s>").unwrap();
    assert!(with_template.past.tokens.starts_with(&beginning));
    with_template.reset(None).unwrap();
    assert!(with_template.messages().is_empty());

    let error = conversation(None).reset(Some("be brief")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_model_without_template_continues_the_text() {
    let mut conversation = conversation(None);
    assert!(!conversation.has_template());
    let (_, metrics) = ask(&mut conversation, "the one", &options(10));
    assert_eq!(metrics.prompt_tokens, conversation.tokenizer.encode("the one").unwrap().len());
    let before = conversation.past.tokens.clone();
    let (_, metrics) = ask(&mut conversation, "on the", &options(10));
    let added = conversation.tokenizer.encode_rendered("on the").unwrap();
    assert!(conversation.past.tokens.starts_with(&[before.as_slice(), &added].concat()));
    assert_eq!(metrics.reused_tokens, before.len() - 1);
}

#[test]
fn a_text_that_the_model_ended_is_not_continued() {
    let Some((model, tokenizer, _)) = stories() else { return };
    let mut conversation = greedy(Conversation::with_text(&model, tokenizer, None, Precision::MAX).unwrap());
    let mut answer = conversation.ask("Once upon a time", &options(500)).unwrap();
    let text: String = answer.by_ref().map(|token| token.unwrap().text).collect();
    assert!(text.starts_with(", there was a little girl named Lily."), "{text}");
    assert_eq!(answer.finish_reason(), Some(FinishReason::Eos));
    let (_, metrics) = ask(&mut conversation, "Once upon", &options(5));
    assert!(metrics.prompt_tokens < 10);
    assert!(metrics.reused_tokens >= 2, "both texts begin alike");
}

#[test]
fn the_precision_changes_during_an_answer() {
    let mut conversation = conversation(Some(TEMPLATE));
    let options = options(6);
    let mut answer = conversation.ask("the one", &options).unwrap();
    answer.next().unwrap().unwrap();
    answer.set_precision(Precision::E5M3).unwrap();
    assert_eq!(answer.profile().uniform(), Some(Precision::E5M3));
    assert!(answer.by_ref().all(|token| token.is_ok()));
    assert_eq!(answer.metrics().profile, "E5M3");
    assert_eq!(conversation.profile().uniform(), Some(Precision::E5M3));
}

#[test]
fn a_changed_tokenizer_is_noticed() {
    use crate::{generate::test_models::model, text::test_files};
    let architecture = tiny(None, &[]).architecture().clone();
    let blobs = [("tokenizer.json", test_files::byte_fallback_json())];
    let other = test_files::byte_level().fingerprint().unwrap();
    let error = Conversation::new(&model(&architecture, &blobs, &other), Precision::E5M6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
    assert!(error.to_string().contains("other ids"), "{error}");
    assert!(Conversation::new(&model(&architecture, &blobs, "none"), Precision::E5M6).is_ok());
    let error = Conversation::new(&model(&architecture, &[], "none"), Precision::E5M6).unwrap_err();
    assert!(error.to_string().contains("holds no tokenizer"), "{error}");
}
