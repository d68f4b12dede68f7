//! Text out of tokens, one at a time.
//!
//! A token is not text: it may hold half of an emoji, and what it looks like depends on its
//! neighbours (SentencePiece drops the space of a first token, byte tokens become a character
//! together). So a small window of tokens is decoded anew at every step, and what it says beyond
//! the text that has already left is the next piece:
//!
//! ```text
//! window:  [ tokens whose text has left, for context | tokens whose text is not complete ]
//!                                                    ^ settled
//! ```
//!
//! As soon as the text of the window ends with a whole character, the new tokens become the
//! context and the old context is forgotten: the window stays a few tokens long.

use super::Tokenizer;
use crate::Result;

/// How many tokens of the prompt are context for the first token of an answer.
const PROMPT_CONTEXT: usize = 16;
/// After so many tokens without a whole character the bytes are not text: they leave as U+FFFD.
const LONGEST_WINDOW: usize = 64;

/// Turns tokens into text as they come. Only whole characters leave; half an emoji waits for its
/// other half.
#[derive(Clone, Debug)]
pub struct TextDecoder {
    tokenizer: Tokenizer,
    window: Vec<u32>,
    /// Tokens of the window whose text has left.
    settled: usize,
    /// The text of the window that has left.
    left: String,
}

impl TextDecoder {
    /// A decoder for tokens that follow `prompt`. The first token keeps its leading space unless the
    /// prompt is empty or has no text.
    pub(super) fn new(tokenizer: Tokenizer, prompt: &[u32]) -> Result<Self> {
        let mut decoder = Self { tokenizer, window: Vec::new(), settled: 0, left: String::new() };
        let end = &prompt[prompt.len().saturating_sub(PROMPT_CONTEXT)..];
        let context: Vec<u32> = end.iter().copied().filter(|id| decoder.has_text(*id)).collect();
        // Either end of the context may lie inside a character, of at most four bytes.
        let cuts = (0..4).flat_map(|last| (0..4).map(move |first| (first, last)));
        for (first, last) in cuts.filter(|(first, last)| first + last <= context.len()) {
            let text = decoder.tokenizer.decode(&context[first..context.len() - last])?;
            if text.starts_with(char::REPLACEMENT_CHARACTER) || text.ends_with(char::REPLACEMENT_CHARACTER) {
                continue;
            }
            decoder.window = context[first..].to_vec();
            decoder.settled = decoder.window.len() - last;
            let longer = decoder.tokenizer.decode(&decoder.window)?;
            decoder.left = if whole(&longer).len() > text.len() { whole(&longer).to_owned() } else { text };
            break;
        }
        Ok(decoder)
    }

    /// Takes a token and returns the text that it completes; empty while bytes are pending and for
    /// special tokens.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Tokenizer`] if the rules of the tokenizer fail on this token.
    pub fn push(&mut self, token: u32) -> Result<String> {
        if !self.has_text(token) {
            return Ok(String::new());
        }
        self.window.push(token);
        let patient = self.window.len() - self.settled <= LONGEST_WINDOW;
        let text = self.window_text(patient)?;
        let complete = text.len() > self.left.len() && !text.ends_with(char::REPLACEMENT_CHARACTER);
        if complete || !patient {
            return self.settle(&text);
        }
        // The last character may still grow, those before it may not.
        Ok(match whole(&text).strip_prefix(self.left.as_str()) {
            Some(piece) if !piece.is_empty() => {
                let piece = piece.to_owned();
                self.left.push_str(&piece);
                piece
            }
            _ => String::new(),
        })
    }

    /// The text of what is still pending, bytes that never became a character as U+FFFD. The decoder
    /// starts afresh after it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Tokenizer`] if the rules of the tokenizer fail.
    pub fn finish(&mut self) -> Result<String> {
        if self.window.len() == self.settled {
            return Ok(String::new());
        }
        let text = self.window_text(false)?;
        self.settle(&text)
    }

    /// Returns what of `text` has not left, and keeps only the new tokens, as context.
    fn settle(&mut self, text: &str) -> Result<String> {
        let piece = text.strip_prefix(self.left.as_str()).unwrap_or(text).to_owned();
        self.window.drain(..self.settled);
        self.settled = self.window.len();
        self.left = self.tokenizer.decode(&self.window)?;
        Ok(piece)
    }

    /// The text of the window.
    ///
    /// One broken byte makes SentencePiece-style decoding reject the byte tokens before it too,
    /// whose text left long ago. While more bytes may mend that, a `patient` decoder waits; then the
    /// tokens that are not settled are read on their own.
    fn window_text(&mut self, patient: bool) -> Result<String> {
        let text = self.tokenizer.decode(&self.window)?;
        if text.starts_with(&self.left) || patient && text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(text);
        }
        self.window.drain(..self.settled);
        self.settled = 0;
        self.left.clear();
        self.tokenizer.decode(&self.window)
    }

    fn has_text(&self, token: u32) -> bool {
        !self.tokenizer.is_special(token)
            && self.tokenizer.token(token).is_some_and(|token| !token.is_empty())
    }
}

