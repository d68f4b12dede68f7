//! A conversation: messages, the text that the chat template makes of them, and the KV cache that
//! already holds most of it.

use std::time::SystemTime;

use sefp::Precision;

use super::{FinishReason, GenerateOptions, Generator, Metrics, Sampler, SamplerSettings, Token};
use crate::{
    ChatTemplate, Error, ErrorKind, Message, Model, PrecisionProfile, Result, Role, Session, Tokenizer,
};

/// A conversation with a model.
///
/// Every question renders the whole conversation, but only the tokens that the KV cache does not
/// hold yet are computed. A model without a chat template continues the text instead: a question is
/// appended to what stands there, and once the model has ended a text the next question begins a
/// new one.
///
/// A cancelled answer stays in the conversation as far as it came. A question that got no answer at
/// all is forgotten when the next one is asked.
#[derive(Debug)]
pub struct Conversation {
    model: Model,
    session: Session,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    sampler: Sampler,
    messages: Vec<Message>,
    /// When it began: what templates write as today's date must not change the text of the past.
    began: SystemTime,
    past: Past,
    /// That of the conversation, while `past` is that of a completion beside it.
    set_aside: Option<Past>,
}

/// The text so far, in tokens.
#[derive(Debug, Default)]
struct Past {
    /// Prompt and answer; the first [`Session::position`] of them are in the KV cache.
    tokens: Vec<u32>,
    /// How many of them stood there before the last question.
    before: usize,
    /// How many of them are the prompt of the last answer.
    prompt_tokens: usize,
    /// The prompt of the last answer as the template rendered it.
    prompt: String,
    /// Whether the model ended its answer.
    ended: bool,
}

impl Conversation {
    /// A conversation with the tokenizer and the chat template that travel inside the model's file.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] and [`ErrorKind::ChatTemplate`] when these are missing or broken,
    /// [`ErrorKind::MissingPlanes`] when the file does not hold the planes of this precision or profile.
    pub fn new(model: &Model, profile: impl Into<PrecisionProfile>) -> Result<Self> {
        let checkpoint = model.checkpoint().ok_or_else(|| {
            Error::new(
                ErrorKind::Tokenizer,
                "a model that was not read from a packed file has no tokenizer inside",
            )
        })?;
        Self::with_text(model, checkpoint.tokenizer()?, checkpoint.chat_template()?, profile)
    }

    /// A conversation with a tokenizer and a template of the caller's choice; without a template the
    /// model continues text.
    ///
    /// # Errors
    /// As [`Model::session`].
    pub fn with_text(
        model: &Model,
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
        profile: impl Into<PrecisionProfile>,
    ) -> Result<Self> {
        Ok(Self {
            session: model.session(profile)?,
            model: model.clone(),
            tokenizer,
            template,
            sampler: Sampler::new(SamplerSettings::default())?,
            messages: Vec::new(),
            began: SystemTime::now(),
            past: Past::default(),
            set_aside: None,
        })
    }

    /// Whether the model has a chat template; otherwise it continues text.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// What was said, the system message included.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The profile of the next token.
    pub fn profile(&self) -> &PrecisionProfile {
        self.session.profile()
    }

