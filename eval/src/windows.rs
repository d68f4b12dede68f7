//! A text, cut into windows.

/// The windows of a text. They do not overlap, each is evaluated with an empty cache, and every token of it but
/// the first is scored. A BOS, if there is one, is the first token of each window.
#[derive(Clone, Debug)]
pub struct Windows {
    /// The tokens of all windows, without BOS.
    tokens: Vec<u32>,
    bos: Option<u32>,
    /// Tokens of a window, BOS included.
    context: usize,
    /// Tokens of the text, before the tail was dropped.
    given: usize,
}

/// One window.
#[derive(Clone, Debug)]
pub struct Window {
    /// Its place in the text.
    pub index: usize,
    /// Its tokens, at least two.
    pub tokens: Vec<u32>,
}

impl Windows {
    /// Cuts a text into windows of `context` tokens, at least 2, and at most `limit` of them. The tail that
    /// fills no window is dropped.
    ///
    /// # Panics
    /// If `context` is less than 2.
    pub fn new(mut tokens: Vec<u32>, context: usize, limit: Option<usize>, bos: Option<u32>) -> Self {
        assert!(context >= 2, "a window of one token has nothing to score");
        let given = tokens.len();
        let stride = context - usize::from(bos.is_some());
        let count = (given / stride).min(limit.unwrap_or(usize::MAX));
        tokens.truncate(count * stride);
        Self { tokens, bos, context, given }
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        self.tokens.len() / self.stride()
    }

    /// Tokens of a window, BOS included.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The token that begins every window.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Tokens of the text, before the tail was dropped.
    pub fn given(&self) -> usize {
        self.given
    }

    /// Tokens that are scored in each window.
    pub fn scored(&self) -> usize {
        self.context - 1
    }

    /// The windows in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = Window> {
        self.tokens.chunks(self.stride()).enumerate().map(|(index, chunk)| Window {
            index,
            tokens: self.bos.into_iter().chain(chunk.iter().copied()).collect(),
        })
    }

    fn stride(&self) -> usize {
        self.context - usize::from(self.bos.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_drop_the_tail_and_obey_the_limit() {
        let windows = Windows::new((0..10).collect(), 4, None, None);
        assert_eq!((windows.count(), windows.scored(), windows.given()), (2, 3, 10));
        assert_eq!(Windows::new((0..10).collect(), 4, Some(1), None).count(), 1);
        assert_eq!(Windows::new((0..3).collect(), 4, None, None).count(), 0);
    }

    #[test]
    fn a_bos_takes_a_place_in_every_window_and_no_token_is_lost() {
        let windows = Windows::new((0..10).collect(), 4, None, Some(77));
        let tokens: Vec<_> = windows.iter().map(|window| window.tokens).collect();
        assert_eq!(tokens, [[77, 0, 1, 2], [77, 3, 4, 5], [77, 6, 7, 8]]);
        assert_eq!((windows.count(), windows.scored()), (3, 3));
    }
}
