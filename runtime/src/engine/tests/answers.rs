//! What a stream brings, whatever happens meanwhile.

use super::*;
use crate::{
    Conversation, Precision, PrecisionProfile,
    generate::test_models::{TEMPLATE, tiny},
    governor::{MemoryPressure, Signal, Thermal},
};

#[test]
fn a_stream_brings_what_a_conversation_says() {
    let model = tiny(Some(TEMPLATE), &[]);
    let mut conversation = Conversation::new(&model, Precision::E5M6).expect("a conversation");
    let engine = Engine::with_model(model).expect("an engine");
    let session = session(&engine);
    for _ in 0..2 {
        conversation.set_sampler(SamplerSettings::default()).expect("valid settings");
        let mut answer = conversation.ask("a question", &options(40)).expect("an answer");
        let tokens: Vec<_> = answer.by_ref().map(|token| token.expect("a token")).collect();
        let reused_tokens = answer.metrics().reused_tokens;
        let (ids, text, end) = read(&ask(&session, 40).expect("a stream"));
        assert_eq!(ids, tokens.iter().map(|token| token.id).collect::<Vec<_>>());
        assert_eq!(text, tokens.iter().map(|token| token.text.as_str()).collect::<String>());
        assert_eq!(end, Some(FinishReason::MaxTokens));
        let metrics = session.metrics().expect("metrics");
        assert_eq!(metrics.generated_tokens, 40);
        assert_eq!(metrics.finish_reason, Some(FinishReason::MaxTokens));
        assert_eq!(metrics.context_used, conversation.context().0);
        assert_eq!(metrics.reused_tokens, reused_tokens);
        assert!(metrics.decode_tokens_per_second.is_some_and(|rate| rate > 0.0));
        assert!(metrics.kv_bytes > 0 && metrics.weight_bytes > 0 && !metrics.generating);
    }
    assert!(
        session.metrics().expect("metrics").reused_tokens > 40,
        "the second question pays for itself alone"
    );
}

#[test]
fn a_completion_stands_beside_the_conversation() {
    let engine = engine();
    let (session, other) = (session(&engine), session(&engine));
    let complete = |session: &Arc<EngineSession>| {
        let request = Request::Complete("once upon".into());
        read(&session.generate(request, options(20), SamplerSettings::greedy()).expect("a stream"))
    };
    let first = read(&ask(&session, 10).expect("a stream"));
    let completion = complete(&session);
    assert_eq!(completion, complete(&other), "it depends on its prompt alone");
    let second = read(&ask(&session, 10).expect("a stream"));
    assert_eq!(first, read(&ask(&other, 10).expect("a stream")), "and leaves no trace in a conversation");
    assert_eq!(second, read(&ask(&other, 10).expect("a stream")));
}

#[test]
fn a_suspended_answer_goes_on_as_if_nothing_had_been() {
    let engine = engine();
    let whole = read(&ask(&session(&engine), 200).expect("a stream"));
    let session = session(&engine);
    let stream = ask(&session, 200).expect("a stream");
    let first = stream.next_blocking().expect("no error").expect("a token");
    session.suspend().expect("an open session");
    session.suspend().expect("twice does no harm");
    assert_eq!(kind(ask(&session, 5)), ErrorKind::Suspended);
    let mut ids = first.token_ids;
    let at = || session.metrics().expect("metrics").generated_tokens;
    wait_until("the engine is held", || {
        let before = at();
        thread::sleep(Duration::from_millis(20));
        at() == before
    });
    let held = at();
    assert!(held < 200 && session.metrics().expect("metrics").suspended);
    thread::sleep(Duration::from_millis(60));
    assert_eq!(at(), held, "a token was computed while suspended");
    session.set_precision(Precision::E5M6).expect("it works while suspended");
    session.resume().expect("an open session");
    ids.extend(read(&stream).0);
    assert_eq!(ids, whole.0);
    let rate = session.metrics().expect("metrics").decode_tokens_per_second.expect("a rate");
    assert!(rate > 200.0 / 20.0, "{rate}");
}

