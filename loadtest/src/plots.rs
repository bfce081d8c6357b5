//! The plots of a report, as SVG with a transparent ground. Colours are of middle brightness and texts take the
//! colour of the page, so that they are legible on light and dark alike.

use crate::figures::{microseconds, short};
use crate::measurements::TimelinePoint;
use crate::report::{HistogramBar, Report};
use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

const SIZE: (u32, u32) = (960, 320);
const FONT_SIZE: u32 = 15;
/// Between a mark and its text, in pixels.
const TEXT_GAP: i32 = 6;
const GRID: RGBAColor = RGBAColor(128, 128, 128, 0.25);
const AXIS: RGBAColor = RGBAColor(128, 128, 128, 0.9);
const BLUE: RGBColor = RGBColor(59, 130, 246);
const GREEN: RGBColor = RGBColor(16, 163, 127);
const ORANGE: RGBColor = RGBColor(234, 138, 30);
const RED: RGBColor = RGBColor(225, 72, 72);

/// More points than pixels are thinned.
const POINTS_MAX: usize = 480;

/// A percentile of a window, with its name and colour.
type Line = (&'static str, RGBColor, fn(&TimelinePoint) -> u64);

const LINES: [Line; 4] = [
    ("p50", GREEN, |point| point.latency_us.p50),
    ("p90", BLUE, |point| point.latency_us.p90),
    ("p99", ORANGE, |point| point.latency_us.p99),
    ("max", RED, |point| point.latency_us.max),
];

/// Transfers per second over time; reads where there are no transfers.
pub(crate) fn throughput(report: &Report) -> Result<String> {
    let points = thinned(&report.timeline);
    let (unit, rate): (&str, fn(&TimelinePoint) -> f64) = if report.transfers_sent > 0 {
        ("transfers per second", |point| point.transfers_per_second)
    } else {
        ("requests per second", |point| point.requests_per_second)
    };
    let top = points.iter().map(rate).fold(1.0, f64::max) * 1.1;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..end(&points), 0.0..top)?;
        let time = |seconds: &f64| short(*seconds);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(label())
            .axis_desc_style(label())
            .x_labels(10)
            .y_labels(6)
            .x_label_formatter(&time)
            .y_label_formatter(&|rate| short(*rate))
            .x_desc("time in seconds")
            .y_desc(unit)
            .draw()?;
        let line = points.iter().map(|point| (point.at_s, rate(point)));
        // The first window began at 0.
        let line = points.first().map(|point| (0.0, rate(point))).into_iter().chain(line);
        let style = BLUE.stroke_width(2);
        chart.draw_series(AreaSeries::new(line, 0.0, BLUE.mix(0.2)).border_style(style))?;
        Ok(())
    })
}

