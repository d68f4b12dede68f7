//! Opened and closed, over and over: by anybody, at any moment, and without a trace. One test, as it
//! looks at the memory of the process.
#![cfg(target_os = "linux")]

mod support;

use std::{fs, sync::Arc, thread, time::Duration};

use otaro_ffi::{ErrorKind, Metrics, OpenOptions, TokenStream};
use support::{ask, in_time, kind, model, on_cpu, opened, read, session, source, wait_until};

/// Megabytes that the process may have grown by in the end: pages that the allocator keeps.
const SLACK_MB: u64 = 6;

#[test]
fn nothing_is_left_behind() {
    closed_handles_say_so();
    closing_while_an_answer_comes();
    handles_may_go_in_any_order();
    a_thousand_times_and_no_more_memory();
}

fn closed_handles_say_so() {
    let model = model();
    let session = session(&model);
    let stream = ask(&session, 400);
    stream.next_blocking().expect("no error");
    let closers: Vec<_> = (0..4)
        .map(|index| {
            let (model, session) = (Arc::clone(&model), Arc::clone(&session));
            thread::spawn(move || if index % 2 == 0 { model.close() } else { session.close() })
        })
        .collect();
    closers.into_iter().for_each(|closer| closer.join().expect("no panic"));
    model.close();
    session.close();
    assert_eq!(kind(model.info()), ErrorKind::Closed);
    assert_eq!(kind(model.trim(3)), ErrorKind::Closed);
    assert_eq!(kind(model.diagnostics()), ErrorKind::Closed);
    assert_eq!(kind(model.session(otaro_ffi::SessionOptions::default())), ErrorKind::Closed);
    assert_eq!(kind(session.ask("x".into(), support::greedy(1))), ErrorKind::Closed);
    assert_eq!(kind(session.complete("x".into(), support::greedy(1))), ErrorKind::Closed);
    assert_eq!(kind(session.set_precision(3)), ErrorKind::Closed);
    assert_eq!(kind::<Metrics>(session.metrics()), ErrorKind::Closed);
    for result in [session.trim(), session.suspend(), session.resume(), session.reset(Vec::new())] {
        assert_eq!(kind(result), ErrorKind::Closed);
    }
    let end = end_of(&stream);
    assert!(end.is_none() || end == Some(ErrorKind::Closed), "{end:?}");
    stream.cancel();
    assert_eq!(stream.next_blocking().expect("once"), None);
}

/// A reader waits on one thread, another closes.
fn closing_while_an_answer_comes() {
    for delay in 0..20 {
        let session = session(&model());
        let stream = ask(&session, 480);
        let reader = thread::spawn(move || end_of(&stream));
        thread::sleep(Duration::from_millis(delay));
        session.close();
        let end = reader.join().expect("no panic");
        assert!(end.is_none() || end == Some(ErrorKind::Closed), "{end:?}");
    }
}

fn handles_may_go_in_any_order() {
    let model = model();
    let session = session(&model);
    model.close();
    drop(model);
    let stream = ask(&session, 20);
    assert_eq!(read(&stream).token_ids.len(), 20, "a session keeps what it needs");
    let stream = ask(&session, 20);
    drop(session);
    assert_eq!(read(&stream).token_ids.len(), 20, "and so does a stream");
    in_time("the close", || {
        let session = support::session(&support::model());
        let stream = ask(&session, 480);
        stream.next_blocking().expect("no error");
        session.close();
        drop(session);
        end_of(&stream) == Some(ErrorKind::Closed)
    });
}

/// The error that a stream ends with, if it does.
fn end_of(stream: &TokenStream) -> Option<ErrorKind> {
    loop {
        match pollster::block_on(stream.next()) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error.kind()),
        }
    }
}

fn a_thousand_times_and_no_more_memory() {
    let cycle = |index: usize| {
        let options = OpenOptions { threads: Some(1 + index as u32 % 2), ..on_cpu() };
        let model = opened(source(), options).expect("a model");
        let session = session(&model);
        match index % 4 {
            0 => drop(read(&ask(&session, 4))),
            1 => drop(ask(&session, 400)),
            2 => {
                let stream = ask(&session, 400);
                stream.next_blocking().expect("no error");
                session.close();
            }
            _ => {}
        }
        model.close();
    };
    let settled = || wait_until("threads end", || threads() < 8);
    (0..50).for_each(cycle);
    settled();
    let before = resident_mb();
    (0..1000).for_each(cycle);
    settled();
    let after = resident_mb();
    assert!(after <= before + SLACK_MB, "from {before} MB to {after} MB");
    assert!(descriptors() < 40, "{} descriptors are open", descriptors());
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

fn resident_mb() -> u64 {
    status("VmRSS:") / 1024
}

fn threads() -> u64 {
    status("Threads:")
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("a Linux system").count()
}
