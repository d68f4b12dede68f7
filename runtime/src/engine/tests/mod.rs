//! Engines over a tiny random model: what crosses threads, and what becomes of it.

mod answers;
mod hooked;
mod opening;
mod sessions;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use self::hooked::hooked;
use super::*;
use crate::{ErrorKind, FinishReason, GenerateOptions, Result, SamplerSettings};

/// Slow enough that 300 tokens are not over before the next line of a test.
fn engine() -> Engine {
    hooked(|| thread::sleep(Duration::from_millis(1)))
}

fn session(engine: &Engine) -> Arc<EngineSession> {
    engine.session(SessionOptions::default()).expect("a session")
}

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, ignore_eos: true, ..GenerateOptions::default() }
}

fn ask(session: &Arc<EngineSession>, max_tokens: usize) -> Result<TokenStream> {
    let question = Request::Ask("a question".into());
    session.generate(question, options(max_tokens), SamplerSettings::default())
}

/// Ids, text and end of a stream.
fn read(stream: &TokenStream) -> (Vec<u32>, String, Option<FinishReason>) {
    let (mut ids, mut text, mut end) = (Vec::new(), String::new(), None);
    while let Some(batch) = stream.next_blocking().expect("no error") {
        assert!(end.is_none(), "a batch after the end");
        ids.extend(batch.token_ids);
        text += &batch.text;
        end = batch.finish_reason;
    }
    (ids, text, end)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}