/// Latency percentiles over time, on a logarithmic axis.
pub(crate) fn latency(report: &Report) -> Result<String> {
    let points: Vec<_> =
        thinned(&report.timeline).into_iter().filter(|point| point.latency_us.max > 0).collect();
    let values = || points.iter().flat_map(|point| LINES.map(|(_, _, value)| value(point).max(1)));
    let axis = LatencyAxis::around(values());
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..end(&points), axis)?;
        let time = |seconds: &f64| short(*seconds);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(label())
            .axis_desc_style(label())
            .x_labels(10)
            .x_label_formatter(&time)
            .x_desc("time in seconds")
            .y_desc("latency of a request")
            .draw()?;
        for (_, colour, value) in LINES {
            let line = points.iter().map(|point| (point.at_s, value(point).max(1) as f64));
            let line = points.first().map(|point| (0.0, value(point).max(1) as f64)).into_iter().chain(line);
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// The names and colours of the lines of [`latency`], for a legend.
pub(crate) fn latency_legend() -> impl Iterator<Item = (&'static str, RGBColor)> {
    LINES.into_iter().map(|(name, colour, _)| (name, colour))
}

/// How many requests took how long.
pub(crate) fn histogram(report: &Report) -> Result<String> {
    let bars = &report.latency_histogram;
    let total: u64 = bars.iter().map(|bar| bar.requests).sum();
    let share = |bar: &HistogramBar| bar.requests as f64 * 100.0 / total.max(1) as f64;
    let top = bars.iter().map(share).fold(0.1, f64::max) * 1.15;
    let values = bars.iter().flat_map(|bar| [bar.from_us.max(1), bar.to_us.max(1)]);
    let axis = LatencyAxis::around(values);
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(axis, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(label())
            .axis_desc_style(label())
            .y_labels(6)
            .y_label_formatter(&|percent| format!("{}%", short(*percent)))
            .x_desc("latency of a request")
            .y_desc("share of requests")
            .draw()?;
        chart.draw_series(bars.iter().map(|bar| {
            let corners = [(bar.from_us.max(1) as f64, share(bar)), (bar.to_us.max(1) as f64, 0.0)];
            Rectangle::new(corners, BLUE.mix(0.65).filled())
        }))?;
        let marks = [
            ("p50", GREEN, report.latency_us.p50, 0.99),
            ("p90", BLUE, report.latency_us.p90, 0.92),
            ("p99", ORANGE, report.latency_us.p99, 0.85),
            ("max", RED, report.latency_us.max, 0.78),
        ];
        for (name, colour, us, height) in marks {
            let at = us.max(1) as f64;
            chart.draw_series(LineSeries::new([(at, 0.0), (at, top * height)], colour.stroke_width(2)))?;
            // The greatest stands at the right end, where there is room only on its left.
            let (side, gap) = if name == "max" { (HPos::Right, -TEXT_GAP) } else { (HPos::Left, TEXT_GAP) };
            let anchor = Pos::new(side, VPos::Top);
            let style = ("sans-serif", FONT_SIZE).into_font().color(&colour).pos(anchor);
            let text = Text::new(format!("{name} {}", microseconds(us)), (gap, 0), style);
            chart.draw_series([EmptyElement::at((at, top * height)) + text])?;
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawingResult = Result<(), Box<dyn std::error::Error>>;

fn draw(plot: impl FnOnce(&Area<'_>) -> DrawingResult) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        plot(&area).and_then(|()| Ok(area.present()?)).map_err(|error| anyhow!("drawing failed: {error}"))?;
    }
    // It scales with the page.
    let fixed = format!(r#"width="{}" height="{}" "#, SIZE.0, SIZE.1);
    Ok(svg.replacen(&fixed, "", 1))
}

fn label() -> TextStyle<'static> {
    ("sans-serif", FONT_SIZE).into_font().color(&AXIS)
}

fn end(points: &[TimelinePoint]) -> f64 {
    points.last().map_or(1.0, |point| point.at_s.max(0.001))
}

/// The timeline with at most [`POINTS_MAX`] points: of neighbours the mean rate and the worst latency.
fn thinned(timeline: &[TimelinePoint]) -> Vec<TimelinePoint> {
    let together = timeline.len().div_ceil(POINTS_MAX).max(1);
    let worst = |points: &[TimelinePoint], value: fn(&TimelinePoint) -> u64| {
        points.iter().map(value).max().unwrap_or_default()
    };
    let merge = |points: &[TimelinePoint]| {
        let mut merged = points[points.len() - 1];
        let mean =
            |rate: fn(&TimelinePoint) -> f64| points.iter().map(rate).sum::<f64>() / points.len() as f64;
        merged.transfers_per_second = mean(|point| point.transfers_per_second);
        merged.requests_per_second = mean(|point| point.requests_per_second);
        merged.latency_us.p50 = worst(points, |point| point.latency_us.p50);
        merged.latency_us.p90 = worst(points, |point| point.latency_us.p90);
        merged.latency_us.p99 = worst(points, |point| point.latency_us.p99);
        merged.latency_us.max = worst(points, |point| point.latency_us.max);
        merged
    };
    timeline.chunks(together).map(merge).collect()
}

/// A logarithmic axis of microseconds, with labels at 1, 2 and 5 of every power of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LatencyAxis {
    from_us: f64,
    to_us: f64,
}

impl LatencyAxis {
    /// An axis on which all these values lie.
    fn around(values_us: impl Iterator<Item = u64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 1.0_f64);
        for value in values_us {
            least = least.min(value as f64);
            most = most.max(value as f64);
        }
        let least = if least.is_finite() { least } else { 1.0 };
        Self { from_us: (least / 1.3).max(0.7), to_us: (most * 1.3).max(2.0) }
    }

    fn ticks(self) -> Vec<f64> {
        let steps = (0..10).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10.0_f64.powi(power)));
        let ticks: Vec<f64> = steps.filter(|tick| (self.from_us..=self.to_us).contains(tick)).collect();
        if ticks.len() <= 10 {
            return ticks;
        }
        // Over many decades one label each is enough.
        let is_power = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-9;
        ticks.into_iter().filter(is_power).collect()
    }
}

impl Ranged for LatencyAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, us: &f64, limits: (i32, i32)) -> i32 {
        let (from, to) = (self.from_us.ln(), self.to_us.ln());
        let part = (us.clamp(self.from_us, self.to_us).ln() - from) / (to - from);
        limits.0 + (part * f64::from(limits.1 - limits.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks()
    }

    fn range(&self) -> Range<f64> {
        self.from_us..self.to_us
    }
}

impl ValueFormatter<f64> for LatencyAxis {
    fn format_ext(&self, us: &f64) -> String {
        match *us {
            us if us >= 1e6 => format!("{} s", us / 1e6),
            us if us >= 1e3 => format!("{} ms", us / 1e3),
            us => format!("{us} µs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurements::Percentiles;
    use crate::report;

    #[test]
    fn plots_are_drawn_also_when_there_is_nothing_in_them() {
        let full = report::tests::sample();
        let empty = Report {
            timeline: Vec::new(),
            latency_histogram: Vec::new(),
            latency_us: Percentiles::default(),
            ..full.clone()
        };
        for report in [&full, &empty] {
            for plot in [throughput, latency, histogram] {
                let svg = plot(report).expect("it can be drawn");
                assert!(svg.starts_with("<svg viewBox") && svg.trim_end().ends_with("</svg>"), "{svg}");
            }
        }
        assert!(latency(&full).expect("it can be drawn").contains("500 µs"));
    }

    #[test]
    fn a_long_timeline_is_thinned_to_its_worst() {
        let point = report::tests::sample().timeline[0];
        let mut timeline = vec![point; 5_000];
        timeline[1_234].latency_us.max = 1_000_000;
        let thin = thinned(&timeline);
        assert!(thin.len() <= POINTS_MAX);
        assert_eq!(thin.iter().filter(|point| point.latency_us.max == 1_000_000).count(), 1);
    }

    #[test]
    fn the_axis_has_a_label_for_every_size_of_range() {
        let check = |values: [u64; 2], expected: &[f64]| {
            assert_eq!(LatencyAxis::around(values.into_iter()).ticks(), expected, "{values:?}");
        };
        check([100, 1_000], &[100.0, 200.0, 500.0, 1_000.0]);
        check([1, 1], &[1.0, 2.0]);
        check([1, 1_000_000], &[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
    }
}
