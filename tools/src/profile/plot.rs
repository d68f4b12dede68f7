//! Divergence against bits per weight, as an SVG.

use anyhow::Result;
use plotters::{chart::SeriesLabelPosition, prelude::*};

use super::report::Row;

const SIZE: (u32, u32) = (880, 520);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);
/// Of profiles and of precisions (Okabe and Ito, distinct for every kind of sight).
const FOUND: RGBColor = RGBColor(213, 94, 0);
const UNIFORM: RGBColor = RGBColor(0, 114, 178);
/// What is smaller is drawn here: a logarithmic axis has no zero.
const LEAST: f64 = 1e-6;

/// KL divergence, on a logarithmic scale, of the profiles found and of precisions that are the same everywhere.
///
/// # Errors
/// None that depends on the rows: without any it is an empty chart.
pub fn pareto(rows: &[Row]) -> Result<String> {
    let place = |row: &Row| (row.bits_per_weight, row.divergence.mean.max(LEAST).log10());
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (bits, logs): (Vec<_>, Vec<_>) = rows.iter().map(place).unzip();
    let (bits, logs) = (padded(&bits), padded(&logs));
    let mut chart = ChartBuilder::on(&area)
        .caption("Divergence from the unquantised model", (FONT, 19).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(62)
        .build_cartesian_2d(bits, logs)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc("bits per weight")
        .y_desc("KL divergence, nats")
        .y_label_formatter(&|log| format!("{:.1e}", 10_f64.powf(*log)))
        .draw()?;
    for (label, color, named) in [("profiles", FOUND, true), ("the same everywhere", UNIFORM, false)] {
        let points: Vec<_> = rows.iter().filter(|row| row.name.is_some() == named).map(place).collect();
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, color.filled())))?;
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(10)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .label_font((FONT, 14).into_font().color(&INK))
        .draw()?;
    area.present()?;
    drop(chart);
    drop(area);
    Ok(svg)
}

/// Lowest and highest value with a twentieth of their distance around them; 0 to 1 without values.
fn padded(values: &[f64]) -> std::ops::Range<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return 0.0..1.0;
    }
    let padding = ((high - low) / 20.0).max(1e-3);
    low - padding..high + padding
}
