//! Questions from JSON lines: `{"id", "query", "choices", "gold"}`, with a `passage` for some tasks.

use std::path::{Path, PathBuf};

use otaro::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::Task;
use crate::{
    error::{corrupt, io},
    text::without_bom,
};

/// No question has more choices; bounds what one line can ask for.
const MOST_CHOICES: usize = 64;
/// What stands for the choice in a question of WinoGrande.
pub(super) const BLANK: char = '_';

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// The question, or the beginning of what is to go on.
    pub query: String,
    /// What it is about, where a task has that.
    #[serde(default)]
    pub passage: String,
    /// The answers to choose from, at least two.
    pub choices: Vec<String>,
    /// The place of the right one among them.
    pub gold: usize,
}

/// The file of a task in a folder.
///
/// # Errors
/// [`Io`](ErrorKind::Io), naming the files that were looked for.
pub fn find(task: Task, folder: &Path) -> Result<PathBuf> {
    let mut paths = task.file_names().iter().map(|name| folder.join(name));
    paths.find(|path| path.is_file()).ok_or_else(|| {
        let names = task.file_names().join(" nor ");
        Error::new(ErrorKind::Io, format!("{}: there is no {names}", folder.display()))
    })
}

/// The questions of a file, at most `limit` from its start.
///
/// # Errors
/// [`Io`](ErrorKind::Io) when it cannot be read; as [`parse`].
pub fn read(task: Task, path: &Path, limit: Option<usize>) -> Result<Vec<Question>> {
    let bytes = std::fs::read(path).map_err(|error| io("cannot read", path, error))?;
    parse(task, &bytes, limit).map_err(|error| error.at(path.display()))
}

/// Questions from JSON lines; empty lines and a byte-order mark are skipped.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) with the number of the line that is not a question of the task, and when there is
/// none at all.
pub fn parse(task: Task, bytes: &[u8], limit: Option<usize>) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if limit.is_some_and(|limit| questions.len() >= limit) {
            break;
        }
        let at_line = |error: Error| error.at(format_args!("line {}", index + 1));
        let line = std::str::from_utf8(line)
            .map_err(|error| at_line(corrupt("it is not UTF-8").with_source(error)))?;
        let line = if index == 0 { without_bom(line) } else { line };
        if !line.trim().is_empty() {
            questions.push(question(task, line).map_err(at_line)?);
        }
    }
    match questions.is_empty() {
        true => Err(corrupt("there are no questions")),
        false => Ok(questions),
    }
}

fn question(task: Task, line: &str) -> Result<Question> {
    let question: Question = serde_json::from_str(line).map_err(|error| {
        corrupt("it is no question: an object with query, choices and gold").with_source(error)
    })?;
    let choices = question.choices.len();
    let fault = if !(2..=MOST_CHOICES).contains(&choices) {
        format!("it has {choices} choices, not 2 to {MOST_CHOICES}")
    } else if question.gold >= choices {
        format!("gold is {}, but there are {choices} choices, counted from 0", question.gold)
    } else if let Some(empty) = question.choices.iter().position(|choice| choice.trim().is_empty()) {
        format!("choice {empty} is empty")
    } else if question.query.trim().is_empty() {
        "the query is empty".to_string()
    } else if task == Task::WinoGrande && question.query.matches(BLANK).count() != 1 {
        format!("the query must have one blank, '{BLANK}'")
    } else if task == Task::BoolQ && choices != 2 {
        "the choices must be no and yes".to_string()
    } else {
        return Ok(question);
    };
    Err(corrupt(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_read_up_to_the_limit() {
        let line = r#"{"id": "7", "query": "Why?", "choices": ["a", "b"], "gold": 1, "more": {}}"#;
        let file = format!("\u{feff}{line}\r\n\n{line}\n{line}");
        let questions = parse(Task::ArcEasy, file.as_bytes(), None).expect("good lines");
        assert_eq!(questions.len(), 3);
        assert_eq!((questions[0].gold, questions[0].passage.as_str()), (1, ""));
        assert_eq!(parse(Task::ArcEasy, file.as_bytes(), Some(2)).expect("good lines").len(), 2);
        // What is beyond the limit is not looked at.
        assert!(parse(Task::ArcEasy, format!("{line}\nnonsense").as_bytes(), Some(1)).is_ok());
    }

    #[test]
    fn bad_lines_are_errors_that_name_the_line() {
        let good = r#"{"query": "a _ b", "choices": ["c", "d"], "gold": 0}"#;
        let cases = [
            (Task::SciQ, "nonsense", "no question"),
            (Task::SciQ, "[1, 2]", "no question"),
            (Task::SciQ, r#"{"query": "a", "choices": ["c", "d"], "gold": -1}"#, "no question"),
            (Task::SciQ, r#"{"query": "a", "choices": ["c", 4], "gold": 0}"#, "no question"),
            (Task::SciQ, r#"{"query": "a", "choices": ["c", "d"], "gold": 2}"#, "gold is 2"),
            (Task::SciQ, r#"{"query": "a", "choices": ["c"], "gold": 0}"#, "1 choices"),
            (Task::SciQ, r#"{"query": "a", "choices": ["c", " "], "gold": 0}"#, "choice 1 is empty"),
            (Task::SciQ, r#"{"query": "\n", "choices": ["c", "d"], "gold": 0}"#, "query is empty"),
            (Task::WinoGrande, r#"{"query": "a", "choices": ["c", "d"], "gold": 0}"#, "one blank"),
            (Task::BoolQ, r#"{"query": "a", "choices": ["c", "d", "e"], "gold": 0}"#, "no and yes"),
        ];
        for (task, line, message) in cases {
            let error = parse(task, format!("{good}\n{line}\n").as_bytes(), None);
            let error = error.or_else(|_| parse(task, format!("\n{line}\n").as_bytes(), None));
            let error = error.expect_err(line).to_string();
            assert!(error.starts_with("line 2: ") && error.contains(message), "{error}");
        }
        let not_text = parse(Task::SciQ, b"\n\xff\n", None).expect_err("not UTF-8").to_string();
        assert!(not_text.contains("line 2") && not_text.contains("UTF-8"), "{not_text}");
        assert!(parse(Task::SciQ, b"\n\n", None).expect_err("nothing").to_string().contains("no questions"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = find(Task::HellaSwag, Path::new("/nowhere")).expect_err("nothing there").to_string();
        assert!(error.contains("/nowhere") && error.contains("hellaswag.validation_1000.jsonl"), "{error}");
    }
}
