//! Answers as they come: text, batches, cancel, precision, suspension.

mod support;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use otaro_ffi::{
    ChatMessage, ErrorKind, FinishReason, GenerationOptions, MemoryPressure, Role, SamplerOptions,
    SessionOptions, Signal, ThermalState,
};
use support::{QUESTION, ask, greedy, in_time, kind, model, quiescent, read, session, wait_until};

#[test]
fn an_answer_is_text_that_the_model_ends() {
    let model = model();
    let session = session(&model);
    let sampler = SamplerOptions { seed: Some(1), ..SamplerOptions::default() };
    let options = GenerationOptions { sampler: Some(sampler), ..GenerationOptions::default() };
    let answer = read(&session.ask("Hello! Who are you?".into(), options.clone()).expect("a stream"));
    assert_eq!(answer.finish_reason, Some(FinishReason::EndOfText));
    assert!(answer.text.len() > 10 && answer.text.is_ascii(), "{}", answer.text);
    assert!(answer.batches <= answer.token_ids.len() + 1);
    let again = support::session(&model);
    let same = read(&again.ask("Hello! Who are you?".into(), options).expect("a stream"));
    assert_eq!(answer.text, same.text, "the same seed, the same answer");

    let metrics = session.metrics().expect("metrics");
    assert_eq!(metrics.generated_tokens as usize, answer.token_ids.len());
    assert_eq!((metrics.mantissa_bits, metrics.wanted_mantissa_bits), (6, 6));
    assert!(metrics.context_used > metrics.prompt_tokens && metrics.context_length == 512);
    assert!(metrics.first_token_ms > 0.0 && metrics.prefill_tokens_per_second.is_some());
    let next = read(&session.ask("Do you like dogs?".into(), greedy(5)).expect("a stream"));
    assert_eq!(next.finish_reason, Some(FinishReason::MaxTokens));
    assert!(session.metrics().expect("metrics").reused_tokens > 10, "the past is not computed again");
}

#[test]
fn seeds_are_others_each_time_unless_they_are_given() {
    let model = model();
    let hot = SamplerOptions { temperature: 1.5, top_p: 1.0, ..SamplerOptions::default() };
    let answers: Vec<_> = (0..4)
        .map(|_| {
            let options = GenerationOptions {
                max_tokens: 30,
                ignore_eos: true,
                sampler: Some(hot.clone()),
                ..GenerationOptions::default()
            };
            read(&session(&model).ask(QUESTION.into(), options).expect("a stream")).token_ids
        })
        .collect();
    assert!(answers.iter().any(|answer| *answer != answers[0]));
}

#[test]
fn the_first_token_comes_alone_and_the_others_in_batches() {
    let stream = ask(&session(&model()), 400);
    let first = stream.next_blocking().expect("no error").expect("a token");
    assert_eq!(first.token_ids.len(), 1);
    let answer = read(&stream);
    assert_eq!(answer.token_ids.len(), 399);
    assert!(answer.batches < 399, "each token crossed by itself");
}

#[test]
fn stop_strings_and_completions() {
    let session = session(&model());
    let whole = read(&session.complete("Once upon a time".into(), greedy(40)).expect("a stream"));
    let stop = whole.text.split_whitespace().nth(5).expect("words").to_owned();
    let options = GenerationOptions { stop: vec![stop.clone()], ..greedy(40) };
    let stopped = read(&session.complete("Once upon a time".into(), options).expect("a stream"));
    assert_eq!(stopped.finish_reason, Some(FinishReason::StopString));
    assert_eq!(stopped.text, whole.text[..whole.text.find(&stop).expect("the word")]);
    let empty = GenerationOptions { stop: vec![String::new()], ..greedy(40) };
    assert_eq!(kind(session.complete("x".into(), empty)), ErrorKind::InvalidArgument);
}