#[test]
fn a_suspended_answer_can_be_cancelled_reset_and_closed() {
    let engine = engine();
    let ends: [fn(&EngineSession, &TokenStream); 3] = [
        |_, stream| stream.cancel(),
        |session, _| session.reset(Vec::new()).expect("an open session"),
        |session, _| session.close(),
    ];
    for (index, end) in ends.into_iter().enumerate() {
        let session = session(&engine);
        let stream = ask(&session, 300).expect("a stream");
        stream.next_blocking().expect("no error");
        session.suspend().expect("an open session");
        end(&session, &stream);
        let mut last = Ok(None);
        while let Ok(Some(batch)) = stream.next_blocking() {
            last = Ok(batch.finish_reason);
        }
        if index == 2 {
            last = Err(());
            assert_eq!(kind(session.metrics()), ErrorKind::Closed);
        } else {
            wait_until("the engine stops", || !session.metrics().expect("metrics").generating);
        }
        let cancelled = if index == 2 { Err(()) } else { Ok(Some(FinishReason::Cancelled)) };
        assert_eq!(last, cancelled, "{index}");
    }
}

#[test]
fn a_profile_changes_with_the_next_token_and_signals_cap_it() {
    let engine = engine();
    let session = session(&engine);
    let stream = ask(&session, 300).expect("a stream");
    let profile = |stream: &TokenStream| stream.next_blocking().expect("no error").expect("a token").profile;
    let mixed: PrecisionProfile = "3,head=8,layers.0=6".parse().expect("a profile");
    assert_eq!(profile(&stream), Precision::E5M6.into());
    assert_eq!(session.set_profile(&mixed).expect("a profile of the model"), mixed);
    assert!((0..MOST_UNREAD + 2).any(|_| profile(&stream) == mixed));

    let beyond = "3,layers.9=4".parse::<PrecisionProfile>().expect("a profile");
    let error = session.set_profile(beyond).expect_err("no such layer");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("layer 9"), "{error}");

    let highest = session.metrics().expect("metrics");
    let decision = session.signal(Signal::Thermal(Thermal::Critical)).expect("an open session");
    let capped = mixed.capped(decision.precision);
    assert!(decision.changed && capped != mixed, "{decision:?}");
    assert!((0..MOST_UNREAD + 2).any(|_| profile(&stream) == capped));
    let metrics = session.metrics().expect("metrics");
    assert_eq!((metrics.profile, metrics.wanted_profile), (capped, mixed));
    assert!(metrics.weight_bytes_per_token < highest.weight_bytes_per_token);
}

#[test]
fn the_precision_changes_with_the_next_token_and_signals_hold_it_down() {
    let engine = engine();
    let options = SessionOptions {
        profile: Precision::E5M8.into(),
        bounds: (Precision::E5M4, Precision::E5M8),
        ..SessionOptions::default()
    };
    let session = engine.session(options).expect("a session");
    let stream = ask(&session, 300).expect("a stream");
    let precision =
        |stream: &TokenStream| stream.next_blocking().expect("no error").expect("a token").profile.max();
    assert_eq!(precision(&stream), Precision::E5M8);
    assert_eq!(session.set_precision(Precision::E5M5).expect("inside of the bounds"), Precision::E5M5);
    // What was computed before waits unread, at most this many batches of it.
    assert!((0..MOST_UNREAD + 2).any(|_| precision(&stream) == Precision::E5M5));
    assert_eq!(kind(session.set_precision(Precision::E5M3)), ErrorKind::InvalidArgument);

    let highest = session.metrics().expect("metrics").weight_bytes;
    let decision = session.signal(Signal::Memory(MemoryPressure::Critical)).expect("an open session");
    assert_eq!((decision.precision, decision.changed, decision.trim), (Precision::E5M4, true, true));
    assert!((0..MOST_UNREAD + 2).any(|_| precision(&stream) == Precision::E5M4));
    stream.cancel();
    wait_until("the engine stops", || !session.metrics().expect("metrics").generating);
    session.signal(Signal::Memory(MemoryPressure::Normal)).expect("an open session");
    session.signal(Signal::Thermal(Thermal::Critical)).expect("an open session");
    let metrics = session.metrics().expect("metrics");
    assert_eq!((metrics.profile, metrics.wanted_profile), (Precision::E5M4.into(), Precision::E5M5.into()));
    assert!(metrics.last_decision.is_some_and(|reason| reason.starts_with("thermal state critical")));
    assert!(metrics.weight_bytes < highest, "planes above were given back");
    assert!(engine.diagnostics().contains("thermal state critical"), "{}", engine.diagnostics());
}
