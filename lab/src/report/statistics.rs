//! Means over seeds.

/// The mean of some seeds and how far they scatter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub mean: f64,
    /// Sample standard deviation, with `n - 1`; nothing for a single value.
    pub deviation: Option<f64>,
}

impl Sample {
    /// Nothing without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) })
    }

    /// `11.31 ± 0.02`, or the mean alone.
    pub fn format(self, decimals: usize) -> String {
        match self.deviation {
            Some(deviation) => format!("{:.decimals$} ± {deviation:.decimals$}", self.mean),
            None => format!("{:.decimals$}", self.mean),
        }
    }
}

/// `exp` of the mean logarithm of positive values; nothing without values.
pub(super) fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: Vec<_> = values.iter().map(|value| value.ln()).collect();
    Sample::of(&logarithms).map(|sample| sample.mean.exp())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn mean_and_deviation() {
        assert_eq!(Sample::of(&[]), None);
        assert_eq!(Sample::of(&[2.0]).unwrap().format(2), "2.00");
        assert_eq!(Sample::of(&[1.0, 2.0, 3.0]).unwrap().format(2), "2.00 ± 1.00");
        assert!((geometric_mean(&[1.0, 4.0]).unwrap() - 2.0).abs() < 1e-12);
    }
}
