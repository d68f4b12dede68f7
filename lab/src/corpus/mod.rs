//! Makes the training data of the default model out of the raw corpus: stories and short answers in
//! simple English, which a model of a few million parameters can learn.
//!
//! ```text
//! cargo run --release -p otaro-lab -- corpus \
//!     --corpus ../shared/data/corpus --tinystories ../shared/data/tinystories --output corpus-clean
//! ```
//!
//! What it writes, one JSON document per line:
//!
//! - `pretrain.jsonl`: stories as plain text.
//! - `stories_chat.jsonl`: somebody asks for a story and gets it.
//! - `chitchat.jsonl`: questions to a chat program and its answers, alone and a few in a row.
//! - `dialogue.jsonl`: longer conversations with a purpose.
//! - `identity.jsonl`: who the model is and what it can do.
//! - `eval.jsonl`: the stories that are kept out of all of them, cleaned in the same way.
//!
//! The same corpus makes the same files. What is left out of the corpus altogether: arithmetic,
//! questions on long passages, booking of hotels and flights, talk about sports and films. All of it
//! is about facts, and a model this small would learn to make them up.

mod chitchat;
mod clean;
mod identity;
mod stories;

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use otaro::{Message, Role};
use otaro_trainer::data::Lines;
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The order and every choice depend on this number.
const SEED: u64 = 260_000;

/// The folders of the corpus.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The folder of the raw corpus, with `stories/`, `dialogue/` and `instruct/`
    #[arg(long)]
    pub corpus: PathBuf,
    /// The folder with `train.txt`, of more stories, and `eval.txt`, of those to keep out
    #[arg(long)]
    pub tinystories: PathBuf,
    /// Where the files go; made if it is not there
    #[arg(long)]
    pub output: PathBuf,
}

/// A line of the raw corpus; every file has some of the fields.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    text: String,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    persona: String,
    #[serde(default)]
    topic: String,
}

/// A conversation.
#[derive(Clone, Debug, Serialize)]
struct Chat {
    messages: Vec<Message>,
}

impl Chat {
    /// A question and its answer.
    fn pair(question: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { messages: vec![Message::new(Role::User, question), Message::new(Role::Assistant, answer)] }
    }

    /// One conversation after the other, as one.
    fn then(mut self, next: &Self) -> Self {
        self.messages.extend_from_slice(&next.messages);
        self
    }

    fn characters(&self) -> usize {
        self.messages.iter().map(|message| message.content.len()).sum()
    }
}

/// What was kept and what was dropped, and why: documents and bytes.
#[derive(Default)]
struct Tally(BTreeMap<(&'static str, &'static str), (usize, usize)>);

impl Tally {
    /// Counts a document of a file; `what` is `kept` or the reason why not.
    fn count(&mut self, file: &'static str, what: &'static str, bytes: usize) {
        let entry = self.0.entry((file, what)).or_default();
        entry.0 += 1;
        entry.1 += bytes;
    }

    /// Counts the outcome of cleaning, and returns it if something is left.
    fn keep<T>(&mut self, file: &'static str, bytes: usize, outcome: Result<T, &'static str>) -> Option<T> {
        self.count(file, outcome.as_ref().err().copied().unwrap_or("kept"), bytes);
        outcome.ok()
    }
}

/// Makes the files, and prints what was kept and what was left out.
///
/// # Errors
/// A file of the corpus that is missing or damaged, with its line; a full disk.
pub fn make(arguments: &Arguments) -> Result<()> {
    fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make the folder {}", arguments.output.display()))?;
    let corpus = |name: &str| rows(&arguments.corpus.join(name));
    let mut random = StdRng::seed_from_u64(SEED);
    let mut tally = Tally::default();

    let held_out = stories::beginnings(&arguments.tinystories.join("eval.txt"))?;
    let mut pretrain = stories::Collection::without(held_out.clone());
    pretrain.add_rows("tinystories", corpus("stories/tinystories.jsonl.zst")?, &mut tally);
    pretrain.add_rows("african_storybook", corpus("stories/african_storybook_cc_by.jsonl.zst")?, &mut tally);
    pretrain.add_texts("train.txt", &arguments.tinystories.join("train.txt"), &mut tally)?;

    let mut evaluation = stories::Collection::without(HashSet::new());
    evaluation.add_texts("eval.txt", &arguments.tinystories.join("eval.txt"), &mut tally)?;

    let identity = identity::chats();
    let singles = chitchat::singles(corpus("dialogue/ms_chitchat.jsonl.zst")?, &identity, &mut tally);
    let chitchat = chitchat::with_variants(&singles, &identity, &mut random);
    let prompts = corpus("instruct/tinystories_prompts.jsonl.zst")?;
    let stories_chat = stories::chats(prompts, &held_out, &singles, &mut random, &mut tally);
    let dialogue = chitchat::dialogues(corpus("dialogue/taskmaster.jsonl.zst")?, &mut tally);

    for ((file, what), (documents, bytes)) in &tally.0 {
        println!("{file:20} {what:32} {documents:6} documents {bytes:9} bytes");
    }
    for (name, stories) in [("pretrain.jsonl", pretrain), ("eval.jsonl", evaluation)] {
        write(&arguments.output.join(name), stories.texts.iter().map(|text| json!({ "text": text })))?;
    }
    write(&arguments.output.join("stories_chat.jsonl"), stories_chat)?;
    write(&arguments.output.join("chitchat.jsonl"), chitchat)?;
    write(&arguments.output.join("dialogue.jsonl"), dialogue)?;
    write(&arguments.output.join("identity.jsonl"), identity)
}

/// All rows of a file of the raw corpus.
fn rows(path: &Path) -> Result<Vec<Row>> {
    let mut lines = Lines::open(path)?;
    let mut rows = Vec::new();
    while let Some(line) = lines.next() {
        rows.push(serde_json::from_str(&line?).with_context(|| lines.place())?);
    }
    Ok(rows)
}

fn write<T: Serialize>(path: &Path, documents: impl IntoIterator<Item = T>) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(what)?);
    let (mut count, mut bytes) = (0, 0);
    for document in documents {
        let line = serde_json::to_string(&document)?;
        writeln!(file, "{line}").with_context(what)?;
        count += 1;
        bytes += line.len() + 1;
    }
    file.flush().with_context(what)?;
    println!("{}: {count} documents, {bytes} bytes", path.display());
    Ok(())
}
