//! Sessions from their beginning to their end.

use super::*;
use crate::{
    Message, Precision, Role,
    generate::test_models::{CONTEXT, tiny},
    governor::Signal,
};

#[test]
fn a_session_does_one_thing_after_the_other() {
    let engine = engine();
    let session = session(&engine);
    let stream = ask(&session, 300).expect("a stream");
    assert_eq!(kind(ask(&session, 5)), ErrorKind::Busy);
    stream.cancel();
    let next = ask(&session, 5).expect("the cancelled answer does not stand in the way");
    assert_eq!(read(&next).2, Some(FinishReason::MaxTokens));
    drop(ask(&session, 300).expect("an answer that was read to its end neither"));
    assert_eq!(read(&ask(&session, 5).expect("nor a dropped one")).2, Some(FinishReason::MaxTokens));
    assert_eq!(read(&stream).2, Some(FinishReason::Cancelled));
}

#[test]
fn a_reset_forgets_and_a_restored_conversation_is_the_same() {
    let engine = engine();
    let first = session(&engine);
    let (_, answer, _) = read(&ask(&first, 10).expect("a stream"));
    let expected = read(&ask(&first, 10).expect("a stream"));
    let messages = vec![Message::new(Role::User, "a question"), Message::new(Role::Assistant, answer)];
    let restored = engine
        .session(SessionOptions { messages: messages.clone(), ..SessionOptions::default() })
        .expect("a session");
    assert_eq!(read(&ask(&restored, 10).expect("a stream")).0.len(), expected.0.len());
    let running = ask(&first, 300).expect("a stream");
    first.reset(messages).expect("an open session");
    assert_eq!(read(&running).2, Some(FinishReason::Cancelled));
    wait_until("it is forgotten", || first.metrics().expect("metrics").context_used == 0);
    assert_eq!(read(&ask(&first, 10).expect("a stream")).2, Some(FinishReason::MaxTokens));

    let plain = Engine::with_model(tiny(None, &[])).expect("an engine");
    let options = SessionOptions {
        messages: vec![Message::new(Role::System, "be brief")],
        ..SessionOptions::default()
    };
    assert_eq!(kind(plain.session(options.clone())), ErrorKind::InvalidArgument);
    assert_eq!(kind(session(&plain).reset(options.messages)), ErrorKind::InvalidArgument);
}

#[test]
fn options_out_of_range_are_errors_at_once_and_a_full_context_at_its_time() {
    let engine = engine();
    let with = |options: SessionOptions| engine.session(options);
    let bounds = (Precision::E5M7, Precision::E5M8);
    assert_eq!(
        kind(with(SessionOptions { bounds, ..SessionOptions::default() })),
        ErrorKind::InvalidArgument
    );
    let none = SessionOptions { context_length: Some(0), ..SessionOptions::default() };
    assert_eq!(kind(with(none)), ErrorKind::InvalidArgument);
    let session =
        with(SessionOptions { context_length: Some(40), ..SessionOptions::default() }).expect("a session");
    let stop = GenerateOptions { stop: vec![String::new()], ..options(5) };
    let question = || Request::Ask("a".into());
    let settings = SamplerSettings::default();
    assert_eq!(kind(session.generate(question(), stop, settings.clone())), ErrorKind::InvalidArgument);
    let hot = SamplerSettings { temperature: -1.0, ..settings };
    assert_eq!(kind(session.generate(question(), options(5), hot)), ErrorKind::InvalidArgument);
    assert_eq!(read(&ask(&session, CONTEXT).expect("a stream")).2, Some(FinishReason::Context));
    let metrics = session.metrics().expect("metrics");
    assert_eq!((metrics.context_used, metrics.context_length), (40, 40));
    let long = Request::Ask("word ".repeat(100));
    let stream = session.generate(long, options(5), SamplerSettings::default()).expect("a stream");
    assert_eq!(kind(stream.next_blocking()), ErrorKind::ContextFull);
    assert!(engine.diagnostics().contains("ContextFull"), "{}", engine.diagnostics());
}

#[test]
fn a_closed_session_says_so_and_lets_go_of_its_model() {
    let engine = engine();
    let session = session(&engine);
    let stream = ask(&session, 300).expect("a stream");
    stream.next_blocking().expect("no error");
    let closers: Vec<_> = (0..3)
        .map(|_| {
            let session = Arc::clone(&session);
            thread::spawn(move || session.close())
        })
        .collect();
    closers.into_iter().for_each(|closer| closer.join().expect("no panic"));
    let error = loop {
        match stream.next_blocking() {
            Ok(batch) => assert!(batch.expect("an error first").finish_reason.is_none()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(stream.next_blocking().expect("once"), None);
    assert_eq!(kind(ask(&session, 5)), ErrorKind::Closed);
    assert_eq!(kind(session.set_precision(Precision::E5M3)), ErrorKind::Closed);
    assert_eq!(kind(session.signal(Signal::BatterySaver(true))), ErrorKind::Closed);
    for result in [session.trim(), session.suspend(), session.resume(), session.reset(Vec::new())] {
        assert_eq!(kind(result), ErrorKind::Closed);
    }
}

#[test]
fn a_panic_on_the_thread_of_a_session_is_an_error_and_ends_that_session_alone() {
    let engine = hooked(|| panic!("plane 9 of token 7"));
    let broken = session(&engine);
    let stream = ask(&broken, 5).expect("a stream");
    let error = stream.next_blocking().expect_err("a panic");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert!(error.to_string().contains("plane 9 of token 7"), "{error}");
    assert_eq!(stream.next_blocking().expect("once"), None);
    assert_eq!(kind(ask(&broken, 5)), ErrorKind::Panicked);
    assert_eq!(kind(broken.metrics()), ErrorKind::Panicked);
    broken.close();
    assert!(engine.diagnostics().contains("plane 9 of token 7"), "{}", engine.diagnostics());
    assert!(engine.session(SessionOptions::default()).is_ok(), "the model lives on");
}
