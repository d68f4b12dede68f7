//! Quality against bits per weight and against bytes read per token, as an SVG.

use std::{collections::BTreeMap, ops::Range};

use anyhow::Result;
use plotters::{chart::SeriesLabelPosition, coord::Shift, prelude::*};

use super::report::{Report, Row};

/// Pixels of one chart.
const CHART: (u32, u32) = (560, 420);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);
/// Okabe and Ito's colours, distinct for every kind of sight.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// What is smaller is drawn here: a logarithmic axis has no zero.
const LEAST: f64 = 1e-7;

/// What a chart shows from left to right.
struct Cost {
    label: &'static str,
    of: fn(&Row) -> Option<f64>,
}

const COSTS: [Cost; 2] = [
    Cost { label: "bits per weight", of: |row| row.label.bits_per_weight },
    Cost {
        label: "MB of weights read per token",
        of: |row| row.label.bytes_per_token.map(|bytes| bytes / 1e6),
    },
];

/// What a chart shows from bottom to top, by the name of a figure.
struct Quality {
    figure: String,
    label: String,
    is_logarithmic: bool,
}

/// A line of charts for each measure that some row has: perplexity, divergence, every task. A row without its
/// cost is left out; the reference is a level of its own.
///
/// # Errors
/// None that depends on the report: without figures it is an empty page.
pub fn draw(report: &Report) -> Result<String> {
    let qualities = qualities(report);
    let size = (CHART.0 * COSTS.len() as u32, CHART.1 * qualities.len().max(1) as u32);
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    let places = area.split_evenly((qualities.len().max(1), COSTS.len()));
    let charts = qualities.iter().flat_map(|quality| COSTS.iter().map(move |cost| (quality, cost)));
    for (place, (quality, cost)) in places.iter().zip(charts) {
        chart(place, report, quality, cost)?;
    }
    area.present()?;
    drop(places);
    drop(area);
    Ok(svg)
}

fn qualities(report: &Report) -> Vec<Quality> {
    let mut qualities: Vec<Quality> = Vec::new();
    for figure in report.rows.iter().rev().flat_map(|row| &row.figures) {
        let (label, is_logarithmic) = match figure.name.as_str() {
            "perplexity" => ("perplexity".to_string(), true),
            "kl_divergence" => ("KL divergence, nats".to_string(), true),
            name if name.ends_with("_accuracy") => (name.replace('_', " "), false),
            _ => continue,
        };
        if !qualities.iter().any(|known| known.figure == figure.name) {
            qualities.push(Quality { figure: figure.name.clone(), label, is_logarithmic });
        }
    }
    qualities
}

impl Quality {
    /// Where a value stands on the axis.
    fn place(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(LEAST).log10() } else { value }
    }

    fn tick(&self, place: f64) -> String {
        match self.is_logarithmic {
            true if place < -1.0 => format!("{:.1e}", 10_f64.powf(place)),
            true => format!("{:.1}", 10_f64.powf(place)),
            false => format!("{:.0} %", place * 100.0),
        }
    }
}

/// Points of one model read in one way, as a line; those of folders stand alone.
fn series(report: &Report, quality: &Quality, cost: &Cost) -> BTreeMap<String, Vec<(f64, f64)>> {
    let mut series: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in report.rows.iter().filter(|row| !row.is_reference) {
        let (Some(x), Some(figure)) = ((cost.of)(row), row.figure(&quality.figure)) else { continue };
        let name = match &row.label.reading {
            Some(reading) => format!("{}, {}", row.label.model, reading.reconstruction.name()),
            None => row.label.model.clone(),
        };
        series.entry(name).or_default().push((x, quality.place(figure.value)));
    }
    series.values_mut().for_each(|points| points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    series
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    report: &Report,
    quality: &Quality,
    cost: &Cost,
) -> Result<()> {
    let series = series(report, quality, cost);
    let reference = report.rows.iter().find(|row| row.is_reference);
    let level = reference.and_then(|row| row.figure(&quality.figure));
    let level = level.map(|figure| quality.place(figure.value));
    let points = || series.values().flatten();
    let x = padded(points().map(|point| point.0));
    let y = padded(points().map(|point| point.1).chain(level));
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(66)
        .build_cartesian_2d(x.clone(), y)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&INK))
        .x_desc(cost.label)
        .y_desc(quality.label.as_str())
        .y_label_formatter(&|place| quality.tick(*place))
        .draw()?;
    if let Some(level) = level {
        let style = INK.mix(0.6).stroke_width(1);
        chart
            .draw_series(LineSeries::new([(x.start, level), (x.end, level)], style))?
            .label("reference")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    for (number, (name, points)) in series.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        chart
            .draw_series(points.iter().map(|&point| Circle::new(point, 4, color.filled())))?
            .label(name.as_str())
            .legend(move |(x, y)| Circle::new((x + 9, y), 4, color.filled()));
    }
    if series.is_empty() && level.is_none() {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(10)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .label_font((FONT, 13).into_font().color(&INK))
        .draw()?;
    Ok(())
}

/// Lowest and highest value with a twentieth of their distance around them; 0 to 1 without values.
fn padded(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let padding = ((high - low) / 20.0).max(high.abs().max(1.0) * 1e-3);
    low - padding..high + padding
}
