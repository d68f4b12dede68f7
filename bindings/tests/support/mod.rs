//! What the tests share: the model that ships, and how to read a stream to its end.

#![allow(dead_code, reason = "every test uses some of it")]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use otaro_ffi::{
    DeviceChoice, ErrorKind, FinishReason, GenerationOptions, Model, ModelSource, OpenOptions, OtaroError,
    SamplerOptions, Session, SessionOptions, TokenStream, open,
};

/// The model that ships: 4.5 MB, a context of 512 tokens.
pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/storyteller-4m.sefp.safetensors");

pub const QUESTION: &str = "Tell me a story about a dog and a ball.";

pub fn source() -> ModelSource {
    ModelSource::Path { path: MODEL.into() }
}

pub fn on_cpu() -> OpenOptions {
    OpenOptions { device: DeviceChoice::Cpu, ..OpenOptions::default() }
}

pub fn model() -> Arc<Model> {
    opened(source(), on_cpu()).expect("the model that ships")
}

pub fn opened(source: ModelSource, options: OpenOptions) -> Result<Arc<Model>, OtaroError> {
    open(source, options)?.model_blocking()
}

pub fn session(model: &Model) -> Arc<Session> {
    model.session(SessionOptions::default()).expect("a session")
}

/// Always the best token, and no end before `max_tokens`.
pub fn greedy(max_tokens: u32) -> GenerationOptions {
    let sampler = SamplerOptions { temperature: 0.0, ..SamplerOptions::default() };
    GenerationOptions { max_tokens, sampler: Some(sampler), ignore_eos: true, ..GenerationOptions::default() }
}

pub fn ask(session: &Session, max_tokens: u32) -> Arc<TokenStream> {
    session.ask(QUESTION.into(), greedy(max_tokens)).expect("a stream")
}

/// Everything of a stream.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    pub text: String,
    pub token_ids: Vec<u32>,
    /// The precision of each token.
    pub mantissa_bits: Vec<u32>,
    pub batches: usize,
    pub finish_reason: Option<FinishReason>,
}

pub fn read(stream: &TokenStream) -> Answer {
    let mut answer = Answer::default();
    while let Some(batch) = stream.next_blocking().expect("no error") {
        assert!(answer.finish_reason.is_none(), "a batch after the end");
        answer.text += &batch.text;
        answer.mantissa_bits.extend(batch.token_ids.iter().map(|_| batch.mantissa_bits));
        answer.token_ids.extend(batch.token_ids);
        answer.batches += 1;
        answer.finish_reason = batch.finish_reason;
    }
    answer
}

pub fn kind<T: std::fmt::Debug>(result: Result<T, OtaroError>) -> ErrorKind {
    result.expect_err("an error").kind()
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

pub fn quiescent(session: &Session) -> bool {
    !session.metrics().expect("metrics").generating
}

/// Tries until an attempt came to its point before the engine, which is fast, was at its end.
pub fn in_time(what: &str, mut attempt: impl FnMut() -> bool) {
    assert!((0..50).any(|_| attempt()), "never in time: {what}");
}
