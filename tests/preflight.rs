//! What `preflight` promises against what a model takes in the end, as the system counts it: Linux tells pages of
//! files from other memory.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{path::Path, sync::Arc, thread, time::Duration};

use otaro::{
    CancelToken, Checkpoint, DeviceChoice, GenerateOptions, Model, OpenOptions, Precision, SamplerSettings,
    checkpoint::ModelSource,
    cpu::{CpuOptions, KvFormat},
    engine::{Engine, EngineOptions, Request, SessionOptions},
    memory::{FreeMemory, ProcessMemory},
    pack::Shape,
    preflight::{Need, PreflightOptions, preflight},
};
use otaro_tests::{temporary_folder, tiny};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/storyteller-4m.sefp.safetensors");

/// What the estimate may be off by: it never promises less than is taken, beside these bytes of the test's own...
const SLACK: u64 = 1 << 20;
/// ...nor more than so many times what is taken, beside what is set aside for small things.
const MOST_TIMES: f64 = 1.5;
const SMALL_THINGS: u64 = 4 << 20;

/// Memory that no file stands behind, and pages of files, once no thread of an engine that was dropped is freeing
/// any. What was freed goes back to the system first: kept by the allocator, it would be taken again without being seen.
fn process() -> (u64, u64) {
    let mut last = None;
    for _ in 0..100 {
        // SAFETY: it touches free memory only.
        #[cfg(target_env = "gnu")]
        unsafe {
            libc::malloc_trim(0)
        };
        let process = ProcessMemory::now();
        let now = (process.anonymous.unwrap(), process.file.unwrap());
        if last.replace(now) == Some(now) {
            return now;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the memory of this process never stays the same");
}

/// What is estimated and what was taken of each kind.
fn check(what: &str, need: &Need, before: (u64, u64), after: (u64, u64)) {
    let anonymous = (need.kv_bytes + need.scratch_bytes + need.text_bytes, after.0.saturating_sub(before.0));
    let mapped = (need.mapped_bytes, after.1.saturating_sub(before.1));
    for (kind, (estimated, taken)) in [("anonymous", anonymous), ("mapped", mapped)] {
        println!("{what}, {}, {kind}: {estimated} estimated, {taken} taken", need.precision);
        assert!(taken <= estimated + SLACK, "{what}, {kind}: {taken} taken, {estimated} estimated");
        let most = (taken as f64 * MOST_TIMES) as u64 + SMALL_THINGS;
        assert!(estimated <= most, "{what}, {kind}: {estimated} estimated, {taken} taken");
    }
}

fn need(path: &Path, precision: Precision, context: usize, cpu: CpuOptions) -> Need {
    let free = Some(FreeMemory::given(1 << 40));
    let options =
        PreflightOptions { context_length: Some(context), cpu, free, ..PreflightOptions::default() };
    let before = process();
    let preflight = preflight(path.into(), &options).unwrap();
    let after = process();
    assert!(after.1.saturating_sub(before.1) < 256 << 10, "preflight read more than the header");
    preflight.needs.into_iter().find(|need| need.precision == precision).unwrap()
}

/// One test, as all of it looks at the memory of the process.
#[test]
fn estimates_are_kept() {
    // SAFETY: it sets a number. Every block of that size is then a mapping of its own and leaves nothing behind in which
    // a later one could hide.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 10)
    };
    // Loads the code and the tables that any model needs.
    drop(shipped(Precision::E5M3, 8));
    conversation();
    for (precision, kv_format) in [(Precision::E5M3, KvFormat::F16), (Precision::E5M6, KvFormat::Int8)] {
        random_weights(precision, kv_format);
    }
}

/// A session of the model that ships that has used so many tokens.
fn shipped(precision: Precision, tokens: usize) -> (Engine, Arc<otaro::engine::EngineSession>) {
    let open = OpenOptions { device: DeviceChoice::Cpu, ..OpenOptions::default() };
    let options = EngineOptions { open, ..EngineOptions::default() };
    let engine = Engine::open(ModelSource::Path(SHIPPED.into()), &options, &mut |_| Ok(())).unwrap();
    let session =
        engine.session(SessionOptions { profile: precision.into(), ..SessionOptions::default() }).unwrap();
    let options = GenerateOptions { max_tokens: tokens, ignore_eos: true, ..GenerateOptions::default() };
    let request = Request::Complete("The dog and the ball. ".repeat(60));
    let stream = session.generate(request, options, SamplerSettings::default()).unwrap();
    while stream.next_blocking().unwrap().is_some() {}
    (engine, session)
}

/// The whole way: text, threads, a conversation that fills the context.
fn conversation() {
    let need = need(Path::new(SHIPPED), Precision::E5M8, 512, CpuOptions::default());
    let before = process();
    let held = shipped(Precision::E5M8, 512);
    let after = process();
    assert_eq!(held.1.metrics().unwrap().kv_bytes, need.kv_bytes);
    assert_eq!(held.0.model().resident_bytes(), need.mapped_bytes);
    check("storyteller-4m", &need, before, after);
}

/// A hundred million weights without a tokenizer.
fn random_weights(precision: Precision, kv_format: KvFormat) {
    let folder = temporary_folder();
    let path = folder.path().join("model.sefp.safetensors");
    let architecture = &Shape::find("stories110m").unwrap().architecture;
    drop(tiny::checkpoint(&path, architecture, 3));
    let cpu = CpuOptions { kv_format, ..CpuOptions::default() };
    let context = 200;
    let need = need(&path, precision, context, cpu);
    let before = process();
    let model = Model::on_cpu(Arc::new(Checkpoint::open(&path).unwrap()), None, &cpu).unwrap();
    let mut session = model.session(precision).unwrap();
    session.logits(&vec![1; context], &CancelToken::new()).unwrap();
    let after = process();
    assert_eq!(session.kv_bytes(), need.kv_bytes);
    assert_eq!(model.resident_bytes(), need.mapped_bytes);
    check("stories110m", &need, before, after);
}
