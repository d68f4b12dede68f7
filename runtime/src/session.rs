//! A session: the KV cache of one text, the position in it, and the precisions at which the
//! next token is computed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sefp::Precision;

use crate::{
    Batch, CancelToken, Candidate, Device, Error, ErrorKind, MatrixPrecisions, Output, PrecisionProfile,
    Result,
    forward::{Wanted, forward},
    model::Shared,
};

/// A pass of a prefill is cut so that no more than this lies between two looks at the cancel token:
/// the whole pass on a device that runs it at its end, a layer on one that runs what it is told.
const PASS_TIME: Duration = Duration::from_millis(50);
/// Tokens of the first pass, before there is a measurement, and of every pass on a device too slow
/// for [`PASS_TIME`]: with fewer, decoding the weights would take most of the time.
const MIN_PASS_TOKENS: usize = 8;
/// Tokens of the first pass where a cancel ends it between two layers.
const FIRST_PASS_TOKENS: usize = 32;

/// One text in progress. Made by [`Model::session`](crate::Model::session).
///
/// The profile may change between any two calls. Keys and values already in the cache stay as
/// they are: a cache filled at several precisions is *mixed-precision*, and as valid as any.
///
/// After an error the session is as it was after the last pass that succeeded: the tokens up to
/// [`position`](Self::position) are in the cache, and the call can be repeated with the rest.
pub struct Session {
    model: Arc<Shared>,
    device: Box<dyn Device>,
    position: usize,
    context_length: usize,
    profile: PrecisionProfile,
    /// The profile as the device reads it.
    precisions: Arc<MatrixPrecisions>,
    /// How long a pass of a prefill may take.
    pass_time: Duration,
    /// Tokens of the next pass of a prefill, from the time that the last one took.
    pass_tokens: usize,
}

impl Session {
    pub(crate) fn new(
        model: Arc<Shared>,
        device: Box<dyn Device>,
        profile: PrecisionProfile,
        precisions: Arc<MatrixPrecisions>,
    ) -> Self {
        let (pass_time, pass_tokens) = match device.runs_at_once() {
            true => (PASS_TIME * model.architecture().layers.max(1) as u32, FIRST_PASS_TOKENS),
            false => (PASS_TIME, MIN_PASS_TOKENS),
        };
        let context_length = model.architecture().context_length;
        Self { model, device, position: 0, context_length, profile, precisions, pass_time, pass_tokens }
    }

    /// The profile of the next pass.
    pub fn profile(&self) -> &PrecisionProfile {
        &self.profile
    }

