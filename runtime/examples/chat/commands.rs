//! What a person types: a question, or a command.

use otaro::{Precision, ProfileSource};

/// What is shown on `/help`.
pub const HELP: &str = "\
/bits N    read N mantissa bits of every weight from now on, 3 to 8; also while an answer comes
/profile P the same by class and layer, as in /profile 4,head=8,layers.0=6; or a JSON file, or the name
           of a profile in the model file
/stats     what the last answer cost
/reset     begin a new conversation
/help      this
/quit      end; so does Ctrl-D
Ctrl-C     stops the answer";

/// A line of input, understood.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// Text for the model.
    Question(String),
    /// `/bits N`
    Bits(Precision),
    /// `/profile P`
    Profile(ProfileSource),
    /// `/stats`
    Stats,
    /// `/reset`
    Reset,
    /// `/help`
    Help,
    /// `/quit`
    Quit,
    /// Nothing was typed.
    Nothing,
    /// A command that there is not, and what to say about it.
    Unknown(String),
}

/// Reads a line: a command begins with a slash.
pub fn parse(line: &str) -> Input {
    let trimmed = line.trim();
    let (word, argument) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
    match word {
        "" => Input::Nothing,
        "/bits" => match argument.trim().parse() {
            Ok(precision) => Input::Bits(precision),
            Err(error) => Input::Unknown(format!("{error}, as in /bits 5")),
        },
        "/profile" => match argument.parse() {
            Ok(source) => Input::Profile(source),
            Err(error) => Input::Unknown(error.to_string()),
        },
        "/stats" => Input::Stats,
        "/reset" => Input::Reset,
        "/help" => Input::Help,
        "/quit" | "/exit" => Input::Quit,
        _ if word.starts_with('/') => Input::Unknown(format!("there is no {word}; /help says what there is")),
        _ => Input::Question(line.to_owned()),
    }
}