    /// Changes the precision of every matrix from the next token on. What is in the KV cache stays.
    ///
    /// # Errors
    /// As [`Session::set_profile`].
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        self.session.set_precision(precision)
    }

    /// Changes the profile from the next token on. What is in the KV cache stays.
    ///
    /// # Errors
    /// As [`Session::set_profile`].
    pub fn set_profile(&mut self, profile: impl Into<PrecisionProfile>) -> Result<()> {
        self.session.set_profile(profile)
    }

    /// Tokens of the conversation that are in the KV cache, and how many fit.
    pub fn context(&self) -> (usize, usize) {
        (self.session.position(), self.session.context_length())
    }

    /// Allows no more tokens than this in the context, and no more than the model was made for.
    pub fn limit_context(&mut self, tokens: usize) {
        self.session.limit_context(tokens);
    }

    /// Bytes that the KV cache takes at present.
    pub fn kv_bytes(&self) -> u64 {
        self.session.kv_bytes()
    }

    /// Changes how tokens are chosen; the random numbers begin again.
    ///
    /// # Errors
    /// As [`SamplerSettings::validate`].
    pub fn set_sampler(&mut self, settings: SamplerSettings) -> Result<()> {
        self.sampler = Sampler::new(settings)?;
        Ok(())
    }

    /// Forgets everything and, with `system`, begins with that system message.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a system message to a model without chat template; nothing
    /// is forgotten then.
    pub fn reset(&mut self, system: Option<&str>) -> Result<()> {
        self.restore(system.map(|text| Message::new(Role::System, text)).into_iter().collect())
    }

    /// Forgets everything and goes on from messages of an earlier conversation, which ends with an
    /// answer if it has more than a system message. The next question pays for their tokens.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for messages to a model without chat template; nothing is forgotten
    /// then.
    pub fn restore(&mut self, messages: Vec<Message>) -> Result<()> {
        if !messages.is_empty() && self.template.is_none() {
            let message = "this model has no chat template, so it takes no messages: it continues text";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.messages = messages;
        self.began = SystemTime::now();
        // The tokens stay known: a new conversation often begins like the old one.
        let tokens = std::mem::take(&mut self.past.tokens);
        self.past = Past { tokens, ended: true, ..Past::default() };
        self.set_aside = None;
        Ok(())
    }

    /// Asks, and returns the answer as it is generated.
    ///
    /// # Errors
    /// [`ErrorKind::ChatTemplate`] when the template refuses the conversation,
    /// [`ErrorKind::ContextFull`] when it has become too long, and as [`Generator::new`]. The question
    /// is not part of the conversation then.
    pub fn ask(&mut self, question: &str, options: &GenerateOptions) -> Result<Answer<'_>> {
        options.validate()?;
        self.take_up();
        self.forget_unanswered();
        self.messages.push(Message::new(Role::User, question));
        match self.prepare(question) {
            Ok(past) => self.past = past,
            Err(error) => {
                self.messages.pop();
                return Err(error);
            }
        }
        self.messages.push(Message::new(Role::Assistant, ""));
        self.generate(options, true)
    }

    /// Continues a text as it stands, without a template: the same cache, the same figures, but no part of
    /// the conversation, which stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when there is no text, [`ErrorKind::ContextFull`] when it is too
    /// long, and as [`Generator::new`].
    pub fn complete(&mut self, text: &str, options: &GenerateOptions) -> Result<Answer<'_>> {
        options.validate()?;
        let tokens = self.tokenizer.encode(text)?;
        self.keep_common(&tokens)?;
        let past = std::mem::replace(&mut self.past, Past { tokens, ended: true, ..Past::default() });
        self.set_aside.get_or_insert(past);
        self.generate(options, false)
    }

    /// Generates what follows the tokens of the past.
    fn generate(&mut self, options: &GenerateOptions, conversing: bool) -> Result<Answer<'_>> {
        let device = self.model.device_info().to_string();
        let Self { session, sampler, tokenizer, messages, past, .. } = self;
        let prompt = past.tokens.clone();
        let generator = Generator::new(session, sampler, tokenizer, &prompt, options)?;
        let message = messages.last_mut().filter(|_| conversing);
        Ok(Answer { generator, past, message, device })
    }

    /// The prompt of the next answer. Leaves in the session what the prompt begins with.
    fn prepare(&mut self, question: &str) -> Result<Past> {
        let mut prompt = String::new();
        let mut before = 0;
        let tokens = match &self.template {
            Some(template) => {
                prompt = template.render(&self.messages, true, self.began)?;
                self.tokens_of(&prompt)?
            }
            None if self.past.ended || self.past.tokens.is_empty() => self.tokenizer.encode(question)?,
            None => {
                before = self.past.tokens.len();
                [self.past.tokens.as_slice(), &self.tokenizer.encode_rendered(question)?].concat()
            }
        };
        self.keep_common(&tokens)?;
        Ok(Past { before, prompt_tokens: tokens.len(), tokens, prompt, ended: false })
    }

    /// Goes back from a completion to the past of the conversation: its tokens, as the model cut them.
    fn take_up(&mut self) {
        if let Some(past) = self.set_aside.take() {
            let common = self.common(&past.tokens);
            self.session.truncate(common);
            self.past = past;
        }
    }

    /// Leaves in the session what these tokens begin with.
    fn keep_common(&mut self, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() {
            let message = "there is no text to go on from: write something first";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let context = self.session.context_length();
        if tokens.len() > context {
            let message = format!(
                "the conversation has {} tokens and the context {context}: start a new one",
                tokens.len()
            );
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        self.session.truncate(self.common(tokens));
        Ok(())
    }

    /// How many tokens the session has in common with these.
    fn common(&self, tokens: &[u32]) -> usize {
        let known = &self.past.tokens[..self.session.position()];
        known.iter().zip(tokens).take_while(|(known, token)| known == token).count()
    }

    /// The tokens of a rendered conversation.
    ///
    /// A model may cut its answer into other tokens than the tokenizer would. Where the text goes on
    /// from the last answer with a special token, which nothing joins with what stands before it, the
    /// tokens of the past are kept and only the rest is cut: the KV cache then fits to the end.
    fn tokens_of(&self, text: &str) -> Result<Vec<u32>> {
        let past = &self.past;
        if past.prompt_tokens > 0 {
            let spoken = self.spoken()?;
            let rest =
                text.strip_prefix(past.prompt.as_str()).and_then(|rest| rest.strip_prefix(spoken.as_str()));
            if let Some(rest) = rest {
                let rest = self.tokenizer.encode_rendered(rest)?;
                if rest.first().is_some_and(|token| self.tokenizer.is_special(*token)) {
                    return Ok([past.tokens.as_slice(), &rest].concat());
                }
            }
        }
        self.tokenizer.encode_rendered(text)
    }

    /// The text of the tokens of the last answer, whatever of it was shown.
    fn spoken(&self) -> Result<String> {
        let (prompt, answer) = self.past.tokens.split_at(self.past.prompt_tokens);
        let mut decoder = self.tokenizer.decoder(prompt)?;
        let mut text = String::new();
        for token in answer {
            text += &decoder.push(*token)?;
        }
        Ok(text + &decoder.finish()?)
    }

    /// Takes back a question to which nothing was answered, so that roles alternate.
    fn forget_unanswered(&mut self) {
        if let [.., question, answer] = self.messages.as_slice()
            && question.role == Role::User
            && answer.role == Role::Assistant
            && answer.content.is_empty()
        {
            self.messages.truncate(self.messages.len() - 2);
            self.past.prompt_tokens = 0;
            if self.template.is_none() {
                self.past.tokens.truncate(self.past.before);
                self.session.truncate(self.past.before);
            }
        }
    }
}

/// An answer as it is generated: an iterator over its tokens. It becomes part of the conversation
/// token by token, so it may be dropped at any time.
#[derive(Debug)]
pub struct Answer<'a> {
    generator: Generator<'a>,
    past: &'a mut Past,
    /// The message that it becomes, unless it is a completion.
    message: Option<&'a mut Message>,
    device: String,
}

