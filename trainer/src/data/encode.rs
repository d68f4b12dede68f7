//! Documents as tokens, and which of the tokens a model is to learn.

use std::{
    num::NonZero,
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use otaro::{ChatTemplate, Message, Role, Tokenizer};

use super::{Document, SpecialToken};

/// The day that chat templates write as today, in seconds since 1970: 26 July 2024, the one that
/// Llama 3 templates write when nobody tells them. A fixed day keeps the tokens the same every day.
const TODAY: Duration = Duration::from_secs(1_721_952_000);

/// A document as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// `scored[i]`: predicting `tokens[i]` counts in the loss. As long as `tokens`; never true for
    /// the first token, which nothing precedes.
    pub scored: Vec<bool>,
}

impl Example {
    /// Tokens all of which count, but the first: an evaluation text.
    pub fn all_scored(tokens: Vec<u32>) -> Self {
        let mut example = Self::default();
        example.push(&tokens, true);
        example
    }

    fn push(&mut self, tokens: &[u32], scored: bool) {
        self.tokens.extend_from_slice(tokens);
        self.scored.resize(self.tokens.len(), scored);
        if let Some(first) = self.scored.first_mut() {
            *first = false;
        }
    }
}

/// Turns documents into examples for one model.
#[derive(Debug)]
pub struct Encoder {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    vocab_size: usize,
    score_all: bool,
}

impl Encoder {
    /// An encoder with the tokenizer and the chat template of a model that has `vocab_size` rows in
    /// its embedding. Without a template it takes texts only.
    ///
    /// # Errors
    /// If the tokenizer has more tokens than the model.
    pub fn new(tokenizer: Tokenizer, template: Option<ChatTemplate>, vocab_size: usize) -> Result<Self> {
        ensure!(
            tokenizer.vocab_size() <= vocab_size,
            "the tokenizer has {} tokens and the model {vocab_size}: they do not belong together",
            tokenizer.vocab_size()
        );
        Ok(Self { tokenizer, template, vocab_size, score_all: false })
    }

    /// With `true`, everything that is said in a conversation counts in the loss (for pretraining);
    /// otherwise the answers alone do.
    #[must_use]
    pub fn score_all(mut self, score_all: bool) -> Self {
        self.score_all = score_all;
        self
    }

    /// The token that fills up windows: `<|pad|>` where there is one, otherwise the first.
    pub fn padding(&self) -> u32 {
        self.tokenizer.token_id(SpecialToken::Pad.text()).unwrap_or(0)
    }

    /// The examples of documents, in their order, on all cores.
    ///
    /// A text is the begin-of-sequence token, the text and the end-of-sequence token, where the
    /// tokenizer has them; all but the first token count. A conversation is what the chat template
    /// writes; the answers count, each with what the template writes to end it. What follows the
    /// last answer is left out, so a conversation without an answer is an empty example.
    ///
    /// # Errors
    /// With the number of the document (from 1), if the tokenizer or the template refuses it, if an
    /// id is outside the vocabulary of the model, or if a conversation meets a model without a
    /// template or with one that writes the past differently once an answer follows.
    pub fn encode(&self, documents: &[Document]) -> Result<Vec<Example>> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = documents.len().div_ceil(threads).max(1);
        let encode_share = |(number, documents): (usize, &[Document])| -> Result<Vec<Example>> {
            let first = number * share + 1;
            let numbered = documents.iter().zip(first..);
            numbered
                .map(|(document, number)| {
                    self.example(document).with_context(|| format!("document {number}"))
                })
                .collect()
        };
        let encode_share = &encode_share;
        let shares: Vec<Result<Vec<Example>>> = thread::scope(|scope| {
            let shares = documents.chunks(share).enumerate();
            let handles: Vec<_> = shares.map(|share| scope.spawn(move || encode_share(share))).collect();
            let join = |handle: thread::ScopedJoinHandle<'_, _>| match handle.join() {
                Ok(examples) => examples,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            handles.into_iter().map(join).collect()
        });
        let mut examples = Vec::with_capacity(documents.len());
        for share in shares {
            examples.extend(share?);
        }
        Ok(examples)
    }

    fn example(&self, document: &Document) -> Result<Example> {
        let example = match document {
            Document::Text(text) => self.text(text)?,
            Document::Chat(messages) => self.chat(messages)?,
        };
        if let Some(id) = example.tokens.iter().find(|id| **id as usize >= self.vocab_size) {
            bail!("the tokenizer makes the id {id} of it, and the model has {} tokens", self.vocab_size);
        }
        Ok(example)
    }

    fn text(&self, text: &str) -> Result<Example> {
        let mut example = Example::default();
        example.push(self.tokenizer.bos().as_slice(), false);
        example.push(&self.tokenizer.encode_rendered(text)?, true);
        // Of several, the first of the vocabulary ends texts and the later ones end turns.
        example.push(self.tokenizer.eos().first().map(std::slice::from_ref).unwrap_or_default(), true);
        Ok(example)
    }

    fn chat(&self, messages: &[Message]) -> Result<Example> {
        let Some(template) = &self.template else {
            bail!("this model has no chat template: it takes texts, not conversations");
        };
        let now = SystemTime::UNIX_EPOCH + TODAY;
        let mut rendering =
            Rendering { tokenizer: &self.tokenizer, example: Example::default(), text: String::new() };
        if self.score_all {
            rendering.extend(template.render(messages, false, now)?, true)?;
            return Ok(rendering.example);
        }
        let answers = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
        for (index, _) in answers {
            rendering.extend(template.render(&messages[..index], true, now)?, false)?;
            rendering.extend(template.render(&messages[..=index], false, now)?, true)?;
        }
        Ok(rendering.example)
    }
}

/// A conversation as far as it is encoded.
struct Rendering<'a> {
    tokenizer: &'a Tokenizer,
    example: Example,
    text: String,
}

impl Rendering<'_> {
    /// Goes on to a longer rendering of the same conversation.
    fn extend(&mut self, longer: String, scored: bool) -> Result<()> {
        let Some(rest) = longer.strip_prefix(&self.text) else {
            bail!(
                "the chat template writes what came before an answer differently once the answer follows, \
                 so the two cannot be told apart. Before: {:?}; after: {:?}",
                end(&self.text),
                end(&longer)
            );
        };
        // At an answer a model sees the tokens of all the text before it. The rest on its own may
        // differ from the rest of the whole: some tokenizers put a space before whatever begins.
        let whole = self.tokenizer.encode_rendered(&longer)?;
        match whole.strip_prefix(self.example.tokens.as_slice()) {
            Some(rest) => self.example.push(rest, scored),
            None => self.example.push(&self.tokenizer.encode_rendered(rest)?, scored),
        }
        self.text = longer;
        Ok(())
    }
}

/// The last few characters, for a message.
fn end(text: &str) -> &str {
    let start = text.char_indices().rev().nth(79).map_or(0, |(start, _)| start);
    &text[start..]
}
