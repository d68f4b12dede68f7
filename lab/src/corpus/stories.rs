//! Stories, as texts and as answers.

use std::{collections::HashSet, path::Path};

use anyhow::Result;
use otaro_trainer::data::{Document, read};
use rand::{
    RngExt,
    rngs::StdRng,
    seq::{IndexedRandom, IteratorRandom},
};

use super::{Chat, Row, Tally, clean};

/// Stories with so many characters in common at the start are one.
const SAME: usize = 200;
/// A story with so many in common with one for evaluation is not used.
const HELD_OUT: usize = 80;
/// Requests that name nothing.
const ANY_STORY: [&str; 14] = [
    "Tell me a story.",
    "Tell me a story",
    "tell me a story",
    "Can you tell me a story?",
    "can you tell me a story",
    "Please tell me a story.",
    "Tell me a short story.",
    "Tell me a bedtime story.",
    "I want to hear a story.",
    "Do you know a story?",
    "Write a story.",
    "Write a short story.",
    "Make up a story for me.",
    "Could you tell me a nice story, please?",
];
/// Requests for a story about something.
const STORY_ABOUT: [&str; 10] = [
    "Tell me a story about",
    "tell me a story about",
    "Can you tell me a story about",
    "Please tell me a story about",
    "Write a story about",
    "Write a short story about",
    "write a story about",
    "I want to hear a story about",
    "Do you know a story about",
    "Make up a story about",
];
/// Requests for one more.
const ANOTHER: [&str; 6] = [
    "Tell me another story.",
    "Another one, please!",
    "Can you tell me another story?",
    "another story",
    "One more story, please.",
    "Tell me one more.",
];
/// What people say who are offered a story.
const YES: [&str; 6] = ["Yes, please!", "Yes", "yes please", "Sure!", "Okay", "I would like that."];
/// How an answer ends that offers one.
const OFFER: &str = "story?";
/// What people say after a story, and what is said to that.
const THANKS: [(&str, &str); 8] = [
    ("Thank you!", "You're very welcome."),
    ("Thanks, that was nice.", "I'm happy you liked it!"),
    ("I like that story.", "I'm happy you liked it!"),
    ("That was a great story!", "Thank you! I'm happy you liked it!"),
    ("thanks", "You're very welcome."),
    ("Good story", "Thank you! I'm happy you liked it!"),
    ("I loved it!", "I'm happy you liked it!"),
    ("That was fun.", "I'm happy you liked it! Would you like another story?"),
];
/// What a story may be about: the words are sought in it as they stand and with an `s`.
const TOPICS: &str = "dog cat bird bear rabbit bunny fish frog duck mouse lion horse cow pig monkey elephant squirrel \
    butterfly bee spider turtle fox owl princess king queen dragon fairy robot monster wizard knight clown ball car \
    truck train boat plane kite bike rocket tree flower garden farm castle cake cookie apple banana pizza toy doll \
    book box hat puzzle drum star balloon snowman treasure baby";

/// Stories without repetitions.
pub struct Collection {
    pub texts: Vec<String>,
    beginnings: HashSet<String>,
    held_out: HashSet<String>,
}

impl Collection {
    /// An empty collection that takes none of the stories that begin so.
    pub fn without(held_out: HashSet<String>) -> Self {
        Self { texts: Vec::new(), beginnings: HashSet::new(), held_out }
    }

    /// Adds the stories of a file of the raw corpus.
    pub fn add_rows(&mut self, file: &'static str, rows: Vec<Row>, tally: &mut Tally) {
        for row in rows {
            self.add(file, &row.text, tally);
        }
    }

