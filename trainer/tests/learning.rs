//! Training teaches what it is meant to teach.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{fs, process::Command};

use otaro::{CancelToken, Model, Precision, Reconstruction, cpu::CpuOptions};
use otaro_trainer::{strategy::Width, summary::RunSummary};
use support::Place;

fn train(place: &Place, out: &str, more: &[&str]) -> RunSummary {
    let output = Command::new(env!("CARGO_BIN_EXE_otaro-train"))
        .arg("run")
        .args(place.flags(out))
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&fs::read_to_string(place.path(out).join("summary.json")).unwrap()).unwrap()
}

fn at(summary: &RunSummary, width: Width) -> f64 {
    summary.perplexity(Reconstruction::Midpoint, width).unwrap()
}

#[test]
fn every_method_learns_and_each_fixed_width_is_best_where_it_was_trained() {
    let place = Place::new();
    let untrained = train(&place, "none", &["--method", "none"]);
    let (low, full) = (Width::At(Precision::E5M3), Width::Full);
    assert!(at(&untrained, full) > 60.0, "random weights know nothing of 128 words");
    // Few steps: later all of them know the little text by heart, and nothing tells them apart.
    // With fine scales M3 is so near to unquantised that this little text tells no difference.
    for method in ["full", "fixed:3", "uniform", "bps", "otaro", "matryoshka"] {
        let flags = ["--method", method, "--steps=40", "--scale=power-of-two"];
        let summary = train(&place, method, &flags);
        assert!(at(&summary, full) < 0.5 * at(&untrained, full), "{method}: {}", at(&summary, full));
        assert_eq!(summary.passes(), if method == "matryoshka" { 120 } else { 40 }, "{method}");
    }
    let read = |name: &str| -> RunSummary {
        serde_json::from_str(&fs::read_to_string(place.path(name).join("summary.json")).unwrap()).unwrap()
    };
    for (best, width) in [("fixed:3", low), ("full", full)] {
        let perplexity = |name| at(&read(name), width);
        let (three, unquantised) = (perplexity("fixed:3"), perplexity("full"));
        assert_eq!(three < unquantised, best == "fixed:3", "at {width}: {three} and {unquantised}");
    }
}

#[test]
fn a_low_width_learns_from_masters_and_from_another_model() {
    let place = Place::new();
    let untrained = train(&place, "none", &["--method", "none"]);
    let low = Width::At(Precision::E5M3);
    // A teacher that has learnt the text; what learns from it alone has never seen what comes next.
    train(&place, "teacher", &["--method", "full", "--steps=120", "--huggingface"]);
    let teacher = place.path("teacher/huggingface").display().to_string();
    for (teacher, weight) in [("masters", "0.5"), (&*teacher, "1")] {
        let name = format!("taught-{weight}");
        let more = ["--method", "fixed:3", "--distill", "--teacher", teacher, "--distill-weight", weight];
        let summary = train(&place, &name, &[&more[..], &["--steps=40"]].concat());
        assert!(at(&summary, low) < 0.5 * at(&untrained, low), "{teacher}: {}", at(&summary, low));
        assert_eq!((summary.passes(), summary.teacher_passes), (40, 40));
        assert!((summary.cost() - 40.0 * 4.0 / 3.0).abs() < 1e-9);
    }
}

#[test]
fn a_model_from_scratch_gets_a_tokenizer_and_talks() {
    let place = Place::new();
    let mut config = Place::architecture();
    config.vocab_size = 300;
    fs::write(place.path("config.json"), config.to_huggingface().to_string()).unwrap();
    let chat = r#"{"messages":[{"role":"user","content":"Say yes."},{"role":"assistant","content":"Yes!"}]}"#;
    fs::write(place.path("chat.jsonl"), format!("{chat}\n").repeat(60)).unwrap();
    let path = |name: &str| place.path(name).display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_otaro-train"))
        .args(["run", "--from-scratch", &path("config.json"), "--train-tokenizer", "--packing", "whole"])
        .args(["--data", &path("chat.jsonl"), "--out", &path("out"), "--length", "32", "--steps", "80"])
        .args(["--batch", "4", "--micro-batch", "2", "--learning-rate", "1e-2", "--warmup", "5"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let checkpoint = otaro::Checkpoint::open(place.path("out").join("model.sefp.safetensors")).unwrap();
    let (tokenizer, template) =
        (checkpoint.tokenizer().unwrap(), checkpoint.chat_template().unwrap().unwrap());
    let question = otaro::Message::new(otaro::Role::User, "Say yes.");
    let prompt = template.render(&[question], true, std::time::SystemTime::now()).unwrap();
    let mut tokens = tokenizer.encode_rendered(&prompt).unwrap();
    let start = tokens.len();
    let model = Model::on_cpu(checkpoint.into(), None, &CpuOptions::default()).unwrap();
    let mut session = model.session(Precision::E5M6).unwrap();
    let mut next = tokens.clone();
    for _ in 0..4 {
        let best = session.top_k(&next, 1, &CancelToken::new()).unwrap()[0].token;
        tokens.push(best);
        next = vec![best];
    }
    let answer = tokenizer.decode(&tokens[start..]).unwrap();
    assert!(answer.starts_with("Yes!"), "{answer}");
}
