//! Text in plain ASCII, or a reason why not.

use otaro::{Message, Role};

use super::Chat;

/// Characters of the longest story and the longest answer: what a context of 512 tokens holds.
pub const LONGEST: usize = 2000;

/// The text with typewriter quotes and dashes, without odd white space.
///
/// # Errors
/// The reason to leave it out: it is empty, too long, or has other characters than English needs.
pub fn plain(text: &str) -> Result<String, &'static str> {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{b4}' | '`' => plain.push('\''),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => plain.push('"'),
            '\u{2010}' | '\u{2011}' => plain.push('-'),
            '\u{2012}'..='\u{2015}' => plain.push_str(" - "),
            '\u{2026}' => plain.push_str("..."),
            '\u{a0}' | '\u{2009}' | '\u{202f}' | '\t' => plain.push(' '),
            '\u{ad}' | '\u{200b}' | '\u{feff}' | '\r' => {}
            ' '..='~' | '\n' => plain.push(character),
            _ => return Err("not English"),
        }
    }
    let plain = tidy(&plain);
    match plain.len() {
        0 => Err("empty"),
        1..=LONGEST => Ok(plain),
        _ => Err("too long"),
    }
}

/// No blank lines, and one space where there are several.
fn tidy(text: &str) -> String {
    let words = |line: &str| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let lines = text.lines().map(words).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// A story in plain text that also ends.
///
/// # Errors
/// As [`plain`]; or that it is a fragment, or breaks off.
pub fn story(text: &str) -> Result<String, &'static str> {
    let story = plain(text)?;
    if story.len() < 100 {
        return Err("too short");
    }
    if story.contains("http") || story.contains("<|") {
        return Err("not a story");
    }
    match story.ends_with(['.', '!', '?', '"', '\'']) {
        true => Ok(story),
        false => Err("unfinished"),
    }
}

/// A conversation in plain text in which the person begins, the two alternate, and the model has
/// the last word.
///
/// # Errors
/// As [`plain`]; or what is wrong with the turns.
pub fn chat(messages: &[Message]) -> Result<Chat, &'static str> {
    let expected = [Role::User, Role::Assistant].into_iter().cycle();
    if messages.is_empty() || !messages.len().is_multiple_of(2) {
        return Err("no answer at the end");
    }
    if messages.iter().zip(expected).any(|(message, role)| message.role != role) {
        return Err("turns do not alternate");
    }
    let clean = |message: &Message| Ok(Message::new(message.role, plain(&message.content)?));
    Ok(Chat { messages: messages.iter().map(clean).collect::<Result<_, &'static str>>()? })
}
