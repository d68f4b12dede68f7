//! Stop strings: an answer ends where one of them would appear, however tokens cut it.

use crate::{Error, ErrorKind, Result};

/// Watches text for stop strings and lets through what cannot become one any more.
///
/// The first stop string to be complete ends the text; where it begins, the text is cut. How the
/// text is cut into pieces makes no difference to what leaves in the end.
#[derive(Clone, Debug, Default)]
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopOutcome {
    /// Text that may be shown now.
    pub text: String,
    /// The stop string that was found: the answer ends here.
    pub stop: Option<String>,
}

impl StopFilter {
    /// A filter for these stop strings; with none, all text passes at once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if one is empty: it would stop everything.
    pub fn new(stops: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let stops: Vec<String> = stops.into_iter().map(Into::into).collect();
        if stops.iter().any(String::is_empty) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a stop string is empty: give at least one character",
            ));
        }
        Ok(Self { stops, held: String::new() })
    }

    /// Takes a piece of text and returns what may be shown. Once a stop string was found the rest is
    /// dropped and the filter starts afresh.
    pub fn push(&mut self, piece: &str) -> StopOutcome {
        let seen = self.held.len();
        self.held.push_str(piece);
        if let Some((begin, stop)) = self.first_stop(seen) {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(begin);
            return StopOutcome { text, stop: Some(stop) };
        }
        let held = self.held.split_off(self.undecided());
        StopOutcome { text: std::mem::replace(&mut self.held, held), stop: None }
    }

    /// The text held back because it might have become a stop string: the answer is over, it did not.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string that is complete first begins, looking only at text after `seen`
    /// bytes; the longest where several end together.
    fn first_stop(&self, seen: usize) -> Option<(usize, String)> {
        let ends = self.held[seen..].char_indices().map(|(at, letter)| seen + at + letter.len_utf8());
        ends.filter_map(|end| {
            let stop = self
                .stops
                .iter()
                .filter(|stop| self.held[..end].ends_with(*stop))
                .max_by_key(|stop| stop.len())?;
            Some((end - stop.len(), stop.clone()))
        })
        .next()
    }

    /// Where the longest end of the text begins that is the beginning of a stop string.
    fn undecided(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let end = self.held.len();
        let mut begins = self.held.char_indices().map(|(at, _)| at).filter(|at| end - at < longest);
        begins.find(|at| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]))).unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    /// What leaves when the text arrives in these pieces, and the stop string that ended it.
    fn run<'a>(stops: &[&str], pieces: impl IntoIterator<Item = &'a str>) -> (String, Option<String>) {
        let mut filter = StopFilter::new(stops.iter().copied()).unwrap();
        let mut shown = String::new();
        for piece in pieces {
            let outcome = filter.push(piece);
            shown.push_str(&outcome.text);
            if outcome.stop.is_some() {
                return (shown, outcome.stop);
            }
        }
        shown.push_str(&filter.finish());
        (shown, None)
    }

    #[test]
    fn a_stop_string_across_pieces_cuts_where_it_begins() {
        assert_eq!(
            run(&["\nUser:"], ["Hello", ".\n", "Us", "er", ": x"]),
            ("Hello.".into(), Some("\nUser:".into()))
        );
        assert_eq!(run(&["END"], ["the EN", "d"]), ("the ENd".into(), None));
        assert_eq!(run(&["END"], ["EEN", "EEND"]), ("EENE".into(), Some("END".into())));
        assert_eq!(run(&[], ["any", "thing"]), ("anything".into(), None));
    }

    #[test]
    fn the_first_to_be_complete_wins() {
        assert_eq!(run(&["abcd", "c"], ["xabcd"]), ("xab".into(), Some("c".into())));
        assert_eq!(run(&["bc", "abc"], ["xabc"]), ("x".into(), Some("abc".into())));
    }

    #[test]
    fn only_what_may_become_a_stop_string_is_held_back() {
        let mut filter = StopFilter::new(["</s>", "###"]).unwrap();
        assert_eq!(filter.push("one <").text, "one ");
        assert_eq!(filter.push("b> ##").text, "<b> ");
        assert_eq!(filter.push(" three").text, "## three");
        assert_eq!(filter.finish(), "");
    }

    #[test]
    fn characters_of_several_bytes_are_never_cut() {
        assert_eq!(run(&["é😀"], ["aé", "é", "😀b"]), ("aé".into(), Some("é😀".into())));
        assert_eq!(run(&["😀😀"], ["😀", "x😀"]), ("😀x😀".into(), None));
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        assert_eq!(StopFilter::new(["a", ""]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    /// The definition, one character at a time.
    fn oracle(stops: &[&str], text: &str) -> (String, Option<String>) {
        for (at, letter) in text.char_indices() {
            let seen = &text[..at + letter.len_utf8()];
            let mut ending: Vec<_> = stops.iter().filter(|stop| seen.ends_with(**stop)).collect();
            ending.sort_by_key(|stop| stop.len());
            if let Some(stop) = ending.last() {
                return (seen[..seen.len() - stop.len()].into(), Some((**stop).to_owned()));
            }
        }
        (text.into(), None)
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            pieces in prop::collection::vec("[aé😀]{0,4}", 0..8),
            stops in prop::collection::vec("[aé😀]{1,5}", 0..4),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            prop_assert_eq!(run(&stops, pieces.iter().map(String::as_str)), oracle(&stops, &whole));
        }
    }
}
