//! Plots of one run, from the log of its steps.

use std::ops::Range;

use anyhow::Result;
use otaro_trainer::strategy::Width;
use plotters::{chart::SeriesLabelPosition, prelude::*};

use super::style::{Labels, chart, color_of, legend, line, padded, page, thinned, whole};
use crate::results::Step;

/// Pixels of a plot of one chart.
const SIZE: (u32, u32) = (880, 440);

/// The loss of the passes with cross-entropy at every width over the steps, smoothed.
///
/// # Errors
/// None that depends on the steps: without any it is an empty chart.
pub fn loss_per_width(steps: &[Step]) -> Result<String> {
    curves(steps, "Training loss by width", "loss (nats per token), smoothed", |step| f64::from(step.loss))
}

/// The norm of the gradient at every width over the steps, smoothed. A step with distillation counts for its
/// high width.
///
/// # Errors
/// None that depends on the steps: without any it is an empty chart.
pub fn gradient_norms(steps: &[Step]) -> Result<String> {
    curves(steps, "Gradient norm by width", "norm before clipping, smoothed", |step| {
        f64::from(step.gradient_norm)
    })
}

/// Which width every step had, above the share of each width so far.
///
/// # Errors
/// None that depends on the steps: without any it is an empty chart.
pub fn width_path(steps: &[Step]) -> Result<String> {
    let used: Vec<Width> =
        Width::ALL.into_iter().rev().filter(|&width| steps.iter().any(|step| has(step, width))).collect();
    let range = range(steps);
    // Few enough that rare and frequent widths look different.
    let shown = thinned(&steps.iter().collect::<Vec<_>>());
    page((SIZE.0, 620), |area| {
        let (upper, lower) = area.split_vertically(300);
        let name = |place: &f64| match whole(place).parse::<usize>() {
            Ok(place) => used.get(place).map_or(String::new(), Width::to_string),
            Err(_) => String::new(),
        };
        let labels = Labels { title: "Path of the widths", x: "", y: "width", x_tick: &whole, y_tick: &name };
        let mut points = chart(&upper, &labels, range.clone(), -0.6..used.len().max(1) as f64 - 0.4)?;
        for (place, &width) in used.iter().enumerate() {
            let style = color_of(width).mix(0.7).filled();
            let hits = shown.iter().filter(|step| has(step, width)).map(|step| step.number as f64);
            points.draw_series(hits.map(|step| Circle::new((step, place as f64), 2, style)))?;
        }
        let percent = |share: &f64| format!("{:.0} %", share * 100.0);
        let labels = Labels {
            title: "Share of the batches so far",
            x: "step",
            y: "share",
            x_tick: &whole,
            y_tick: &percent,
        };
        let shares: Vec<_> = used.iter().map(|&width| cumulative_share(steps, width)).collect();
        let highest = shares.iter().flatten().map(|point| point.1).fold(0.1, f64::max);
        let mut lines = chart(&lower, &labels, range, 0.0..highest.min(1.0) * 1.05)?;
        for (&width, share) in used.iter().zip(shares).rev() {
            line(&mut lines, &width.to_string(), color_of(width), share)?;
        }
        legend(&mut lines, SeriesLabelPosition::UpperRight)
    })
}

/// One smoothed line per width.
fn curves(steps: &[Step], title: &str, y: &str, value: impl Fn(&Step) -> f64) -> Result<String> {
    let curve = |width| {
        let of_width: Vec<_> = steps.iter().filter(|step| step.width == width).collect();
        smoothed(&of_width.iter().map(|step| (step.number as f64, value(step))).collect::<Vec<_>>())
    };
    let curves: Vec<_> = Width::ALL.into_iter().map(|width| (width, curve(width))).collect();
    let values = curves.iter().flat_map(|(_, points)| points).map(|point| point.1);
    let y_range = padded(values);
    let decimals = if y_range.end - y_range.start < 0.5 { 2 } else { 1 };
    let number = |value: &f64| format!("{value:.decimals$}");
    let labels = Labels { title, x: "step", y, x_tick: &whole, y_tick: &number };
    page(SIZE, |area| {
        let mut chart = chart(area, &labels, range(steps), y_range)?;
        for (width, points) in curves.into_iter().filter(|(_, points)| !points.is_empty()) {
            line(&mut chart, &width.to_string(), color_of(width), points)?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    })
}

/// The mean over a window around every point, a thirtieth of all, so that the line does not lag behind.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let average = |(at, &(step, _)): (usize, &(f64, f64))| {
        let reach = points.len() / 60;
        let window = &points[at.saturating_sub(reach)..points.len().min(at + reach + 1)];
        (step, window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64)
    };
    thinned(&points.iter().enumerate().map(average).collect::<Vec<_>>())
}

/// The share of a width among all batches up to each step.
fn cumulative_share(steps: &[Step], width: Width) -> Vec<(f64, f64)> {
    let (mut hits, mut batches) = (0, 0);
    let share = steps.iter().map(|step| {
        hits += usize::from(has(step, width));
        batches += step.widths().count();
        (step.number as f64, hits as f64 / batches as f64)
    });
    let points: Vec<_> = share.collect();
    // The shares of the first few batches jump and would only stretch the scale.
    let settled = points.len().min(24);
    thinned(&points[settled..])
}

fn has(step: &Step, width: Width) -> bool {
    step.widths().any(|it| it == width)
}

/// From the first step to the last, and room for the legend.
fn range(steps: &[Step]) -> Range<f64> {
    0.0..steps.last().map_or(1.0, |step| step.number as f64) * 1.13
}
