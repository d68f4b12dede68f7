#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use otaro_trainer::strategy::{Method, Strategy, StrategySettings, Width};
use sefp::Precision;

use super::*;
use crate::results::Step;

/// The log of a bandit on losses like those of a small model.
fn steps(count: u64) -> Vec<Step> {
    let mut strategy = Strategy::new(StrategySettings::of(Method::Bps)).unwrap();
    let step = |step: u64| {
        let width = strategy.plan().primary;
        let low = width.index().saturating_sub(4) as f64;
        let noise = (step as f64 * 12.9898).sin();
        let loss = 2.4 + 1.5 * (-(step as f64) / 150.0).exp() + 0.15 * low + 0.05 * noise;
        strategy.observe(width, loss).unwrap();
        let gradient_norm = 0.6 + 0.3 * low + 0.2 * noise;
        Step {
            number: step,
            width,
            others: Vec::new(),
            loss: loss as f32,
            gradient_norm: gradient_norm as f32,
        }
    };
    (1..=count).map(step).collect()
}

fn series() -> Vec<Series> {
    let series = |label: &str, values: [f64; 7]| Series {
        label: label.to_string(),
        points: Width::ALL.into_iter().zip(values).collect(),
    };
    vec![
        series("full precision", [11.31, 11.33, 11.38, 11.48, 11.73, 13.85, 22.25]),
        series("uniform", [11.65, 11.66, 11.65, 11.65, 11.67, 12.30, 14.74]),
        series("bps", [12.20, 12.20, 12.20, 12.16, 12.23, 12.69, 14.01]),
    ]
}

fn all(steps: &[Step], series: &[Series]) -> [(&'static str, String); 4] {
    [
        ("loss", loss_per_width(steps).unwrap()),
        ("path", width_path(steps).unwrap()),
        ("norms", gradient_norms(steps).unwrap()),
        ("perplexity", perplexity("Perplexity by width", series).unwrap()),
    ]
}

#[test]
fn plots_name_their_series_and_stay_small() {
    for (name, svg) in all(&steps(8000), &series()) {
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(svg.contains("M3"), "{name}");
        assert!(svg.len() < 400_000, "{name} has {} bytes", svg.len());
    }
}

#[test]
fn nothing_and_one_step_are_charts_too() {
    all(&[], &[]);
    let one = Series { label: "one".to_string(), points: vec![(Width::At(Precision::E5M4), 11.0)] };
    all(&steps(1), &[one]);
}
