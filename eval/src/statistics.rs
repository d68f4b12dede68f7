//! Means with their errors.

/// Standard errors on each side of a mean that hold it with a probability of 95 %, for many observations.
const STANDARD_ERRORS_OF_95_PERCENT: f64 = 1.959_964;

/// The mean of some observations, with its standard error.
///
/// Observations count as independent, as in llama.cpp's `llama-perplexity` and lm-evaluation-harness. Neighbouring tokens are
/// not quite, so intervals of a text are a little too narrow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The standard error of the mean: the standard deviation of the sample over the root of its size. 0 of
    /// fewer than two observations.
    pub standard_error: f64,
}

impl Estimate {
    /// The mean of observations; NaN of none.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        let variance = if count < 2.0 { 0.0 } else { squares / (count - 1.0) };
        Self { mean, standard_error: (variance / count).sqrt() }
    }

    /// The share of observations that are true.
    pub fn share(values: &[bool]) -> Self {
        Self::of(values.iter().map(|&value| if value { 1.0 } else { 0.0 }))
    }

    /// The interval that holds the mean with a probability of 95 %.
    pub fn interval(self) -> [f64; 2] {
        let reach = STANDARD_ERRORS_OF_95_PERCENT * self.standard_error;
        [self.mean - reach, self.mean + reach]
    }
}

/// The value below which a share `q` (0 to 1) of the values lies, between neighbours in proportion; `None` of
/// nothing.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_samples() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        let estimate = Estimate::of(values.into_iter());
        assert_eq!(estimate.mean, 5.0);
        assert!((estimate.standard_error - (32.0_f64 / 7.0 / 8.0).sqrt()).abs() < 1e-12);
        let [low, high] = estimate.interval();
        assert!((high - low - 2.0 * 1.959_964 * estimate.standard_error).abs() < 1e-12);
        assert_eq!(quantile(&values, 0.5), Some(4.5));
        assert_eq!(quantile(&values, 1.0), Some(9.0));
        assert!((quantile(&values, 0.99).expect("values") - 8.86).abs() < 1e-12);
    }

    #[test]
    fn a_share_has_the_error_of_its_binomial() {
        let share = Estimate::share(&[true, false, true, true]);
        assert_eq!(share.mean, 0.75);
        assert!((share.standard_error - (0.75 * 0.25 / 3.0_f64).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn little_is_no_error() {
        assert_eq!(Estimate::of([7.0].into_iter()), Estimate { mean: 7.0, standard_error: 0.0 });
        assert!(Estimate::of([].into_iter()).mean.is_nan());
        assert_eq!(quantile(&[], 0.5), None);
    }
}
