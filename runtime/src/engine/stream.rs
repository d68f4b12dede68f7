//! The way of tokens from the thread that computes them to whoever reads: pulled, a batch at a time.
//!
//! The worker adds tokens, which gather into a batch until it is [`BATCH_TIME`] old; the first token goes at
//! once. The reader takes batches. When [`MOST_UNREAD`] wait, the worker waits too, and computes nothing.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{EngineSession, watched::Watched};
use crate::{CancelToken, Error, ErrorKind, FinishReason, Gate, PrecisionProfile, Result, Token};

/// A batch leaves when waiting for one more token would make its first one older than this.
pub const BATCH_TIME: Duration = Duration::from_millis(30);
/// Batches that may wait unread: the worker stops computing until one is taken.
pub const MOST_UNREAD: usize = 4;

/// Some tokens of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// The text that they complete: whole characters, empty while a character or a stop string is in the
    /// making.
    pub text: String,
    /// Their ids, in order; empty in a batch that only brings the end.
    pub token_ids: Vec<u32>,
    /// The profile that all of them were computed with.
    pub profile: PrecisionProfile,
    /// Why the answer ended, in its last batch.
    pub finish_reason: Option<FinishReason>,
}

impl TokenBatch {
    fn empty(profile: PrecisionProfile) -> Self {
        Self { text: String::new(), token_ids: Vec::new(), profile, finish_reason: None }
    }

    fn is_empty(&self) -> bool {
        self.token_ids.is_empty()
    }
}

/// An answer as it is computed on another thread. Clones read from the same answer: each batch goes to one of
/// them. Dropping the last one cancels. A stream keeps its session alive, until that is closed.
#[derive(Clone, Debug)]
pub struct TokenStream(Arc<Reader>);

#[derive(Debug)]
struct Reader {
    shared: Arc<Shared>,
    /// Whoever holds the stream alone still wants its end.
    _session: Option<Arc<EngineSession>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.cancel();
    }
}

/// The worker's end.
#[derive(Clone, Debug)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Watched<State>,
    cancel: CancelToken,
}

#[derive(Debug)]
struct State {
    unread: VecDeque<TokenBatch>,
    gathering: TokenBatch,
    pace: Pace,
    end: End,
}

/// How the stream ends.
#[derive(Debug)]
enum End {
    /// Not yet.
    Open,
    /// Once what is unread was read.
    Finished(FinishReason),
    Failed(Error),
    /// The reader has seen it.
    Seen,
}

/// A new stream, of a session that it keeps alive.
pub(super) fn stream(
    gate: Gate,
    profile: PrecisionProfile,
    session: Option<Arc<EngineSession>>,
) -> (Writer, TokenStream) {
    let state = State {
        unread: VecDeque::new(),
        gathering: TokenBatch::empty(profile),
        pace: Pace::default(),
        end: End::Open,
    };
    let shared = Arc::new(Shared { state: Watched::new(state), cancel: CancelToken::with_gate(gate) });
    let reader = Reader { shared: Arc::clone(&shared), _session: session };
    (Writer(shared), TokenStream(Arc::new(reader)))
}

impl TokenStream {
    /// The next tokens, as soon as there are some; `None` once the end was read.
    ///
    /// May be called from several threads; each batch goes to one of them. A future that is dropped
    /// takes nothing with it.
    ///
    /// # Errors
    /// What ended the generation, once; then `None`. [`Closed`](ErrorKind::Closed) when the session was closed
    /// meanwhile, and the errors of [`Conversation::ask`](crate::Conversation::ask) and of the device.
    pub async fn next(&self) -> Result<Option<TokenBatch>> {
        self.0.shared.state.take(State::take).await
    }

    /// As [`next`](Self::next), blocking this thread.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_blocking(&self) -> Result<Option<TokenBatch>> {
        self.0.shared.state.take_blocking(State::take)
    }

    /// Ends the answer. Whoever waits in [`next`](Self::next) returns at once, with what was not read yet and then
    /// with [`FinishReason::Cancelled`]; the engine stops before its next layer. May be called at any
    /// time, from any thread, and again.
    pub fn cancel(&self) {
        self.0.shared.cancel();
    }
}