/// A text without the characters at its end that more bytes may change.
fn whole(text: &str) -> &str {
    text.trim_end_matches(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;
    use crate::text::test_files;

    /// Every piece of an answer of these tokens, and the flush.
    fn pieces(tokenizer: &Tokenizer, prompt: &[u32], answer: &[u32]) -> Vec<String> {
        let mut decoder = tokenizer.decoder(prompt).unwrap();
        let mut pieces: Vec<String> = answer.iter().map(|token| decoder.push(*token).unwrap()).collect();
        pieces.push(decoder.finish().unwrap());
        pieces
    }

    #[test]
    fn pieces_join_to_the_decoded_whole() {
        for (name, tokenizer) in test_files::all() {
            for text in test_files::TEXTS {
                let ids = tokenizer.encode(text).unwrap();
                let pieces = pieces(&tokenizer, &[], &ids);
                assert_eq!(pieces.concat(), tokenizer.decode(&ids).unwrap(), "{name}: {pieces:?}");
                let broken = pieces.iter().any(|piece| piece.contains(char::REPLACEMENT_CHARACTER));
                assert!(!broken, "{name}: {pieces:?}");
            }
        }
    }

    #[test]
    fn an_answer_goes_on_where_the_prompt_ends() {
        for (name, tokenizer) in test_files::all() {
            for text in test_files::TEXTS {
                let ids = tokenizer.encode(&format!("He said: {text} and{text}")).unwrap();
                let whole = tokenizer.decode(&ids).unwrap();
                for cut in 2..ids.len() {
                    let answer = pieces(&tokenizer, &ids[..cut], &ids[cut..]).concat();
                    // A cut through a character leaves it, whole, to the answer.
                    let prompts =
                        (cut.saturating_sub(4)..=cut).map(|end| tokenizer.decode(&ids[..end]).unwrap());
                    let prompt =
                        prompts.map(|text| super::whole(&text).to_owned()).max_by_key(String::len).unwrap();
                    assert_eq!(format!("{prompt}{answer}"), whole, "{name}, cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn an_emoji_waits_for_its_last_byte() {
        let tokenizer = test_files::byte_fallback();
        let bytes: Vec<u32> = "😀".bytes().map(|byte| u32::from(byte) + 3).collect();
        let mut decoder = tokenizer.decoder(&[]).unwrap();
        for byte in &bytes[..3] {
            assert_eq!(decoder.push(*byte).unwrap(), "");
        }
        assert_eq!(decoder.push(bytes[3]).unwrap(), "😀");
        assert_eq!(decoder.finish().unwrap(), "");
    }

    #[test]
    fn bytes_that_never_become_a_character_leave_at_the_end() {
        let tokenizer = test_files::byte_fallback();
        let id = |byte: u8| u32::from(byte) + 3;
        let smile: Vec<u32> = "😀".bytes().map(id).collect();
        let letter = tokenizer.token_id("a").unwrap();
        // What left stays; the broken byte alone is replaced.
        assert_eq!(pieces(&tokenizer, &[], &[&smile[..], &[id(0xe2)]].concat()).concat(), "😀\u{fffd}");
        assert_eq!(
            pieces(&tokenizer, &[], &[&smile[..], &[id(0xe2), letter]].concat()).concat(),
            "😀\u{fffd}a"
        );
        assert_eq!(pieces(&tokenizer, &smile, &[id(0xe2), letter]).concat(), "\u{fffd}a");
    }

    #[test]
    fn a_character_leaves_although_the_next_one_has_begun() {
        // "好" ends with the byte 0xbd and "你" begins with 0xe4: one token.
        let tokenizer = test_files::byte_level();
        let ids = tokenizer.encode("好你好你").unwrap();
        assert!(ids.contains(&259), "{ids:?}");
        let mut decoder = tokenizer.decoder(&[]).unwrap();
        let pieces: Vec<String> = ids.iter().map(|id| decoder.push(*id).unwrap()).collect();
        assert_eq!(pieces.concat(), "好你好你");
        assert_eq!(pieces.iter().filter(|piece| !piece.is_empty()).count(), 4, "{pieces:?}");
    }

    #[test]
    fn special_and_unknown_tokens_have_no_text() {
        let tokenizer = test_files::byte_fallback();
        let (the, on) = (tokenizer.token_id("▁the").unwrap(), tokenizer.token_id("▁on").unwrap());
        assert_eq!(pieces(&tokenizer, &[1], &[the, 2, 1, 9999, on]), ["the", "", "", "", " on", ""]);
        assert_eq!(pieces(&tokenizer, &[1, the], &[2, on]), ["", " on", ""]);
    }

    #[test]
    fn a_flood_of_broken_bytes_is_bounded() {
        for tokenizer in [test_files::byte_fallback(), test_files::byte_level()] {
            let broken = tokenizer.token_id("<0x80>").or_else(|| tokenizer.token_id("Ģ")).unwrap();
            let mut decoder = tokenizer.decoder(&[]).unwrap();
            let mut text = String::new();
            for _ in 0..1000 {
                text.push_str(&decoder.push(broken).unwrap());
                assert!(decoder.window.len() <= 2 * LONGEST_WINDOW + 2);
            }
            text.push_str(&decoder.finish().unwrap());
            assert_eq!(text, "\u{fffd}".repeat(1000));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_leaves_as_it_was(text in "\\PC{0,40}") {
            for tokenizer in [test_files::byte_fallback(), test_files::byte_level()] {
                let ids = tokenizer.encode(&text).unwrap();
                prop_assert_eq!(pieces(&tokenizer, &[], &ids).concat(), tokenizer.decode(&ids).unwrap());
            }
        }

        #[test]
        fn any_byte_tokens_leave_as_decoding_them_at_once_says(ids in prop::collection::vec(0_u32..263, 0..60)) {
            let tokenizer = test_files::byte_level();
            prop_assert_eq!(pieces(&tokenizer, &[], &ids).concat(), tokenizer.decode(&ids).unwrap());
        }

        #[test]
        fn no_tokens_are_an_error(ids in prop::collection::vec(0_u32..400, 0..200)) {
            let tokenizer = test_files::byte_fallback();
            let (prompt, answer) = ids.split_at(ids.len() / 2);
            pieces(&tokenizer, prompt, answer);
        }
    }
}