impl Answer<'_> {
    /// Why the answer ended; `None` while it goes on and after an error.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.generator.finish_reason()
    }

    /// Changes the precision of every matrix from the next token on.
    ///
    /// # Errors
    /// As [`Session::set_profile`].
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        self.generator.set_profile(precision)
    }

    /// Changes the profile from the next token on.
    ///
    /// # Errors
    /// As [`Session::set_profile`].
    pub fn set_profile(&mut self, profile: impl Into<PrecisionProfile>) -> Result<()> {
        self.generator.set_profile(profile)
    }

    /// The profile of the next token.
    pub fn profile(&self) -> &PrecisionProfile {
        self.generator.profile()
    }

    /// Tokens of the text that are in the KV cache.
    pub fn context_used(&self) -> usize {
        self.generator.position()
    }

    /// Bytes that the KV cache takes at present.
    pub fn kv_bytes(&self) -> u64 {
        self.generator.kv_bytes()
    }

    /// The figures so far.
    pub fn metrics(&self) -> Metrics {
        Metrics { device: self.device.clone(), ..self.generator.metrics() }
    }
}

impl Iterator for Answer<'_> {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Self::Item> {
        let token = self.generator.next()?;
        let known = self.past.tokens.len();
        self.past.tokens.extend_from_slice(&self.generator.tokens()[known..]);
        if let (Ok(token), Some(message)) = (&token, &mut self.message) {
            self.past.ended = self.generator.finish_reason() == Some(FinishReason::Eos);
            message.content += &token.text;
        }
        Some(token)
    }
}

#[cfg(test)]
mod tests;
