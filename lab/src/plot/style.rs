//! What all plots share: size, colours, axes, legend.

use std::ops::Range;

use anyhow::Result;
use plotters::{
    chart::{ChartContext, SeriesLabelPosition},
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use otaro_trainer::strategy::Width;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Most points of a line or a scatter; more would not be seen, only stored.
pub(super) const MOST_POINTS: usize = 600;

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);

/// Draws on a white page of this size in pixels and returns the SVG.
pub(super) fn page(size: (u32, u32), draw: impl FnOnce(&Area) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(svg)
}

/// What a chart says about itself.
pub(super) struct Labels<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub x_tick: &'a dyn Fn(&f64) -> String,
    pub y_tick: &'a dyn Fn(&f64) -> String,
}

/// Axes with labels and a light grid.
pub(super) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    labels: &Labels,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .caption(labels.title, (FONT, 19).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(62)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(8)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc(labels.x)
        .y_desc(labels.y)
        .x_label_formatter(labels.x_tick)
        .y_label_formatter(labels.y_tick)
        .draw()?;
    Ok(chart)
}

/// The legend of the series drawn so far.
pub(super) fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, position: SeriesLabelPosition) -> Result<()> {
    chart
        .configure_series_labels()
        .position(position)
        .margin(10)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .label_font((FONT, 14).into_font().color(&INK))
        .draw()?;
    Ok(())
}

/// A line of a series, with its sample in the legend.
pub(super) fn line(chart: &mut Chart, label: &str, color: RGBColor, points: Vec<(f64, f64)>) -> Result<()> {
    let style = color.stroke_width(2);
    chart
        .draw_series(LineSeries::new(points, style))?
        .label(label)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    Ok(())
}

/// From cold to warm as widths fall; grey for unquantised.
pub(super) fn color_of(width: Width) -> RGBColor {
    const COLORS: [(u8, u8, u8); 7] = [
        (95, 95, 95),
        (38, 60, 140),
        (38, 122, 190),
        (36, 158, 140),
        (120, 160, 40),
        (226, 140, 24),
        (200, 44, 44),
    ];
    let (red, green, blue) = COLORS[width.index()];
    RGBColor(red, green, blue)
}

/// Lowest and highest value with a twentieth of their distance around them; 0 to 1 without values.
pub(super) fn padded(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let padding = ((high - low) / 20.0).max(high.abs().max(1.0) * 1e-3);
    low - padding..high + padding
}

/// Every n-th item, such that at most [`MOST_POINTS`] remain.
pub(super) fn thinned<T: Copy>(items: &[T]) -> Vec<T> {
    items.iter().step_by(items.len().div_ceil(MOST_POINTS).max(1)).copied().collect()
}

/// A whole number, without `.0`; nothing at ticks between the whole numbers.
pub(super) fn whole(value: &f64) -> String {
    if (value - value.round()).abs() < 1e-6 { format!("{value:.0}") } else { String::new() }
}