    /// Reads every matrix at this precision from the next pass on: [`set_profile`](Self::set_profile) with the
    /// profile that has it everywhere.
    ///
    /// # Errors
    /// As [`set_profile`](Self::set_profile).
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        self.set_profile(precision)
    }

    /// Sets the profile from the next pass on. Loads nothing by itself: on a CPU the planes are
    /// already mapped, on a GPU the next pass uploads the planes that are missing.
    ///
    /// # Errors
    /// [`MissingPlanes`](ErrorKind::MissingPlanes) when the file does not hold them (yet),
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) when the profile names a layer that the model does not
    /// have; the profile stays as it was.
    pub fn set_profile(&mut self, profile: impl Into<PrecisionProfile>) -> Result<()> {
        let profile = profile.into();
        self.precisions = self.model.resolve(&profile)?;
        self.profile = profile;
        Ok(())
    }

    /// Tokens in the KV cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Tokens that the cache can hold at most.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Allows no more tokens than this in the cache, so that its memory is bounded; at least what is there
    /// already and one more, at most what the model was made for.
    pub fn limit_context(&mut self, tokens: usize) {
        self.context_length = tokens.max(self.position + 1).min(self.model.architecture().context_length);
    }

    /// Bytes of weights read to compute one token with the present profile.
    pub fn weight_bytes_per_token(&self) -> u64 {
        self.model.weight_bytes_per_token(&self.precisions)
    }

    /// Bytes that the KV cache takes at present; it grows in blocks with the context in use.
    pub fn kv_bytes(&self) -> u64 {
        self.device.kv_bytes()
    }

    /// Forgets the tokens from `position` on; a position beyond the end changes nothing.
    pub fn truncate(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Adds tokens to the cache.
    ///
    /// # Errors
    /// [`ContextFull`](ErrorKind::ContextFull), before anything is computed;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a token outside of the vocabulary;
    /// [`Cancelled`](ErrorKind::Cancelled); [`Device`](ErrorKind::Device);
    /// [`MissingPlanes`](ErrorKind::MissingPlanes).
    pub fn prefill(&mut self, tokens: &[u32], cancel: &CancelToken) -> Result<()> {
        self.check(tokens)?;
        self.run(tokens, Wanted::Nothing, cancel, |_| Ok(()))
    }

    /// Adds tokens, at least one, and returns the logits after the last of them, `[vocab]`.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn logits(&mut self, tokens: &[u32], cancel: &CancelToken) -> Result<Vec<f32>> {
        match self.run_to_last(tokens, Wanted::LastLogits, cancel)? {
            Output::Rows(logits) => Ok(logits),
            other => Err(unexpected(&other)),
        }
    }

    /// Adds tokens, at least one, and returns the `k` best candidates to follow the last of them,
    /// best first. Unlike [`logits`](Self::logits), it brings no more than these back from a GPU.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn top_k(&mut self, tokens: &[u32], k: usize, cancel: &CancelToken) -> Result<Vec<Candidate>> {
        match self.run_to_last(tokens, Wanted::TopK(k), cancel)? {
            Output::TopK(candidates) => Ok(candidates),
            other => Err(unexpected(&other)),
        }
    }

    /// Adds tokens and hands out the logits after each of them, `[vocab]`, in order.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill), and what `each` returns.
    pub fn all_logits(
        &mut self,
        tokens: &[u32],
        cancel: &CancelToken,
        mut each: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        self.check(tokens)?;
        let vocab_size = self.model.architecture().vocab_size;
        self.run(tokens, Wanted::AllLogits, cancel, |rows| rows.chunks(vocab_size).try_for_each(&mut each))
    }

    /// Adds tokens and returns their residual stream after `layers` layers, `[tokens, hidden]`: 0
    /// is the embedding, one more than the model has layers is the output of the final norm. An aid
    /// for finding out where two devices or implementations part.
    ///
    /// The keys and values of the layers that were not run are not in the cache, so the position
    /// does not move.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn hidden_states(&mut self, tokens: &[u32], layers: usize, cancel: &CancelToken) -> Result<Vec<f32>> {
        self.check(tokens)?;
        let position = self.position;
        let mut hidden = Vec::new();
        let result = self.run(tokens, Wanted::Hidden(layers), cancel, |rows| {
            hidden.extend_from_slice(rows);
            Ok(())
        });
        self.position = position;
        result.map(|()| hidden)
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        let (context, vocab) = (self.context_length(), self.model.architecture().vocab_size);
        if tokens.len() > context - self.position.min(context) {
            let message = format!(
                "{} more tokens do not fit: {} of the {context} positions of the context are taken",
                tokens.len(),
                self.position
            );
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        match tokens.iter().find(|&&token| token as usize >= vocab) {
            Some(token) => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("token {token} is outside of the vocabulary of {vocab}"),
            )),
            None => Ok(()),
        }
    }

    fn run_to_last(&mut self, tokens: &[u32], wanted: Wanted, cancel: &CancelToken) -> Result<Output> {
        self.check(tokens)?;
        let Some(last) = tokens.len().checked_sub(1) else {
            return Err(Error::new(ErrorKind::InvalidArgument, "at least one token is needed"));
        };
        // All passes but the last only fill the cache.
        let mut begin = 0;
        while last - begin >= self.pass_limit(wanted) {
            let end = begin + self.pass_limit(wanted);
            self.pass(&tokens[begin..end], Wanted::Nothing, cancel)?;
            begin = end;
        }
        self.pass(&tokens[begin..], wanted, cancel)
    }

    /// Runs every token through passes that all want the same, and hands out what they bring back.
    fn run(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        cancel: &CancelToken,
        mut each: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut begin = 0;
        while begin < tokens.len() {
            let end = tokens.len().min(begin + self.pass_limit(wanted));
            if let Output::Rows(rows) = self.pass(&tokens[begin..end], wanted, cancel)? {
                each(&rows)?;
            }
            begin = end;
        }
        Ok(())
    }

    fn pass_limit(&self, wanted: Wanted) -> usize {
        let limit = match wanted {
            Wanted::AllLogits => self.device.max_logits_rows(),
            _ => self.device.max_batch(),
        };
        self.pass_tokens.clamp(1, limit.max(1))
    }

    fn pass(&mut self, tokens: &[u32], wanted: Wanted, cancel: &CancelToken) -> Result<Output> {
        cancel.check()?;
        let start = Instant::now();
        let batch = Batch { tokens, position: self.position, precisions: &self.precisions };
        let output = forward(self.device.as_mut(), self.model.architecture(), batch, wanted, cancel)?;
        self.position += tokens.len();
        self.adapt_pass_tokens(tokens.len(), start.elapsed());
        Ok(output)
    }

    /// Doubles or halves the tokens of a pass so that one takes about as long as it may.
    fn adapt_pass_tokens(&mut self, tokens: usize, time: Duration) {
        if time > self.pass_time {
            self.pass_tokens = (tokens / 2).max(MIN_PASS_TOKENS);
        } else if tokens >= self.pass_tokens && time < self.pass_time / 2 {
            self.pass_tokens = (self.pass_tokens * 2).min(self.device.max_batch());
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("position", &self.position)
            .field("profile", &format_args!("{}", self.profile))
            .finish_non_exhaustive()
    }
}

fn unexpected(output: &Output) -> Error {
    Error::new(ErrorKind::Device, format!("the device answered with {output:?}, which was not asked for"))
}
