//! Documents out of files.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use otaro::Message;
use serde::Deserialize;

use super::lines::{Lines, is_compressed};

/// The line between two documents of a `.txt` file.
const SEPARATOR: &str = "<|endoftext|>";

/// One piece of training data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A text to continue.
    Text(String),
    /// A conversation; at least one message.
    Chat(Vec<Message>),
}

/// The documents of a file, in their order. The extension says the format:
///
/// - `.txt`, `.raw`: texts, with a line `<|endoftext|>` between two of them; without any, the whole file is
///   one text, to the byte.
/// - `.jsonl`: one document per line, `{"text": "..."}` or
///   `{"messages": [{"role": "user", "content": "..."}, ...]}`, the roles being `system`, `user` and
///   `assistant`. Other fields and blank lines are ignored.
/// - either with `.zst` behind it: compressed with zstd.
///
/// Texts of white space alone are left out.
///
/// # Errors
/// With the file and the line, if the file cannot be read, has another extension, is not UTF-8 or
/// not of its format, or holds no document at all.
pub fn read(path: &Path) -> Result<Vec<Document>> {
    let format = Format::of(path)?;
    let documents = format.parse(Lines::open(path)?)?;
    ensure!(!documents.is_empty(), "{} holds no text", path.display());
    Ok(documents)
}

/// What the extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    JsonLines,
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let name = if is_compressed(path) { path.file_stem().map(Path::new) } else { Some(path) };
        let extension = name.and_then(Path::extension).unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("txt" | "raw") => Ok(Self::Text),
            Some("jsonl") => Ok(Self::JsonLines),
            _ if path.is_dir() => {
                bail!("{} is a folder: name the .txt or .jsonl file in it", path.display())
            }
            _ => bail!(
                "{}: unknown kind of file; training data ends in .txt, .raw, .jsonl, or one of them and .zst",
                path.display()
            ),
        }
    }

    fn parse(self, lines: Lines) -> Result<Vec<Document>> {
        match self {
            Self::Text => texts(lines),
            Self::JsonLines => json_lines(lines),
        }
    }
}

fn texts(lines: Lines) -> Result<Vec<Document>> {
    let (mut documents, mut text, mut separated) = (Vec::new(), String::new(), false);
    for line in lines {
        let line = line?;
        if line.trim_end() == SEPARATOR {
            separated = true;
            push_text(&mut documents, trim_lines(&std::mem::take(&mut text)));
        } else {
            text.push_str(&line);
        }
    }
    push_text(&mut documents, if separated { trim_lines(&text) } else { text });
    Ok(documents)
}

fn push_text(documents: &mut Vec<Document>, text: String) {
    if !text.trim().is_empty() {
        documents.push(Document::Text(text));
    }
}

/// The line breaks around a separator belong to it.
fn trim_lines(text: &str) -> String {
    text.trim_matches(['\n', '\r']).to_owned()
}

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
struct Row {
    text: Option<String>,
    messages: Option<Vec<Message>>,
}

fn json_lines(mut lines: Lines) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    while let Some(line) = lines.next() {
        let line = line?;
        if !line.trim().is_empty() {
            documents.extend(row(&line).with_context(|| lines.place())?);
        }
    }
    Ok(documents)
}

/// The document of a line; `None` for a text of white space alone.
fn row(line: &str) -> Result<Option<Document>> {
    const EXPECTED: &str =
        r#"expected {"text": "..."} or {"messages": [{"role": "user", "content": "..."}, ...]}"#;
    let row = serde_json::from_str::<Row>(line).map_err(|error| {
        let what = error.to_string();
        // The library counts lines within the line.
        let what = what.split(" at line ").next().unwrap_or_default();
        anyhow::anyhow!("column {}: {what}; {EXPECTED}", error.column())
    })?;
    match (row.text, row.messages) {
        (Some(text), None) => Ok((!text.trim().is_empty()).then_some(Document::Text(text))),
        (None, Some(messages)) => {
            ensure!(!messages.is_empty(), "`messages` is empty; {EXPECTED}");
            Ok(Some(Document::Chat(messages)))
        }
        (None, None) => bail!("neither `text` nor `messages`; {EXPECTED}"),
        (Some(_), Some(_)) => bail!("both `text` and `messages`: which one is meant? {EXPECTED}"),
    }
}