#[test]
fn signals_change_the_precision_of_the_next_token() {
    let session = session(&model());
    let cases = [
        (Signal::Memory { level: MemoryPressure::Moderate }, 4, true),
        (Signal::Memory { level: MemoryPressure::Critical }, 3, true),
        (Signal::Thermal { state: ThermalState::Nominal }, 3, false),
        (Signal::BatterySaver { on: true }, 3, false),
    ];
    for (signal, bits, trimmed) in cases {
        let decision = session.signal(signal).expect("an open session");
        assert_eq!((decision.mantissa_bits, decision.trimmed), (bits, trimmed), "{decision:?}");
    }
    let answer = read(&ask(&session, 20));
    assert!(answer.mantissa_bits.iter().all(|&bits| bits == 3), "{:?}", answer.mantissa_bits);
    let metrics = session.metrics().expect("metrics");
    assert_eq!((metrics.mantissa_bits, metrics.wanted_mantissa_bits), (3, 6));
    assert!(metrics.last_decision.is_some_and(|reason| reason.contains("battery saver on")));
}

#[test]
fn two_readers_share_an_answer() {
    let model = model();
    let expected = read(&ask(&session(&model), 200)).token_ids;
    let stream = ask(&session(&model), 200);
    let readers: Vec<_> = (0..2)
        .map(|reader| {
            let stream = Arc::clone(&stream);
            thread::spawn(move || {
                let mut ids = Vec::new();
                let next = || match reader {
                    0 => stream.next_blocking(),
                    _ => pollster::block_on(stream.next()),
                };
                while let Some(batch) = next().expect("no error") {
                    ids.extend(batch.token_ids);
                }
                ids
            })
        })
        .collect();
    let mut ids: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().expect("no panic")).collect();
    let mut expected = expected;
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[test]
fn conversations_begin_and_begin_again() {
    let model = model();
    let message = |role, content: &str| ChatMessage { role, content: content.into() };
    let history = vec![message(Role::User, "Hello!"), message(Role::Assistant, "Hi there!")];
    let options = SessionOptions { messages: history.clone(), ..SessionOptions::default() };
    let restored = model.session(options).expect("a session");
    let first = read(&ask(&restored, 20));
    let used = restored.metrics().expect("metrics").context_used;
    let fresh = session(&model);
    read(&ask(&fresh, 20));
    assert!(used > fresh.metrics().expect("metrics").context_used, "the past is in the prompt");
    fresh.reset(history).expect("an open session");
    wait_until("it is forgotten", || fresh.metrics().expect("metrics").context_used == 0);
    assert_eq!(read(&ask(&fresh, 20)).token_ids, first.token_ids, "as if it had begun like that");
}

#[test]
fn a_full_context_ends_an_answer_and_a_longer_question_is_an_error() {
    let model = model();
    let options = SessionOptions { context_length: Some(64), ..SessionOptions::default() };
    let session = model.session(options).expect("a session");
    assert_eq!(read(&ask(&session, 400)).finish_reason, Some(FinishReason::ContextFull));
    let stream = session.ask("and a cat ".repeat(60), greedy(5)).expect("a stream");
    assert_eq!(kind(stream.next_blocking()), ErrorKind::ContextFull);
    assert_eq!(stream.next_blocking().expect("once"), None);
    assert!(session.diagnostics().expect("text").contains("ContextFull"));
    session.reset(Vec::new()).expect("an open session");
    assert_eq!(read(&ask(&session, 5)).finish_reason, Some(FinishReason::MaxTokens));
}

#[test]
fn the_precision_changes_in_the_middle_of_an_answer() {
    let model = model();
    in_time("the switch", || {
        let options = SessionOptions { mantissa_bits: 8, ..SessionOptions::default() };
        let session = model.session(options).expect("a session");
        let stream = ask(&session, 480);
        let first = stream.next_blocking().expect("no error").expect("a token");
        assert_eq!(first.mantissa_bits, 8);
        let other = Arc::clone(&session);
        let switched = thread::spawn(move || other.set_precision(3)).join().expect("no panic");
        assert_eq!(switched.expect("the file has it"), 3);
        assert_eq!(session.metrics().expect("metrics").mantissa_bits, 3);
        let answer = read(&stream);
        assert_eq!(answer.token_ids.len(), 479);
        assert!(answer.mantissa_bits.is_sorted_by(|a, b| a >= b), "{:?}", answer.mantissa_bits);
        answer.mantissa_bits.last() == Some(&3)
    });
    let session = session(&model);
    assert_eq!(kind(session.set_precision(9)), ErrorKind::InvalidArgument);
    let narrow = SessionOptions { min_mantissa_bits: 5, max_mantissa_bits: 7, ..SessionOptions::default() };
    let narrow = model.session(narrow).expect("a session");
    for bits in [4, 8] {
        assert_eq!(kind(narrow.set_precision(bits)), ErrorKind::InvalidArgument);
    }
}

