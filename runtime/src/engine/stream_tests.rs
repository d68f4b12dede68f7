use std::thread;

use sefp::Precision;

use super::*;

fn token(id: u32, text: &str) -> Token {
    Token { id, text: text.to_owned() }
}

fn new() -> (Writer, TokenStream) {
    stream(Gate::new(), Precision::E5M6.into(), None)
}

fn batch(text: &str, ids: &[u32], finish_reason: Option<FinishReason>) -> TokenBatch {
    TokenBatch { text: text.into(), token_ids: ids.into(), profile: Precision::E5M6.into(), finish_reason }
}

#[test]
fn the_first_token_goes_at_once_and_the_rest_gathers() {
    let (writer, stream) = new();
    for (id, text) in [(1, "a"), (2, "b"), (3, "c")] {
        assert!(writer.push(&token(id, text), &Precision::E5M6.into()));
    }
    assert_eq!(stream.next_blocking().expect("no error"), Some(batch("a", &[1], None)));
    writer.finish(FinishReason::Eos);
    let last = batch("bc", &[2, 3], Some(FinishReason::Eos));
    assert_eq!(stream.next_blocking().expect("no error"), Some(last));
    assert_eq!(stream.next_blocking().expect("no error"), None);
    assert_eq!(stream.next_blocking().expect("no error"), None);
}

#[test]
fn batches_are_as_long_as_they_should_be() {
    let start = Instant::now();
    // Milliseconds between tokens, and how many tokens the batches after the first one have.
    for (between, tokens) in [(1, 29), (2, 14), (10, 2), (16, 1), (40, 1), (500, 1)] {
        let mut pace = Pace::default();
        let times = (0..200).map(|index| start + Duration::from_millis(between * index));
        let left: Vec<_> =
            times.enumerate().filter(|&(_, now)| pace.leaves(now)).map(|(index, _)| index).collect();
        assert_eq!(left[0], 0);
        assert!(left.windows(2).all(|pair| pair[1] - pair[0] == tokens), "{between} ms: {left:?}");
    }
}

#[test]
fn a_batch_has_one_profile() {
    let (writer, stream) = new();
    for (id, profile) in [(1, "6"), (2, "6"), (3, "3,head=6"), (4, "3,head=6"), (5, "3")] {
        assert!(writer.push(&token(id, ""), &profile.parse().expect("a profile")));
    }
    writer.finish(FinishReason::MaxTokens);
    let mut batches = Vec::new();
    while let Some(batch) = stream.next_blocking().expect("no error") {
        batches.push((batch.token_ids, batch.profile.to_string()));
    }
    let profiles = ["E5M6", "E5M6", "3,head=6", "E5M3"].map(String::from);
    let ids = [vec![1], vec![2], vec![3, 4], vec![5]];
    assert!(batches.into_iter().eq(ids.into_iter().zip(profiles)));
}

#[test]
fn cancel_wakes_whoever_waits_and_unread_text_is_not_lost() {
    let (writer, stream) = new();
    let waiting = thread::spawn({
        let stream = stream.clone();
        move || stream.next_blocking()
    });
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    stream.cancel();
    let cancelled = waiting.join().expect("no panic").expect("no error");
    assert_eq!(cancelled, Some(batch("", &[], Some(FinishReason::Cancelled))));
    assert!(start.elapsed() < Duration::from_millis(100));
    assert!(writer.cancel_token().is_cancelled() && writer.is_ended());
    assert!(!writer.push(&token(1, "late"), &Precision::E5M6.into()));
    assert_eq!(stream.next_blocking().expect("no error"), None);

    let (writer, stream) = new();
    writer.push(&token(1, "a"), &Precision::E5M6.into());
    writer.push(&token(2, "b"), &Precision::E5M6.into());
    stream.cancel();
    stream.cancel();
    assert_eq!(stream.next_blocking().expect("no error"), Some(batch("a", &[1], None)));
    let rest = batch("b", &[2], Some(FinishReason::Cancelled));
    assert_eq!(pollster::block_on(stream.next()).expect("no error"), Some(rest));
}

#[test]
fn an_error_comes_after_what_was_computed_before_it_and_once() {
    let (writer, stream) = new();
    writer.push(&token(1, "a"), &Precision::E5M6.into());
    writer.push(&token(2, "b"), &Precision::E5M6.into());
    writer.fail(Error::new(ErrorKind::Device, "lost"));
    assert_eq!(stream.next_blocking().expect("no error"), Some(batch("a", &[1], None)));
    assert_eq!(stream.next_blocking().expect("no error"), Some(batch("b", &[2], None)));
    assert_eq!(stream.next_blocking().expect_err("the error").kind(), ErrorKind::Device);
    assert_eq!(stream.next_blocking().expect("no error"), None);
}

#[test]
fn the_worker_waits_for_a_slow_reader_and_is_freed_by_cancel() {
    let (writer, stream) = new();
    let worker = thread::spawn(move || {
        let mut pushed = 0;
        // Every token a batch of its own.
        while writer.push(&token(pushed, "x"), &Precision::ALL[pushed as usize % 2].into()) {
            pushed += 1;
        }
        pushed
    });
    thread::sleep(Duration::from_millis(50));
    assert!(!worker.is_finished());
    for _ in 0..3 {
        assert!(stream.next_blocking().expect("no error").is_some());
    }
    thread::sleep(Duration::from_millis(50));
    assert!(!worker.is_finished());
    drop(stream);
    let pushed = worker.join().expect("no panic") as usize;
    assert!((MOST_UNREAD..=MOST_UNREAD + 4).contains(&pushed), "{pushed} tokens beyond the reader");
}

#[test]
fn each_batch_goes_to_one_of_several_readers() {
    let (writer, stream) = new();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let stream = stream.clone();
            thread::spawn(move || {
                let mut ids = Vec::new();
                while let Some(batch) = stream.next_blocking().expect("no error") {
                    ids.extend(batch.token_ids);
                }
                ids
            })
        })
        .collect();
    for id in 0..500 {
        assert!(writer.push(&token(id, ""), &Precision::ALL[id as usize % 2].into()));
    }
    writer.finish(FinishReason::MaxTokens);
    let mut ids: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().expect("no panic")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..500).collect::<Vec<_>>());
}
