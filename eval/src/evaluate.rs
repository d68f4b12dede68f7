//! One pass over a text: reference and candidates, window by window.

use otaro::{CancelToken, Error, ErrorKind, Result, Session};

use crate::{
    distribution::{Distribution, ReferenceRows},
    error::invalid,
    scores::Scores,
    windows::{Window, Windows},
};

/// What computes the logits of a window: a model, or a file that holds what one computed before.
pub trait LogitSource {
    /// Hands the logits after every token of the window but the last to `each`, `[vocab]`, in order.
    ///
    /// # Errors
    /// What computing them returns, and what `each` does.
    fn logits(&mut self, window: &Window, each: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()>;
}

/// A session as a source of logits, at the precision that it has.
#[derive(Debug)]
pub struct ModelSource<'a> {
    /// Its cache is emptied before each window.
    pub session: &'a mut Session,
    /// Ends the work.
    pub cancel: &'a CancelToken,
}

impl LogitSource for ModelSource<'_> {
    fn logits(&mut self, window: &Window, each: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        self.session.truncate(0);
        let last = window.tokens.len().saturating_sub(1);
        self.session.all_logits(&window.tokens[..last], self.cancel, each)
    }
}

/// What an evaluation has measured so far. Only whole windows count, the same ones for all.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of the reference, where there is one.
    pub reference: Option<Scores>,
    /// Of the candidates, in their order.
    pub candidates: Vec<Scores>,
    /// Windows that are done.
    pub windows: usize,
}

impl Outcome {
    /// Nothing yet.
    pub fn new(has_reference: bool, candidates: usize) -> Self {
        Self {
            reference: has_reference.then(Scores::default),
            candidates: vec![Scores::default(); candidates],
            windows: 0,
        }
    }
}

/// Evaluates every window, the reference first, then all candidates. Takes memory for the logits of the
/// reference over one window, eight bytes each.
///
/// `progress` is called after each of them with the tokens of the window. On an error, that of a cancelled token
/// among them, `outcome` holds what was finished.
///
/// # Errors
/// What the sources return; [`NotFinite`](ErrorKind::NotFinite) and
/// [`InvalidArgument`](ErrorKind::InvalidArgument) for logits that cannot be compared.
pub fn evaluate(
    windows: &Windows,
    mut reference: Option<&mut dyn LogitSource>,
    candidates: &mut [Box<dyn LogitSource + '_>],
    outcome: &mut Outcome,
    progress: &mut dyn FnMut(usize),
) -> Result<()> {
    let mut rows = ReferenceRows::default();
    for window in windows.iter() {
        let of_reference = match &mut reference {
            Some(source) => {
                rows.clear();
                let keep = &mut |_, row: &Distribution<'_>, _: &mut Scores| {
                    rows.push(row);
                    Ok(())
                };
                let scores = score(*source, &window, keep)?;
                progress(window.tokens.len());
                Some(scores)
            }
            None => None,
        };
        let mut of_candidates = Vec::new();
        for source in candidates.iter_mut() {
            let compare = &mut |position, row: &Distribution<'_>, scores: &mut Scores| {
                if of_reference.is_some() {
                    let (divergence, agrees) = rows.compare(position, row)?;
                    scores.divergences.push(divergence);
                    scores.agreements.push(agrees);
                }
                Ok(())
            };
            of_candidates.push(score(source.as_mut(), &window, compare)?);
            progress(window.tokens.len());
        }
        if let (Some(total), Some(scores)) = (&mut outcome.reference, of_reference) {
            total.append(scores);
        }
        outcome.candidates.iter_mut().zip(of_candidates).for_each(|(total, scores)| total.append(scores));
        outcome.windows += 1;
    }
    Ok(())
}

/// Scores one window, and hands every position to `also`.
fn score(
    source: &mut dyn LogitSource,
    window: &Window,
    also: &mut dyn FnMut(usize, &Distribution<'_>, &mut Scores) -> Result<()>,
) -> Result<Scores> {
    let mut scores = Scores::default();
    // The logits after a token are scored against the token that follows it.
    let targets = window.tokens.get(1..).unwrap_or_default();
    source.logits(window, &mut |logits| {
        let position = scores.tokens();
        let &target = targets.get(position).ok_or_else(|| invalid("there are more logits than tokens"))?;
        let row = Distribution::new(logits)?;
        scores.negative_log_likelihoods.push(row.negative_log_likelihood(target)?);
        also(position, &row, &mut scores)
    })?;
    match scores.tokens() == targets.len() {
        true => Ok(scores),
        false => Err(Error::new(
            ErrorKind::Device,
            format!("{} of {} positions came without logits", targets.len() - scores.tokens(), targets.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits that favour the next id, sharper or flatter; fails in a window.
    struct Toy {
        scale: f32,
        fails_in: Option<usize>,
    }

    impl LogitSource for Toy {
        fn logits(&mut self, window: &Window, each: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
            if self.fails_in == Some(window.index) {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            window.tokens[..window.tokens.len() - 1].iter().try_for_each(|&token| {
                let logit = |id: u32| if id == (token + 1) % 8 { self.scale } else { 0.0 };
                each(&(0..8).map(logit).collect::<Vec<_>>())
            })
        }
    }

    fn run(fails_in: Option<usize>) -> (Result<()>, Outcome, usize) {
        let windows = Windows::new((0..40).map(|i| i % 8).collect(), 10, None, None);
        let mut reference = Toy { scale: 3.0, fails_in: None };
        let mut candidates: Vec<Box<dyn LogitSource>> =
            vec![Box::new(Toy { scale: 3.0, fails_in: None }), Box::new(Toy { scale: -1.0, fails_in })];
        let (mut outcome, mut tokens) = (Outcome::new(true, 2), 0);
        let result =
            evaluate(&windows, Some(&mut reference), &mut candidates, &mut outcome, &mut |n| tokens += n);
        (result, outcome, tokens)
    }

    #[test]
    fn everyone_is_scored_on_the_same_tokens() {
        let (result, outcome, tokens) = run(None);
        result.expect("no failure");
        assert_eq!((outcome.windows, tokens), (4, 3 * 40));
        let reference = outcome.reference.expect("a reference");
        let expected = (3.0_f64.exp() + 7.0).ln() - 3.0;
        assert_eq!(reference.tokens(), 4 * 9);
        assert!((reference.negative_log_likelihood().mean - expected).abs() < 1e-6);
        let same = outcome.candidates[0].comparison(&reference).expect("compared");
        assert_eq!((same.divergence.mean, same.agreement.mean, same.log_ratio.mean), (0.0, 1.0, 0.0));
        let worse = outcome.candidates[1].comparison(&reference).expect("compared");
        // p = (e^3, 1, ..., 1) / z, q = (1/e, 1, ..., 1) / y
        let (z, y) = (3.0_f64.exp() + 7.0, (-1.0_f64).exp() + 7.0);
        let divergence = 3.0_f64.exp() / z * 4.0 + (y / z).ln();
        assert!((worse.divergence.mean - divergence).abs() < 1e-6, "{worse:?} {divergence}");
        assert_eq!(worse.agreement.mean, 0.0);
    }

    #[test]
    fn what_was_finished_survives_a_failure() {
        let (result, outcome, _) = run(Some(2));
        assert_eq!(result.expect_err("a failure").kind(), ErrorKind::Cancelled);
        assert_eq!(outcome.windows, 2);
        let reference = outcome.reference.expect("a reference");
        for scores in outcome.candidates.iter().chain([&reference]) {
            assert_eq!(scores.tokens(), 2 * 9);
        }
    }
}
