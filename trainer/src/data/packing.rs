//! Several short examples in one window: first fit, over a bounded number of windows.

use super::{Example, Window};

/// Windows that still take examples. With more of them less is padded, up to a percent or so.
const OPEN_WINDOWS: usize = 64;

/// What packing makes.
pub(super) struct Packed {
    pub windows: Vec<Window>,
    /// Tokens in them that are not padding.
    pub tokens: u64,
}

/// Puts examples into windows of `length + 1` tokens, filled up with `pad`.
pub(super) fn pack<'a>(examples: impl Iterator<Item = &'a Example>, length: usize, pad: u32) -> Packed {
    let mut packed = Packed { windows: Vec::new(), tokens: 0 };
    let mut open: Vec<Example> = Vec::with_capacity(OPEN_WINDOWS + 1);
    for (tokens, scored) in examples.flat_map(|example| pieces(example, length)) {
        packed.tokens += tokens.len() as u64;
        let fits = |window: &Example| window.tokens.len() + tokens.len() <= length + 1;
        let place = open.iter().position(fits).unwrap_or_else(|| {
            if open.len() == OPEN_WINDOWS {
                packed.windows.push(close(take_fullest(&mut open), length, pad));
            }
            open.push(Example::default());
            open.len() - 1
        });
        open[place].tokens.extend_from_slice(tokens);
        open[place].scored.push(false); // the token before it is of another example
        open[place].scored.extend_from_slice(&scored[1..]);
    }
    packed.windows.extend(open.into_iter().map(|window| close(window, length, pad)));
    packed
}

/// An example in pieces that fit into a window. Each begins with the last token of the one before,
/// so every token but the first is predicted in exactly one. Those in which nothing counts are left
/// out.
fn pieces(example: &Example, length: usize) -> impl Iterator<Item = (&[u32], &[bool])> {
    let Example { tokens, scored } = example;
    let starts = (0..tokens.len().saturating_sub(1)).step_by(length);
    let piece = move |start: usize| {
        let end = tokens.len().min(start + length + 1);
        (&tokens[start..end], &scored[start..end])
    };
    starts.map(piece).filter(|(_, scored)| scored[1..].contains(&true))
}

/// The first of the fullest windows, out of the list, the others keeping their order.
fn take_fullest(open: &mut Vec<Example>) -> Example {
    let mut fullest = 0;
    for (place, window) in open.iter().enumerate() {
        if window.tokens.len() > open[fullest].tokens.len() {
            fullest = place;
        }
    }
    open.remove(fullest)
}

fn close(mut window: Example, length: usize, pad: u32) -> Window {
    window.tokens.resize(length + 1, pad);
    window.scored.resize(length + 1, false);
    window.scored.remove(0);
    Window { tokens: window.tokens, scored: window.scored }
}
