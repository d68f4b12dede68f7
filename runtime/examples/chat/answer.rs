//! Printing an answer as it comes.

use std::io::{self, Write};

use otaro::Answer;

/// Writes an answer to standard output, piece by piece, and ends the line. `between` is called after
/// every token.
pub fn stream(
    answer: &mut Answer<'_>,
    mut between: impl FnMut(&mut Answer<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut begun = false;
    while let Some(token) = answer.next() {
        let text = token?.text;
        // Most models begin with a space that belongs to the token, not to the answer.
        let piece = if begun { text.as_str() } else { text.trim_start() };
        if !piece.is_empty() {
            begun = true;
            out.write_all(piece.as_bytes())?;
            out.flush()?;
        }
        between(answer)?;
    }
    writeln!(out)?;
    Ok(out.flush()?)
}
