//! An answer as it comes.

use crate::OtaroError;

/// An answer in progress, pulled a batch at a time. Dropping it cancels. It keeps its session alive, until that is
/// closed.
#[derive(Debug, uniffi::Object)]
pub struct TokenStream(otaro::engine::TokenStream);

/// Some tokens of an answer: those of 20 to 50 ms, and the first one by itself.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TokenBatch {
    /// The text that they complete: whole characters; empty while a character or a stop string is in the making.
    pub text: String,
    /// Their ids, in order; empty in a batch that only brings the end.
    pub token_ids: Vec<u32>,
    /// The precision that all of them were computed with.
    pub mantissa_bits: u32,
    /// Why the answer ended, in its last batch; null before.
    pub finish_reason: Option<FinishReason>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FinishReason {
    /// The model ended it.
    EndOfText,
    /// A stop string appeared.
    StopString,
    /// As many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// It was cancelled.
    Cancelled,
}

impl TokenStream {
    pub(crate) fn new(stream: otaro::engine::TokenStream) -> Self {
        Self(stream)
    }
}

#[uniffi::export]
impl TokenStream {
    /// The next tokens, as soon as there are some; null once the end was read. Several may wait at once; each
    /// batch goes to one of them.
    ///
    /// A coroutine or task that is cancelled does not wake it: call `cancel`.
    ///
    /// # Errors
    /// What ended the answer, once; then null: `Closed`, `ContextFull`, `ChatTemplate`, `Tokenizer`,
    /// `MissingPlanes`, `Device`, `NotFinite`, `Panicked`.
    pub async fn next(&self) -> Result<Option<TokenBatch>, OtaroError> {
        Ok(self.0.next().await?.map(TokenBatch::from))
    }

    /// As `next`, blocking the thread: never on the main thread.
    ///
    /// # Errors
    /// As `next`.
    pub fn next_blocking(&self) -> Result<Option<TokenBatch>, OtaroError> {
        Ok(self.0.next_blocking()?.map(TokenBatch::from))
    }

    /// Ends the answer. Whoever waits in `next` returns at once, with what was not read yet and then with
    /// `FinishReason.Cancelled`; the engine is quiescent within 150 ms. Does no harm twice or after the end.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl From<otaro::engine::TokenBatch> for TokenBatch {
    fn from(batch: otaro::engine::TokenBatch) -> Self {
        Self {
            text: batch.text,
            token_ids: batch.token_ids,
            mantissa_bits: batch.profile.max().mantissa_bits(),
            finish_reason: batch.finish_reason.map(FinishReason::from),
        }
    }
}

impl From<otaro::FinishReason> for FinishReason {
    fn from(reason: otaro::FinishReason) -> Self {
        use otaro::FinishReason as R;
        match reason {
            R::Eos => Self::EndOfText,
            R::StopString => Self::StopString,
            R::MaxTokens => Self::MaxTokens,
            R::Context => Self::ContextFull,
            _ => Self::Cancelled,
        }
    }
}