    /// Adds the stories of a text file.
    pub fn add_texts(&mut self, file: &'static str, path: &Path, tally: &mut Tally) -> Result<()> {
        for document in read(path)? {
            if let Document::Text(text) = document {
                self.add(file, &text, tally);
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &'static str, text: &str, tally: &mut Tally) {
        let unique =
            clean::story(text).and_then(|story| match self.held_out.contains(&beginning(&story, HELD_OUT)) {
                true => Err("held out for evaluation"),
                false if self.beginnings.insert(beginning(&story, SAME)) => Ok(story),
                false => Err("double"),
            });
        self.texts.extend(tally.keep(file, text.len(), unique));
    }
}

/// How the stories of a text file begin.
pub fn beginnings(path: &Path) -> Result<HashSet<String>> {
    let stories = read(path)?.into_iter().filter_map(|document| match document {
        Document::Text(text) => clean::plain(&text).ok(),
        Document::Chat(_) => None,
    });
    Ok(stories.map(|story| beginning(&story, HELD_OUT)).collect())
}

fn beginning(story: &str, characters: usize) -> String {
    story.replace('\n', " ").chars().take(characters).collect()
}

/// Requests and their stories. Of the requests that list words, which nobody writes, most are made
/// plainer; and every other conversation has more turns than one.
pub fn chats(
    rows: Vec<Row>,
    held_out: &HashSet<String>,
    small_talk: &[Chat],
    random: &mut StdRng,
    tally: &mut Tally,
) -> Vec<Chat> {
    let (mut chats, mut previous) = (Vec::new(), None);
    for row in rows {
        let bytes = row.messages.iter().map(|message| message.content.len()).sum();
        let request = clean::chat(&row.messages).and_then(|chat| {
            let story = clean::story(&chat.messages[1].content)?;
            match held_out.contains(&beginning(&story, HELD_OUT)) {
                true => Err("held out for evaluation"),
                false => Ok(Chat::pair(plainer(&chat.messages[0].content, &story, random), story)),
            }
        });
        if let Some(request) = tally.keep("tinystories_prompts", bytes, request) {
            // The rest of a story that was asked for under its beginning is no story by itself.
            let whole = !request.messages[0].content.contains('\n');
            let story = request.messages[1].content.clone();
            chats.push(with_turns(request, previous.take(), small_talk, random));
            previous = whole.then_some(story);
        }
    }
    chats
}

/// The request, or one without a list of words.
fn plainer(request: &str, story: &str, random: &mut StdRng) -> String {
    let lists_words = request.contains("words") && !request.contains('\n');
    if !lists_words || random.random_ratio(1, 5) {
        return request.to_owned();
    }
    match topic(story) {
        Some(topic) if random.random_ratio(3, 4) => {
            let begin = pick(&STORY_ABOUT, random);
            let article = if topic.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            let end = match begin {
                _ if begin.starts_with("Can") || begin.starts_with("Do") => "?",
                _ if begin.starts_with(char::is_lowercase) => "",
                _ => ".",
            };
            format!("{begin} {article} {topic}{end}")
        }
        _ => pick(&ANY_STORY, random).to_owned(),
    }
}

/// What a story is about: the topic that it names most often, if it does so three times.
fn topic(story: &str) -> Option<&'static str> {
    let story = story.to_lowercase();
    let words: Vec<&str> = story.split(|c: char| !c.is_alphabetic()).collect();
    let count =
        |topic: &str| words.iter().filter(|word| word.strip_suffix('s').unwrap_or(word) == topic).count();
    let counted = TOPICS.split_whitespace().map(|topic| (count(topic), topic));
    counted.max().filter(|(count, _)| *count >= 3).map(|(_, topic)| topic)
}

/// Some conversations go on after the story, some begin with something else.
fn with_turns(story: Chat, previous: Option<String>, small_talk: &[Chat], random: &mut StdRng) -> Chat {
    let turns = random.random_range(0..10);
    let talk = if turns < 4 { small_talk.choose(random) } else { offers(small_talk).choose(random) };
    match (turns, talk, previous) {
        (0..=1, Some(talk), _) => talk.clone().then(&story),
        (2, _, _) => {
            let (thanks, welcome) = pick(&THANKS, random);
            story.then(&Chat::pair(thanks, welcome))
        }
        (4..=5, Some(offer), _) if ANY_STORY.contains(&story.messages[0].content.as_str()) => {
            offer.clone().then(&Chat::pair(pick(&YES, random), story.messages[1].content.clone()))
        }
        (3, _, Some(other)) if story.characters() + other.len() <= clean::LONGEST => {
            story.then(&Chat::pair(pick(&ANOTHER, random), other))
        }
        _ => story,
    }
}

/// The small talk in which a story is offered.
fn offers(small_talk: &[Chat]) -> impl Iterator<Item = &Chat> {
    small_talk.iter().filter(|chat| chat.messages[chat.messages.len() - 1].content.ends_with(OFFER))
}

fn pick<T: Copy>(choices: &[T], random: &mut StdRng) -> T {
    choices[random.random_range(0..choices.len())]
}
