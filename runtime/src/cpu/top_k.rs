//! Twin of `top_k.wgsl`: the best entries of a row of logits.

use std::cmp::Ordering;

use crate::Candidate;

/// The `k` largest logits, best first; ties go to the lower token, NaN counts as the smallest.
pub(crate) fn top_k(logits: &[f32], k: usize) -> Vec<Candidate> {
    let mut candidates: Vec<_> =
        (0..).zip(logits).map(|(token, &logit)| Candidate { token, logit }).collect();
    // NaN ranks below everything, and 0.0 beside -0.0, as a comparison in WGSL has them.
    let rank =
        |candidate: &Candidate| if candidate.logit.is_nan() { f32::NEG_INFINITY } else { candidate.logit };
    let better = |a: &Candidate, b: &Candidate| {
        rank(b).partial_cmp(&rank(a)).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
    };
    let k = k.min(candidates.len());
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, better);
    }
    candidates.truncate(k);
    candidates.sort_unstable_by(better);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_ties_go_to_the_lower_token() {
        let logits = [1.0, f32::NAN, 3.0, 3.0, -0.0, 0.0, f32::NEG_INFINITY];
        let tokens = |k| top_k(&logits, k).iter().map(|candidate| candidate.token).collect::<Vec<_>>();
        assert_eq!(tokens(0), [0_u32; 0]);
        assert_eq!(tokens(1), [2]);
        assert_eq!(tokens(2), [2, 3]);
        assert_eq!(tokens(5), [2, 3, 0, 4, 5]);
        // NaN ranks with minus infinity.
        assert_eq!(tokens(100), [2, 3, 0, 4, 5, 1, 6]);
    }
}
