//! The plots of a run, and those of a soak that show the same: throughput, latency, how long requests took.

use crate::figures::{microseconds, short};
use crate::measurements::{Milestone, Percentiles, TimelinePoint};
use crate::plot_area::{
    AXIS, BLUE, BOTTOM, FONT_SIZE, GREEN, GRID, LEFT, LatencyAxis, Mark, ORANGE, POINTS_MAX, RED, draw, label,
};
use crate::report::HistogramBar;
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Between a mark and its text, in pixels.
const TEXT_GAP: i32 = 6;

/// After so many windows without an answer a line of latency is broken.
const SILENT_WINDOWS: usize = 3;

/// A percentile of a window, with its name and colour.
type Line = (&'static str, RGBColor, fn(&TimelinePoint) -> u64);

const LINES: [Line; 4] = [
    ("p50", GREEN, |point| point.latency_us.p50),
    ("p90", BLUE, |point| point.latency_us.p90),
    ("p99", ORANGE, |point| point.latency_us.p99),
    ("max", RED, |point| point.latency_us.max),
];

/// Transfers per second over time; requests where there are no transfers.
pub(crate) fn throughput(timeline: &[TimelinePoint], by_transfers: bool, marks: &[Mark]) -> Result<String> {
    let points = thinned(timeline);
    let (unit, rate): (&str, fn(&TimelinePoint) -> f64) = if by_transfers {
        ("transfers per second", |point| point.transfers_per_second)
    } else {
        ("requests per second", |point| point.requests_per_second)
    };
    let top = points.iter().map(rate).fold(1.0, f64::max) * 1.1;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(0.0..end(timeline), 0.0..top)?;
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
        chart.draw_series(marks.iter().map(|mark| mark.line(0.0, top)))?;
        Ok(())
    })
}

/// Transfers per second of each million, a bar each.
pub(crate) fn millions(millions: &[Milestone]) -> Result<String> {
    let top = millions.iter().map(|million| million.transfers_per_second).fold(1.0, f64::max) * 1.1;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(0.0..millions.len() as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(label())
            .axis_desc_style(label())
            .x_labels(10)
            .y_labels(6)
            .x_label_formatter(&|million| short(*million))
            .y_label_formatter(&|rate| short(*rate))
            .x_desc("millions of transfers")
            .y_desc("transfers per second")
            .draw()?;
        chart.draw_series(millions.iter().enumerate().map(|(place, million)| {
            let corners = [(place as f64, million.transfers_per_second), (place as f64 + 1.0, 0.0)];
            Rectangle::new(corners, BLUE.mix(0.65).filled())
        }))?;
        Ok(())
    })
}

/// Latency percentiles over time, on a logarithmic axis.
pub(crate) fn latency(timeline: &[TimelinePoint], marks: &[Mark]) -> Result<String> {
    let windows = thinned(timeline);
    let pieces = answered_pieces(&windows);
    let points: Vec<&TimelinePoint> = pieces.iter().flatten().collect();
    let values = || points.iter().flat_map(|point| LINES.map(|(_, _, value)| value(point).max(1)));
    let axis = LatencyAxis::around(values());
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(0.0..end(timeline), axis)?;
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
            for (number, piece) in pieces.iter().enumerate() {
                let line = piece.iter().map(|point| (point.at_s, value(point).max(1) as f64));
                // The first window began at 0.
                let start = piece.first().filter(|_| number == 0);
                let start = start.map(|point| (0.0, value(point).max(1) as f64));
                chart.draw_series(LineSeries::new(start.into_iter().chain(line), colour.stroke_width(2)))?;
            }
        }
        chart.draw_series(marks.iter().map(|mark| mark.line(axis.from_us, axis.to_us)))?;
        Ok(())
    })
}

/// The windows in which something was answered, apart from each other where for some windows nothing was.
fn answered_pieces(windows: &[TimelinePoint]) -> Vec<Vec<TimelinePoint>> {
    let mut pieces: Vec<Vec<TimelinePoint>> = vec![Vec::new()];
    let mut silent = 0;
    for window in windows {
        if window.latency_us.max == 0 {
            silent += 1;
            continue;
        }
        if silent >= SILENT_WINDOWS {
            pieces.push(Vec::new());
        }
        silent = 0;
        pieces.last_mut().expect("there is one from the start").push(*window);
    }
    pieces
}

/// The names and colours of the lines of [`latency`], for a legend.
pub(crate) fn latency_legend() -> impl Iterator<Item = (&'static str, RGBColor)> {
    LINES.into_iter().map(|(name, colour, _)| (name, colour))
}

/// How many requests took how long.
pub(crate) fn histogram(bars: &[HistogramBar], latency_us: Percentiles) -> Result<String> {
    let total: u64 = bars.iter().map(|bar| bar.requests).sum();
    let share = |bar: &HistogramBar| bar.requests as f64 * 100.0 / total.max(1) as f64;
    let top = bars.iter().map(share).fold(0.1, f64::max) * 1.15;
    let values = bars.iter().flat_map(|bar| [bar.from_us.max(1), bar.to_us.max(1)]);
    let axis = LatencyAxis::around(values);
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
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
            ("p50", GREEN, latency_us.p50, 0.99),
            ("p90", BLUE, latency_us.p90, 0.92),
            ("p99", ORANGE, latency_us.p99, 0.85),
            ("max", RED, latency_us.max, 0.78),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn plots_are_drawn_also_when_there_is_nothing_in_them() {
        let full = report::tests::sample();
        let check = |svg: Result<String>| {
            let svg = svg.expect("it can be drawn");
            assert!(svg.starts_with("<svg viewBox") && svg.trim_end().ends_with("</svg>"), "{svg}");
            svg
        };
        let marks = [Mark { at_s: 0.5, colour: RED }];
        for timeline in [&full.timeline[..], &[]] {
            for by_transfers in [true, false] {
                check(throughput(timeline, by_transfers, &marks));
            }
            check(latency(timeline, &marks));
        }
        check(histogram(&full.latency_histogram, full.latency_us));
        check(histogram(&[], Percentiles::default()));
        check(millions(&full.millions));
        check(millions(&[]));
        assert!(check(latency(&full.timeline, &[])).contains("500 µs"));
    }

    #[test]
    fn a_line_of_latency_is_broken_where_nothing_was_answered_for_long() {
        let point = report::tests::sample().timeline[0];
        let silent = TimelinePoint { latency_us: Percentiles::default(), ..point };
        let check = |windows: &[TimelinePoint], expected: &[usize]| {
            let lengths: Vec<_> = answered_pieces(windows).iter().map(Vec::len).collect();
            assert_eq!(lengths, expected);
        };
        check(&[], &[0]);
        check(&[point; 5], &[5]);
        check(&[point, silent, silent, point], &[2]);
        check(&[point, silent, silent, silent, point, point], &[1, 2]);
        check(&[silent, silent, silent, point], &[0, 1]);
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
}