impl Shared {
    fn cancel(&self) {
        self.end(End::Finished(FinishReason::Cancelled));
        self.cancel.cancel();
    }

    /// Ends the stream; the first to do so says how.
    fn end(&self, end: End) {
        self.state.update(|state| {
            if matches!(state.end, End::Open) {
                state.end = end;
            }
        });
    }
}

impl Writer {
    /// What the computation must look at between its steps.
    pub(super) fn cancel_token(&self) -> &CancelToken {
        &self.0.cancel
    }

    /// Whether nobody wants any more of it.
    pub(super) fn is_ended(&self) -> bool {
        self.0.state.look(|state| !matches!(state.end, End::Open))
    }

    /// Adds a token; waits while too much is unread. False when nobody wants more.
    pub(super) fn push(&self, token: &Token, profile: &PrecisionProfile) -> bool {
        let now = Instant::now();
        self.0.state.update_if(|state| state.add(token, profile, now));
        self.0.state.wait(|state| match state.end {
            End::Open => (state.unread.len() < MOST_UNREAD).then_some(true),
            _ => Some(false),
        })
    }

    /// Hands out what has gathered, as nothing will join it soon.
    pub(super) fn flush(&self) {
        self.0.state.update(State::flush);
    }

    pub(super) fn cancel(&self) {
        self.0.cancel();
    }

    pub(super) fn finish(&self, reason: FinishReason) {
        self.0.end(End::Finished(reason));
    }

    /// Ends the stream with an error, and the computation with it.
    pub(super) fn fail(&self, error: Error) {
        self.0.end(End::Failed(error));
        self.0.cancel.cancel();
    }
}

impl State {
    /// Adds a token; true when a batch left.
    fn add(&mut self, token: &Token, profile: &PrecisionProfile, now: Instant) -> bool {
        if !matches!(self.end, End::Open) {
            return false;
        }
        let unread = self.unread.len();
        if *profile != self.gathering.profile {
            self.flush();
            self.gathering.profile = profile.clone();
        }
        self.gathering.text += &token.text;
        self.gathering.token_ids.push(token.id);
        if self.pace.leaves(now) {
            self.flush();
        }
        self.unread.len() > unread
    }

    fn flush(&mut self) {
        if !self.gathering.is_empty() {
            let next = TokenBatch::empty(self.gathering.profile.clone());
            self.unread.push_back(std::mem::replace(&mut self.gathering, next));
        }
    }

    /// What a reader gets now, if there is anything.
    fn take(&mut self) -> Option<Result<Option<TokenBatch>>> {
        if let Some(batch) = self.unread.pop_front() {
            return Some(Ok(Some(batch)));
        }
        match std::mem::replace(&mut self.end, End::Seen) {
            End::Open => {
                self.end = End::Open;
                None
            }
            End::Finished(reason) => {
                let next = TokenBatch::empty(self.gathering.profile.clone());
                let last = std::mem::replace(&mut self.gathering, next);
                Some(Ok(Some(TokenBatch { finish_reason: Some(reason), ..last })))
            }
            End::Failed(error) if self.gathering.is_empty() => Some(Err(error)),
            End::Failed(error) => {
                self.end = End::Failed(error);
                self.flush();
                self.unread.pop_front().map(|batch| Ok(Some(batch)))
            }
            End::Seen => Some(Ok(None)),
        }
    }
}

/// When batches leave.
#[derive(Debug, Default)]
struct Pace {
    last_left: Option<Instant>,
    last_token: Option<Instant>,
}

impl Pace {
    /// Takes note of a token; says whether the batch leaves with it.
    fn leaves(&mut self, now: Instant) -> bool {
        let token_time = self.last_token.map_or(Duration::ZERO, |last| now - last);
        let leaves = self.last_left.is_none_or(|left| now - left + token_time >= BATCH_TIME);
        self.last_token = Some(now);
        if leaves {
            self.last_left = Some(now);
        }
        leaves
    }
}

/// The error of whatever was begun before the session was closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the session is closed: open another one")
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
