//! The loop: feed tokens, choose the next one, turn it into text, decide whether to go on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Metrics, Sampler};
use crate::{
    CancelToken, Error, ErrorKind, PrecisionProfile, Result, Session, StopFilter, TextDecoder, Tokenizer,
};

/// When a generation ends.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// The most tokens to generate. The context of the session ends a generation too.
    pub max_tokens: usize,
    /// Texts that end the answer; they are not part of it. None may be empty.
    pub stop: Vec<String>,
    /// Goes on past the tokens with which the model ends an answer or begins another text.
    pub ignore_eos: bool,
    /// Ends the generation from elsewhere.
    pub cancel: CancelToken,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_tokens: 1024, stop: Vec::new(), ignore_eos: false, cancel: CancelToken::new() }
    }
}

impl GenerateOptions {
    /// Checks the options.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if a stop string is empty.
    pub fn validate(&self) -> Result<()> {
        StopFilter::new(self.stop.iter().cloned()).map(|_| ())
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its answer, or began another text.
    Eos,
    /// A stop string appeared.
    StopString,
    /// As many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    Context,
    /// The cancel token.
    Cancelled,
}

/// A generated token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The text that it completes: whole characters, empty while bytes are pending, while a stop
    /// string may be in the making, and for the token that ends an answer.
    pub text: String,
}

/// Generates tokens after a prompt: an iterator that does the work of one token per step.
///
/// To stop is to stop pulling, or to cancel from elsewhere; the session is consistent at every
/// moment. A cancelled generation just ends, it is not an error. Text held back for a stop string
/// that never came leaves with the last token, but not on cancel.
#[derive(Debug)]
pub struct Generator<'a> {
    session: &'a mut Session,
    sampler: &'a mut Sampler,
    /// Prompt and answer; the first [`Session::position`] of them are in the KV cache.
    tokens: Vec<u32>,
    prompt_tokens: usize,
    reused_tokens: usize,
    max_tokens: usize,
    eos: BTreeSet<u32>,
    cancel: CancelToken,
    decoder: TextDecoder,
    stop: StopFilter,
    generated: usize,
    finish: Option<FinishReason>,
    failed: bool,
    clock: Clock,
}

impl<'a> Generator<'a> {
    /// A generator of what follows `prompt`. The tokens that the session already holds must be the
    /// beginning of `prompt`: they are not computed again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the prompt is empty or shorter than what the session holds,
    /// or if a stop string is empty; [`ErrorKind::ContextFull`] if the prompt is longer than the
    /// context.
    pub fn new(
        session: &'a mut Session,
        sampler: &'a mut Sampler,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> Result<Self> {
        let clock = Clock::start();
        check_prompt(session, prompt)?;
        let stop = StopFilter::new(options.stop.iter().cloned())?;
        let decoder = tokenizer.decoder(prompt)?;
        sampler.observe(prompt);
        // The logits after the last token are needed even if the whole prompt is in the cache.
        session.truncate(prompt.len() - 1);
        // A model that begins another text has ended this one.
        let eos =
            tokenizer.eos().iter().copied().chain(tokenizer.bos()).filter(|_| !options.ignore_eos).collect();
        Ok(Self {
            tokens: prompt.to_vec(),
            prompt_tokens: prompt.len(),
            reused_tokens: session.position(),
            max_tokens: options.max_tokens,
            eos,
            cancel: options.cancel.clone(),
            decoder,
            stop,
            generated: 0,
            finish: None,
            failed: false,
            clock,
            session,
            sampler,
        })
    }

    /// Why the generation ended; `None` while it goes on and after an error.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Prompt and answer so far, without the token that ended the answer.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Changes the profile from the next token on.
    ///
    /// # Errors
    /// As [`Session::set_profile`].
    pub fn set_profile(&mut self, profile: impl Into<PrecisionProfile>) -> Result<()> {
        self.session.set_profile(profile)
    }

    /// The profile of the next token.
    pub fn profile(&self) -> &PrecisionProfile {
        self.session.profile()
    }