/// The best of several: other work of the machine is not what is measured.
#[test]
fn a_cancel_wakes_the_reader_and_the_engine_is_quiescent_soon() {
    let session = session(&model());
    let mut best = Duration::MAX;
    let mut cancelled = 0;
    in_time("the cancels", || {
        session.reset(Vec::new()).expect("an open session");
        let stream = ask(&session, 480);
        stream.next_blocking().expect("no error");
        let reader = thread::spawn({
            let stream = Arc::clone(&stream);
            move || (read(&stream).finish_reason, Instant::now())
        });
        let start = Instant::now();
        stream.cancel();
        stream.cancel();
        wait_until("the engine stops", || quiescent(&session));
        let stopped = start.elapsed();
        let (reason, at) = reader.join().expect("no panic");
        if reason == Some(FinishReason::Cancelled) {
            best = best.min(at.saturating_duration_since(start).max(stopped));
            cancelled += 1;
        }
        cancelled == 5
    });
    assert!(best < LATENCY, "{best:?}");
    session.reset(Vec::new()).expect("an open session");
    assert_eq!(read(&ask(&session, 5)).finish_reason, Some(FinishReason::MaxTokens), "it goes on well");
}

#[test]
fn a_long_prompt_can_be_cancelled_before_its_first_token() {
    let session = session(&model());
    let prompt = "The dog and the ball. ".repeat(60);
    let mut best = Duration::MAX;
    in_time("the cancel", || {
        let stream = session.complete(prompt.clone(), greedy(5)).expect("a stream");
        let start = Instant::now();
        stream.cancel();
        let end = pollster::block_on(stream.next()).expect("no error").expect("an end");
        assert!(end.finish_reason.is_some() || !end.token_ids.is_empty());
        wait_until("the engine stops", || quiescent(&session));
        best = best.min(start.elapsed());
        end.token_ids.is_empty() && end.finish_reason == Some(FinishReason::Cancelled) && best < LATENCY
    });
    assert!(best < LATENCY, "{best:?}");
}

/// From a cancel until the engine is quiescent.
const LATENCY: Duration = Duration::from_millis(150);

#[test]
fn a_stream_that_is_dropped_unread_frees_the_engine() {
    let session = session(&model());
    in_time("the drop", || {
        session.reset(Vec::new()).expect("an open session");
        drop(ask(&session, 490));
        wait_until("it is free again", || quiescent(&session));
        session.metrics().expect("metrics").generated_tokens < 490
    });
    in_time("the second question", || {
        session.reset(Vec::new()).expect("an open session");
        let _stream = ask(&session, 490);
        session.ask("more".into(), greedy(1)).is_err_and(|error| error.kind() == ErrorKind::Busy)
    });
    session.reset(Vec::new()).expect("an open session");
    assert_eq!(read(&ask(&session, 5)).finish_reason, Some(FinishReason::MaxTokens));
}

#[test]
fn an_answer_survives_the_background() {
    let model = model();
    let expected = read(&ask(&session(&model), 480));
    in_time("the suspension", || {
        let session = session(&model);
        let stream = ask(&session, 480);
        let mut ids = stream.next_blocking().expect("no error").expect("a token").token_ids;
        session.suspend().expect("an open session");
        assert_eq!(kind(session.ask("more".into(), greedy(1))), ErrorKind::Suspended);
        thread::sleep(Duration::from_millis(50));
        let held = session.metrics().expect("metrics");
        assert!(held.suspended);
        session.resume().expect("an open session");
        ids.extend(read(&stream).token_ids);
        assert_eq!(ids, expected.token_ids);
        held.generating && held.generated_tokens < 480
    });
}
