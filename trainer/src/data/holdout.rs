//! Data kept back for the evaluation.

use anyhow::{Result, ensure};

use super::Document;

/// Splits documents into those to train on and the last `share` of them, by number; one long text is
/// cut at the end of a line instead.
///
/// # Errors
/// A share that is not within 0 and 1, or one that leaves nothing on a side.
pub fn hold_out(mut documents: Vec<Document>, share: f64) -> Result<(Vec<Document>, Vec<Document>)> {
    ensure!(share > 0.0 && share < 1.0, "the share to hold out is {share}; it must be above 0 and below 1");
    if let [Document::Text(text)] = documents.as_slice() {
        let (training, kept) = cut(text, share);
        let text = |text: &str| vec![Document::Text(text.to_string())];
        ensure!(
            !training.trim().is_empty() && !kept.trim().is_empty(),
            "the text has too few lines to hold out {share}"
        );
        return Ok((text(training), text(kept)));
    }
    let kept = (documents.len() as f64 * share).round() as usize;
    ensure!(kept > 0 && kept < documents.len(), "{share} of {} documents is none or all", documents.len());
    let kept = documents.split_off(documents.len() - kept);
    Ok((documents, kept))
}

/// Cuts behind the first line that ends in the last `share` of the text.
fn cut(text: &str, share: f64) -> (&str, &str) {
    let place = (text.len() as f64 * (1.0 - share)) as usize;
    let end = text.bytes().enumerate().skip(place).find(|(_, byte)| *byte == b'\n');
    text.split_at(end.map_or(text.len(), |(index, _)| index + 1))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn text(text: &str) -> Document {
        Document::Text(text.to_string())
    }

    #[test]
    fn documents_are_split_by_number_and_one_text_at_a_line() {
        let documents: Vec<_> = ["a", "b", "c", "d"].map(text).into();
        let (training, kept) = hold_out(documents, 0.25).unwrap();
        assert_eq!((training.len(), kept), (3, vec![text("d")]));
        let (training, kept) = hold_out(vec![text("one\ntwo\nthree\nfour\n")], 0.4).unwrap();
        assert_eq!((training, kept), (vec![text("one\ntwo\nthree\n")], vec![text("four\n")]));
    }

    #[test]
    fn nothing_is_split_into_nothing() {
        for share in [0.0, 1.0, f64::NAN, -0.5] {
            assert!(hold_out(vec![text("a\nb\n")], share).is_err(), "{share}");
        }
        assert!(hold_out(vec![text("one line")], 0.5).is_err());
        assert!(hold_out(vec![text("a"), text("b")], 0.01).is_err());
    }
}
