//! Perplexity against width, one line per method.

use anyhow::Result;
use plotters::{chart::SeriesLabelPosition, prelude::*};

use super::style::{Labels, chart, legend, line, padded, page};
use otaro_trainer::strategy::Width;

/// One line of the plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// Perplexity at widths, in any order.
    pub points: Vec<(Width, f64)>,
}

/// The colours of the lines (Okabe and Ito, distinct for every kind of sight), then from the start again.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Perplexity (on a logarithmic scale) against width, from unquantised down to M3.
///
/// # Errors
/// None that depends on the series: without any it is an empty chart.
pub fn perplexity(title: &str, series: &[Series]) -> Result<String> {
    let range = padded(series.iter().flat_map(|series| &series.points).map(|point| point.1.ln()));
    let width = |place: &f64| {
        let width = Width::ALL.into_iter().find(|width| (width.index() as f64 - place).abs() < 1e-6);
        width.map_or(String::new(), |width| width.to_string())
    };
    let number = |value: &f64| {
        if value.exp() < 100.0 { format!("{:.1}", value.exp()) } else { format!("{:.0}", value.exp()) }
    };
    let labels = Labels { title, x: "width", y: "perplexity", x_tick: &width, y_tick: &number };
    page((880, 520), |area| {
        let mut chart = chart(area, &labels, -0.3..6.3, range)?;
        for (number, series) in series.iter().enumerate() {
            let color = COLORS[number % COLORS.len()];
            let mut points: Vec<_> =
                series.points.iter().map(|(width, value)| (width.index() as f64, value.ln())).collect();
            points.sort_by(|left, right| left.0.total_cmp(&right.0));
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, color.filled())))?;
            line(&mut chart, &series.label, color, points)?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    })
}