    /// Tokens in the KV cache.
    pub fn position(&self) -> usize {
        self.session.position()
    }

    /// Bytes that the KV cache takes at present.
    pub fn kv_bytes(&self) -> u64 {
        self.session.kv_bytes()
    }

    /// The figures so far. The device is left empty.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            prompt_tokens: self.prompt_tokens,
            reused_tokens: self.reused_tokens,
            generated_tokens: self.generated,
            prefill: self.clock.prefill,
            first_token: self.clock.first_token,
            decode: self.clock.decode,
            weight_bytes_per_token: self.session.weight_bytes_per_token(),
            profile: self.session.profile().to_string(),
            device: String::new(),
        }
    }

    fn step(&mut self) -> Result<Token> {
        let id = self.choose()?;
        self.generated += 1;
        self.clock.token();
        if self.eos.contains(&id) {
            return self.last(id, FinishReason::Eos, String::new());
        }
        let room = self.tokens.len() < self.session.context_length();
        self.tokens.push(id);
        let outcome = self.stop.push(&self.decoder.push(id)?);
        if outcome.stop.is_some() {
            self.finish = Some(FinishReason::StopString);
        } else if self.generated == self.max_tokens {
            return self.last(id, FinishReason::MaxTokens, outcome.text);
        } else if !room {
            return self.last(id, FinishReason::Context, outcome.text);
        }
        Ok(Token { id, text: outcome.text })
    }

    /// Feeds what the cache does not hold yet and chooses the token that follows.
    fn choose(&mut self) -> Result<u32> {
        let tokens = &self.tokens[self.session.position()..];
        match self.sampler.candidates_needed() {
            Some(k) => {
                let candidates = self.session.top_k(tokens, k, &self.cancel)?;
                self.clock.computed();
                self.sampler.choose(&candidates)
            }
            None => {
                let mut logits = self.session.logits(tokens, &self.cancel)?;
                self.clock.computed();
                self.sampler.sample(&mut logits)
            }
        }
    }

    /// The last token: text that was held back leaves with it.
    fn last(&mut self, id: u32, reason: FinishReason, mut text: String) -> Result<Token> {
        let outcome = self.stop.push(&self.decoder.finish()?);
        text += &outcome.text;
        text += &self.stop.finish();
        self.finish = Some(if outcome.stop.is_some() { FinishReason::StopString } else { reason });
        Ok(Token { id, text })
    }
}

impl Iterator for Generator<'_> {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish.is_some() || self.failed {
            return None;
        }
        if self.generated >= self.max_tokens {
            self.finish = Some(FinishReason::MaxTokens);
            return None;
        }
        match self.step() {
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                self.finish = Some(FinishReason::Cancelled);
                None
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
            token => Some(token),
        }
    }
}

impl std::iter::FusedIterator for Generator<'_> {}

fn check_prompt(session: &Session, prompt: &[u32]) -> Result<()> {
    let (length, held, context) = (prompt.len(), session.position(), session.context_length());
    if prompt.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "the prompt has no tokens: there is nothing to go on from",
        ));
    }
    if held > length {
        let message =
            format!("the session holds {held} tokens, which a prompt of {length} cannot begin with");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    if length > context {
        let message =
            format!("the prompt has {length} tokens and the context {context}: shorten it or start anew");
        return Err(Error::new(ErrorKind::ContextFull, message));
    }
    Ok(())
}

/// The times of a generation, from its start.
#[derive(Debug)]
struct Clock {
    start: Instant,
    prefill: Duration,
    first_token: Duration,
    decode: Duration,
}

impl Clock {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            prefill: Duration::ZERO,
            first_token: Duration::ZERO,
            decode: Duration::ZERO,
        }
    }

    fn computed(&mut self) {
        if self.prefill.is_zero() {
            self.prefill = self.start.elapsed();
        }
    }

    fn token(&mut self) {
        let now = self.start.elapsed();
        if self.first_token.is_zero() {
            self.first_token = now;
        }
        self.decode = now - self.first_token;
    }
}

#[cfg(test)]
mod tests;
