//! Sessions over a tiny random model: what crosses threads, and what becomes of it.

use std::{
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    Backend, Batch, Conversation, Device, DeviceInfo, Error, ErrorKind, FinishReason, GenerateOptions,
    Message, Model, Norm, Output, Precision, Readback, Result, Role, SamplerSettings, Slot, WeightMatrix,
    checkpoint::ModelSource,
    cpu::{CpuBackend, CpuOptions},
    generate::test_models::{CONTEXT, TEMPLATE, tiny},
    governor::{MemoryPressure, Signal, Thermal},
};

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
fn the_precision_changes_with_the_next_token_and_signals_hold_it_down() {
    let engine = engine();
    let options = SessionOptions {
        precision: Precision::E5M8,
        bounds: (Precision::E5M4, Precision::E5M8),
        ..SessionOptions::default()
    };
    let session = engine.session(options).expect("a session");
    let stream = ask(&session, 300).expect("a stream");
    let precision =
        |stream: &TokenStream| stream.next_blocking().expect("no error").expect("a token").precision;
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
    assert_eq!((metrics.precision, metrics.wanted_precision), (Precision::E5M4, Precision::E5M5));
    assert!(metrics.last_decision.is_some_and(|reason| reason.starts_with("thermal state critical")));
    assert!(metrics.weight_bytes < highest, "planes above were given back");
    assert!(engine.diagnostics().contains("thermal state critical"), "{}", engine.diagnostics());
}

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

/// The CPU with something in front of every pass.
struct Hooked {
    cpu: CpuBackend,
    before: fn(),
}

struct HookedDevice {
    cpu: Box<dyn Device>,
    before: fn(),
}

impl Backend for Hooked {
    fn info(&self) -> &DeviceInfo {
        self.cpu.info()
    }

    fn device(&self) -> Result<Box<dyn Device>> {
        Ok(Box::new(HookedDevice { cpu: self.cpu.device()?, before: self.before }))
    }

    fn prepare(&self, precision: Precision) -> Result<()> {
        self.cpu.prepare(precision)
    }

    fn trim(&self, precision: Precision) {
        self.cpu.trim(precision);
    }

    fn resident_bytes(&self) -> u64 {
        self.cpu.resident_bytes()
    }
}

impl Device for HookedDevice {
    fn max_batch(&self) -> usize {
        self.cpu.max_batch()
    }

    fn runs_at_once(&self) -> bool {
        self.cpu.runs_at_once()
    }

    fn max_logits_rows(&self) -> usize {
        self.cpu.max_logits_rows()
    }

    fn kv_bytes(&self) -> u64 {
        self.cpu.kv_bytes()
    }

    fn begin(&mut self, batch: Batch<'_>) -> Result<()> {
        (self.before)();
        self.cpu.begin(batch)
    }

    fn embed(&mut self) -> Result<()> {
        self.cpu.embed()
    }

    fn rms_norm(&mut self, weight: Norm) -> Result<()> {
        self.cpu.rms_norm(weight)
    }

    fn matmul(&mut self, weight: WeightMatrix, input: Slot, rows: Range<usize>, output: Slot) -> Result<()> {
        self.cpu.matmul(weight, input, rows, output)
    }

    fn rope(&mut self) -> Result<()> {
        self.cpu.rope()
    }

    fn store_kv(&mut self, layer: usize) -> Result<()> {
        self.cpu.store_kv(layer)
    }

    fn attention(&mut self, layer: usize) -> Result<()> {
        self.cpu.attention(layer)
    }

    fn swiglu(&mut self) -> Result<()> {
        self.cpu.swiglu()
    }

    fn add(&mut self) -> Result<()> {
        self.cpu.add()
    }

    fn finish(&mut self, readback: Readback) -> Result<Output> {
        self.cpu.finish(readback)
    }
}

/// An engine of the tiny model, with this in front of every pass.
fn hooked(before: fn()) -> Engine {
    let checkpoint = Arc::clone(tiny(Some(TEMPLATE), &[]).checkpoint().expect("a file"));
    let reconstruction = checkpoint.reconstruction();
    let cpu =
        CpuBackend::new(Arc::clone(&checkpoint), reconstruction, &CpuOptions::default()).expect("a CPU");
    let model = Model::with_backend(checkpoint, Box::new(Hooked { cpu, before }));
    Engine::with_model(model).expect("an engine")
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

#[test]
fn opening_tells_how_far_it_is_and_can_be_cancelled() {
    let source = || {
        ModelSource::Path(
            concat!(env!("CARGO_MANIFEST_DIR"), "/../models/storyteller-4m.sefp.safetensors").into(),
        )
    };
    let options = EngineOptions {
        open: crate::OpenOptions { device: crate::DeviceChoice::Cpu, ..Default::default() },
        verify: true,
        prepare: Some(Precision::E5M5),
        state_folder: None,
    };
    let mut steps = Vec::new();
    let engine = Engine::open(source(), &options, &mut |progress| {
        steps.push(progress);
        Ok(())
    });
    assert_eq!(engine.expect("a model").info().expect("its figures").context_length, 512);
    assert!(steps.iter().all(|step| (0.0..=1.0).contains(&step.fraction)), "{steps:?}");
    assert!(steps.is_sorted_by(|a, b| (a.stage, a.fraction) <= (b.stage, b.fraction)), "{steps:?}");
    let stages: Vec<_> = steps.chunk_by(|a, b| a.stage == b.stage).map(|steps| steps[0].stage).collect();
    use OpenStage::{Checking, Device, Ready, Text, Verifying, Weights};
    assert_eq!(stages, [Checking, Verifying, Text, Device, Weights, Ready]);

    for stop_at in 0..steps.len() {
        let mut step = 0;
        let stopped = Engine::open(source(), &options, &mut |_| {
            step += 1;
            if step > stop_at { Err(Error::new(ErrorKind::Cancelled, "enough")) } else { Ok(()) }
        });
        assert_eq!(kind(stopped), ErrorKind::Cancelled);
        assert_eq!(step, stop_at + 1, "it went on");
    }

    let opening = Opening::begin(source(), options).expect("a thread");
    let mut last = None;
    while let Some(progress) = pollster::block_on(opening.next_progress()) {
        last = Some(progress);
    }
    assert_eq!(last, Some(OpenProgress { stage: Ready, fraction: 1.0 }));
    assert!(opening.engine_blocking().is_ok());
    assert_eq!(kind(opening.engine_blocking()), ErrorKind::InvalidArgument, "it was taken");
}
