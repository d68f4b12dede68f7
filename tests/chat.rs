//! The `chat` example as a user runs it: one-shot, interactive, interrupted, with files that are
//! incomplete or wrong.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use otaro::{
    Architecture, Checkpoint, Precision,
    checkpoint::Section,
    pack::{PackOptions, pack_folder},
};
use otaro_tests::{
    huggingface::{self, Form},
    temporary_folder, tiny,
};
use tempfile::TempDir;

// Tests of its own, which an example has no place for.
#[path = "../runtime/examples/chat/model.rs"]
#[expect(dead_code, reason = "only its tests are run here")]
mod model;

/// The example, which `cargo test` builds beside the tests.
fn chat() -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join("chat");
    assert!(program.exists(), "{} is missing: cargo build --example chat", program.display());
    Command::new(program)
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    chat().args(arguments).env("XDG_CACHE_HOME", folder).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The answer of a call that succeeds.
fn answer(arguments: &[&str], folder: &Path) -> String {
    let output = run(arguments, folder);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn model_folder() -> TempDir {
    folder_of(&tiny::irregular())
}

fn folder_of(architecture: &Architecture) -> TempDir {
    let folder = temporary_folder();
    huggingface::write(folder.path(), architecture, 41, &Form::default());
    folder
}

fn packed(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.sefp.safetensors");
    pack_folder(folder, &path, &PackOptions::default(), &mut |_| Ok(())).unwrap();
    path
}

#[test]
fn a_folder_is_packed_once_and_answers_the_same_on_both_devices() {
    let folder = model_folder();
    let model = folder.path().to_str().unwrap();
    // The exact kernels have activations in f32, as the GPU has.
    let ask = |device: &str, bits: &str| {
        // Drawn, not greedy: a random model repeats its best token at every precision.
        let fixed = ["--prompt", "w1 w2 w3", "--max-tokens", "12", "--temperature", "1", "--seed", "5"];
        answer(
            &[&["--model", model, "--device", device, "--bits", bits, "--kernel", "exact"], fixed.as_slice()]
                .concat(),
            folder.path(),
        )
    };
    let first = ask("cpu", "6");
    assert!(!first.trim().is_empty());
    let cache = fs::read_dir(folder.path().join("otaro")).unwrap().map(|entry| entry.unwrap().path());
    let cached: Vec<_> = cache.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    assert_eq!(cached.len(), 1, "{cached:?}");
    let written = fs::metadata(&cached[0]).unwrap().modified().unwrap();
    assert_eq!(ask("cpu", "6"), first);
    assert_eq!(fs::metadata(&cached[0]).unwrap().modified().unwrap(), written, "packed again");
    assert_eq!(ask("gpu", "6"), first, "text of the GPU");
    assert_ne!(ask("cpu", "3"), first, "random weights answer otherwise at another precision");
}

#[test]
fn a_profile_is_set_by_the_command_line_and_by_a_command() {
    let folder = model_folder();
    let path = packed(folder.path());
    let model = path.to_str().unwrap();
    let fixed = ["--max-tokens", "12", "--temperature", "1", "--seed", "5", "--device", "cpu", "--stats"];
    let ask = |dial: &[&str]| {
        let output =
            run(&[&["--model", model, "--prompt", "w1 w2"], &fixed[..], dial].concat(), folder.path());
        assert!(output.status.success(), "{dial:?}: {}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (answer, stats) = ask(&["--profile", "head=8,mlp=3,layers.0=6"]);
    assert!(stats.contains("8,mlp=3,layers.0=6"), "what is not named is read as the file holds it: {stats}");
    assert_ne!(ask(&["--bits", "8"]).0, answer);
    assert_eq!(
        ask(&["--bits", "5", "--profile", "all=8,mlp=3,layers.0=6"]).0,
        answer,
        "nothing was left open"
    );
    let (_, stats) = ask(&["--bits", "5", "--profile", "mlp=3"]);
    assert!(stats.contains("5,mlp=3"), "{stats}");
    let profile = folder.path().join("own.json");
    fs::write(&profile, r#"{"all": 8, "mlp": 3, "layers.0": 6}"#).unwrap();
    assert_eq!(ask(&["--profile", profile.to_str().unwrap()]).0, answer);

    let typed = "/profile 4,head=8,layers.1.mlp=6\nw3\n/stats\n/bits 5\n/profile head=7\n/profile mpl=3\n\
                 /profile 4,layers.2=3\n/profile tiny\nw4\n";
    let mut child = chat()
        .args(["--model", model, "--max-tokens", "3", "--device", "cpu"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(text(&output.stdout).lines().count(), 2, "both questions are answered");
    for expected in [
        "[4,head=8,layers.1.mlp=6]",
        "context    ",
        "[E5M5]",
        "[5,head=7]",
        "'mpl' is nothing that a profile can name",
        "the model has layers 0 to 1",
        "has no profile 'tiny': it carries none",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let folder = model_folder();
    let model = folder.path().to_str().unwrap();
    let ask = |seed: &str| {
        let fixed = [
            "--prompt",
            "w1",
            "--max-tokens",
            "20",
            "--temperature",
            "1",
            "--top-k",
            "40",
            "--device",
            "cpu",
        ];
        answer(&[&["--model", model, "--seed", seed], fixed.as_slice()].concat(), folder.path())
    };
    assert_eq!(ask("7"), ask("7"));
    assert_ne!(ask("7"), ask("8"));
}

#[test]
fn a_prefix_chats_at_what_it_holds_and_says_what_is_missing() {
    let folder = model_folder();
    let path = packed(folder.path());
    let checkpoint = Checkpoint::open(&path).unwrap();
    let base_end = checkpoint.data_start() + checkpoint.sections()[Section::Base as usize].end;
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(base_end as usize);
    let prefix = folder.path().join("prefix.sefp.safetensors");
    fs::write(&prefix, &bytes).unwrap();
    assert_eq!(Checkpoint::open(&prefix).unwrap().available().unwrap(), Precision::E5M3);

    let arguments = |bits| {
        ["--model", prefix.to_str().unwrap(), "--prompt", "w1 w2", "--max-tokens", "5", "--bits", bits]
    };
    assert!(!answer(&arguments("3"), folder.path()).trim().is_empty());
    let refused = run(&arguments("4"), folder.path());
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("E5M4 needs") && message.contains("missing bit4"), "{message}");
}

#[test]
fn the_model_that_ships_answers_in_sentences_at_every_precision() {
    let folder = temporary_folder();
    for bits in ["3", "4", "5", "6", "7", "8"] {
        for prompt in ["Hello!", "Tell me a story about a dog."] {
            let fixed = ["--bits", bits, "--device", "cpu", "--temperature", "0", "--prompt", prompt];
            let said = answer(&fixed, folder.path());
            assert!(said.trim().ends_with(['.', '!', '?', '"']), "{bits} bits, {prompt}: {said}");
            assert!(said.split_whitespace().count() < 500, "{bits} bits, {prompt}: {said}");
        }
    }
}

#[test]
fn what_cannot_work_is_said_in_a_line() {
    let folder = model_folder();
    let garbage = folder.path().join("garbage.sefp.safetensors");
    fs::write(&garbage, b"garbage".repeat(1000)).unwrap();
    let model = packed(folder.path());
    let (garbage, model) = (garbage.to_str().unwrap(), model.to_str().unwrap());
    let cases: [(&[&str], &str); 7] = [
        (&["--model", "/nowhere"], "/nowhere"),
        (&["--model", garbage, "--prompt", "w1"], "not a packed SEFP model"),
        (&["--model", model, "--prompt", "w1", "--bits", "9"], "3 to 8"),
        (&["--model", model, "--prompt", "w1", "--device", "abacus"], "auto, cpu or gpu"),
        (&["--model", model, "--prompt", "w1", "--temperature", "-1"], "temperature"),
        (&["--model", model, "--prompt", "w1", "--top-p", "1.5"], "top_p"),
        (&["--model", model, "--prompt", &"w1 ".repeat(400)], "context"),
    ];
    for (arguments, part) in cases {
        let output = run(arguments, folder.path());
        let message = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(message.contains(part) && !message.contains("panicked"), "{part}: {message}");
    }
}

/// An interactive session, its standard output read line by line.
struct Conversation {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Conversation {
    fn start(model: &str, folder: &Path, more: &[&str]) -> Self {
        let mut child = chat()
            .args(["--model", model, "--device", "cpu"])
            .args(more)
            .env("XDG_CACHE_HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Ends the input and waits; the rest of the output.
    fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut self.out, &mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        text(&rest)
    }
}

#[test]
fn commands_are_obeyed_between_answers() {
    let folder = model_folder();
    let model = packed(folder.path());
    let mut conversation =
        Conversation::start(model.to_str().unwrap(), folder.path(), &["--max-tokens", "4", "--seed", "1"]);
    for line in
        ["w1 w2", "/bits 3", "w3", "/stats", "/bits 11", "/nonsense", "/reset", "/help", "w4", "/quit", "w5"]
    {
        conversation.type_line(line);
    }
    let all = conversation.finish();
    assert!(!all.contains("panicked"), "{all}");
}

/// Ctrl-C during an answer ends the answer; the program goes on.
#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_answer_and_not_the_program() {
    let folder = model_folder();
    let model = packed(folder.path());
    // Long enough to be interrupted: the context holds 300 tokens, and each takes the debug of a pass.
    let mut conversation =
        Conversation::start(model.to_str().unwrap(), folder.path(), &["--temperature", "1"]);
    conversation.type_line("w1 w2 w3");
    // The first piece of the answer has arrived: it is under way.
    let first = conversation.out.fill_buf().unwrap().len();
    assert!(first > 0);
    // The `kill` of the shell: a bare machine has no program of that name.
    let kill = format!("kill -INT {}", conversation.child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let interrupted = Instant::now();
    conversation.type_line("/quit");
    conversation.finish();
    assert!(interrupted.elapsed() < Duration::from_secs(20));
}
