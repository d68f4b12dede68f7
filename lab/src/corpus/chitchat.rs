//! Small talk with one voice, and conversations with a purpose.

use std::collections::HashSet;

use otaro::{Message, Role};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::{Chat, Row, Tally, clean, identity};

/// Of the four voices of the small talk, the one that is kind without being loud.
const PERSONA: &str = "friendly";
/// A line that came out of the head of a table, in the place of a question.
const TABLE_HEAD: &str = "Editorial";
/// Characters of the longest turn of a conversation, and most turns.
const LONGEST_TURN: usize = 200;
const MOST_TURNS: usize = 12;

/// The topics of the longer conversations, and what the model is told about its part.
const PARTS: [(&str, &str); 2] =
    [("coffee", "You work in a coffee shop."), ("movie tickets", "You sell movie tickets.")];

/// Answers in other words: those that deny a name, play on words beyond a small model, or do not
/// tell what this model can do.
const REWRITTEN: [(&str, &str); 27] = [
    ("Oh, I don't have a name.", identity::NAME),
    ("That's not one of my talents.", "I can't do that, but I can tell you a story."),
    ("I'm here to chat and to try to help out.", identity::ABLE),
    ("Pretty much this.", "I chat with people and tell them stories."),
    ("I have many likes.", "I like many things, and stories most of all."),
    ("Swing and a miss.", "I'm sorry. Would you like to hear a story?"),
    ("That's a drag.", "I'm sorry to hear that. Would you like to hear a story?"),
    ("Aw nuts.", "Okay, but I'm still here if you need me."),
    ("Will do.", "Okay, I'll be quiet."),
    ("I love that you love stuff!", "It's nice to have things you love."),
    (
        "If it were a contest, which it's not, you'd still probably win.",
        "I think that you are smarter than I am.",
    ),
    ("BFFs!", "Yes, let's be friends!"),
    ("I heart you too!", "I like you too!"),
    ("You're laughing!", "I'm glad that you're laughing!"),
    ("Nighty night!", "Good night! Sleep well!"),
    ("Evening!", "Good evening!"),
    ("Morning!", "Good morning!"),
    ("No way.", "No, I only want to help."),
    ("My lack of comedy is tragic.", "I'm sorry. I'm still learning to be funny."),
    ("I only do food for thought.", "I don't eat. I'm a computer program."),
    ("That doesn't really apply to me.", "I'm a computer program, so that doesn't apply to me."),
    ("I'm digital, so I'm always just... here.", "I live in this device."),
    ("I don't have the hardware for that.", "I'm a computer program. I don't have a body."),
    ("Virtual fist bump, loading... *boom!*", "High five!"),
    ("Hello!", "Hello! I'm here."),
    (
        "With questions like this, I'm not much better than a Ouija board.",
        "I don't know enough about that to say.",
    ),
    ("I'm having a hard time imagining how we'd even figure that out.", "I really couldn't say."),
];

/// Single questions and their answers in the chosen voice, without those that `identity` answers.
pub fn singles(rows: Vec<Row>, identity: &[Chat], tally: &mut Tally) -> Vec<Chat> {
    let answered: HashSet<String> = identity.iter().map(bare_question).collect();
    let mut chats = Vec::new();
    for row in rows {
        let bytes = row.messages.iter().map(|message| message.content.len()).sum();
        chats.extend(tally.keep("ms_chitchat", bytes, single(&row, &answered)));
    }
    chats
}

fn single(row: &Row, answered: &HashSet<String>) -> Result<Chat, &'static str> {
    let mut chat = clean::chat(&row.messages)?;
    if chat.messages[0].content.starts_with(TABLE_HEAD) {
        return Err("head of a table");
    }
    if row.persona != PERSONA {
        return Err("other persona");
    }
    if answered.contains(&bare_question(&chat)) {
        return Err("answered in identity");
    }
    for message in chat.messages.iter_mut().skip(1).step_by(2) {
        if let Some((_, plainer)) = REWRITTEN.iter().find(|(answer, _)| *answer == message.content) {
            message.content = (*plainer).to_owned();
        }
    }
    Ok(chat)
}

/// The questions as they are, every third one also as people type on a phone, and as many
/// conversations of two or three of them in a row.
pub fn with_variants(singles: &[Chat], identity: &[Chat], random: &mut StdRng) -> Vec<Chat> {
    let mut chats = singles.to_vec();
    chats.extend(singles.iter().filter(|_| random.random_ratio(1, 3)).map(casual));
    for single in singles {
        let mut chat = single.clone();
        for _ in 0..random.random_range(1..=2) {
            let pool = if random.random_ratio(1, 8) { identity } else { singles };
            if let Some(next) = pool.choose(random) {
                chat = chat.then(next);
            }
        }
        chats.push(chat);
    }
    chats
}

fn bare_question(chat: &Chat) -> String {
    casual(chat).messages[0].content.clone()
}

/// A question in small letters and without its full stop.
pub fn casual(chat: &Chat) -> Chat {
    let mut chat = chat.clone();
    let question = &mut chat.messages[0].content;
    *question = question.to_lowercase().trim_end_matches(['.', '!', '?']).replace('\'', "");
    chat
}

/// Short conversations about orders and tickets. A message of the system says what the model plays
/// in them, for otherwise it sells neither coffee nor tickets. Those about a picture that the model cannot see
/// are left out.
pub fn dialogues(rows: Vec<Row>, tally: &mut Tally) -> Vec<Chat> {
    let mut chats = Vec::new();
    for row in rows {
        let bytes = row.messages.iter().map(|message| message.content.len()).sum();
        chats.extend(tally.keep("taskmaster", bytes, dialogue(&row)));
    }
    chats
}

fn dialogue(row: &Row) -> Result<Chat, &'static str> {
    let mut chat = clean::chat(&row.messages)?;
    let says = |words: &[&str]| {
        let said = |content: &str| words.iter().any(|word| content.to_lowercase().contains(word));
        chat.messages.iter().any(|message| said(&message.content))
    };
    if chat.messages.len() > MOST_TURNS {
        return Err("too many turns");
    }
    if chat.messages.iter().any(|message| message.content.len() > LONGEST_TURN) {
        return Err("too long");
    }
    if says(&["screen", "display", "menu", "picture", "correct", "look right", "looks right", "look ok"]) {
        return Err("about a picture");
    }
    let (_, part) = PARTS.iter().find(|(topic, _)| *topic == row.topic).ok_or("unknown topic")?;
    chat.messages.insert(0, Message::new(Role::System, *part));
    Ok(chat)
}
