//! Prompts as tokens.

use otaro::{Error, ErrorKind, Result, Tokenizer};

use super::{Prompt, Task, questions::Question};

/// Turns questions into tokens for one model.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// A token that begins every prompt.
    pub bos: Option<u32>,
    /// Tokens that the model takes at most.
    pub context_length: usize,
}

/// One choice as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChoice {
    /// Context and continuation.
    pub tokens: Vec<u32>,
    /// Where the continuation begins, at least 1.
    pub context: usize,
    /// Characters of the choice, which its likelihood is divided by.
    pub characters: usize,
}

/// A question as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedQuestion {
    /// One for each choice.
    pub choices: Vec<EncodedChoice>,
    /// The right one.
    pub gold: usize,
    /// Whether the beginning of a context was cut off because it was too long.
    pub truncated: bool,
}

impl Encoder {
    /// The tokens of a question.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a choice that is longer than the context of the model or
    /// has no token of its own, [`Tokenizer`](ErrorKind::Tokenizer).
    pub fn encode(&self, task: Task, question: &Question) -> Result<EncodedQuestion> {
        let mut truncated = false;
        let mut choices = Vec::new();
        for (prompt, choice) in task.prompts(question).iter().zip(&question.choices) {
            let (mut tokens, mut context) = self.pair(prompt)?;
            let refused = |what: &str| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("the continuation '{}' {what}", prompt.continuation),
                )
            };
            // The last token is scored, not given.
            let excess = tokens.len().saturating_sub(self.context_length + 1);
            if context == tokens.len() {
                return Err(refused("has no token of its own after its context"));
            }
            if context == 0 {
                return Err(refused("has no context: use --bos always"));
            }
            if context <= excess {
                return Err(refused("is longer than the context of the model"));
            }
            truncated |= excess > 0;
            tokens.drain(..excess);
            context -= excess;
            choices.push(EncodedChoice { tokens, context, characters: choice.chars().count() });
        }
        Ok(EncodedQuestion { choices, gold: question.gold, truncated })
    }

    /// Context and continuation are encoded as one text, and cut where the tokens of the context alone would
    /// end. White space at the end of the context counts for the continuation: tokens mostly begin with it.
    fn pair(&self, prompt: &Prompt) -> Result<(Vec<u32>, usize)> {
        let context = prompt.context.trim_end();
        let whole = self.tokens(&format!("{}{}", prompt.context, prompt.continuation))?;
        let length = self.tokens(context)?.len().min(whole.len());
        Ok((whole, length))
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let tokens = self.tokenizer.encode_rendered(text)?;
        Ok(self.bos.into_iter().chain(tokens).collect())
    }
}

impl EncodedQuestion {
    /// How many tokens all choices begin with and none scores.
    pub fn shared(&self) -> usize {
        let (Some(first), Some(shortest)) =
            (self.choices.first(), self.choices.iter().map(|choice| choice.context).min())
        else {
            return 0;
        };
        // The last token of a context is given again: the logits after it are what is wanted.
        (0..shortest.saturating_sub(1))
            .take_while(|&place| {
                self.choices.iter().all(|choice| choice.tokens[place] == first.tokens[place])
            })
            .count()
    }
}
