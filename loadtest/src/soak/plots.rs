//! The plots of a soak over time that a run does not have: memory, disk, threads and descriptors, with marks where
//! something was done to the server.

use crate::figures::short;
use crate::plot_area::{AXIS, BLUE, BOTTOM, GREEN, GRID, LEFT, Mark, ORANGE, POINTS_MAX, RED, draw, label};
use crate::soak::bounds::{journal_limit, resident_limit};
use crate::soak::report::Event;
use crate::soak::watch::Sample;
use anyhow::Result;
use plotters::prelude::*;

const MIB: f64 = 1_048_576.0;

/// One line: its name, its colour, and what it shows of a sample.
pub(crate) type Line = (&'static str, RGBColor, fn(&Sample) -> Option<f64>);

pub(crate) const MEMORY: [Line; 3] = [
    ("resident", BLUE, |sample| Some(sample.server?.resident_bytes as f64 / MIB)),
    ("most of this life", GREEN, |sample| Some(sample.server?.resident_bytes_max as f64 / MIB)),
    ("bound", RED, |sample| Some(resident_limit(sample) as f64 / MIB)),
];

pub(crate) const DISK: [Line; 3] = [
    ("journal", BLUE, |sample| Some(sample.journal_bytes as f64 / MIB)),
    ("other files (a copy while recovering)", ORANGE, |sample| Some(sample.other_bytes as f64 / MIB)),
    ("bound of the journal", RED, |sample| Some(journal_limit(sample) as f64 / MIB)),
];

pub(crate) const HANDLES: [Line; 2] = [
    ("threads", BLUE, |sample| Some(sample.server?.threads as f64)),
    ("descriptors", ORANGE, |sample| Some(sample.server?.descriptors as f64)),
];

/// What marks mean, by colour.
pub(crate) const MARKS: [(&str, RGBColor); 4] = [
    ("killed", RED),
    ("stopped and started", GREEN),
    ("held for a while", ORANGE),
    ("burst at full speed", BLUE),
];

/// Lines over time. Where a line has no value, it is broken.
pub(crate) fn lines(samples: &[Sample], lines: &[Line], unit: &str, marks: &[Mark]) -> Result<String> {
    let samples = thinned(samples);
    let values = || samples.iter().flat_map(|sample| lines.iter().filter_map(|(_, _, value)| value(sample)));
    let top = values().fold(1.0, f64::max) * 1.1;
    let end = samples.last().map_or(1.0, |sample| sample.at_s.max(0.001));
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(label())
            .axis_desc_style(label())
            .x_labels(10)
            .y_labels(6)
            .x_label_formatter(&|seconds| short(*seconds))
            .y_label_formatter(&|value| short(*value))
            .x_desc("time in seconds")
            .y_desc(unit)
            .draw()?;
        chart.draw_series(marks.iter().map(|mark| mark.line(0.0, top)))?;
        for (_, colour, value) in lines {
            for piece in samples.chunk_by(|one, next| value(one).is_some() && value(next).is_some()) {
                let points = piece.iter().filter_map(|sample| Some((sample.at_s, value(sample)?)));
                chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
            }
        }
        Ok(())
    })
}

/// Where something was done to the server.
pub(crate) fn marks(events: &[Event]) -> Vec<Mark> {
    let colour = |what: &str| match what {
        "pause" | "long_pause" => ORANGE,
        "restart" | "restart_at_rest" => GREEN,
        "burst" => BLUE,
        _ => RED,
    };
    events.iter().map(|event| Mark { at_s: event.at_s, colour: colour(event.what) }).collect()
}

/// At most [`POINTS_MAX`] samples: of neighbours the one with the most memory, so that no peak is left out, and with it
/// the most of all else.
fn thinned(samples: &[Sample]) -> Vec<Sample> {
    let together = samples.len().div_ceil(POINTS_MAX).max(1);
    let merge = |samples: &[Sample]| {
        let memory = |sample: &&Sample| sample.server.map(|vitals| vitals.resident_bytes);
        let mut most = *samples.iter().max_by_key(memory).expect("a chunk is not empty");
        most.other_bytes = samples.iter().map(|sample| sample.other_bytes).max().unwrap_or_default();
        most
    };
    samples.chunks(together).map(merge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::report;

    #[test]
    fn plots_are_drawn_also_when_there_is_nothing_in_them() {
        let report = report::tests::sample();
        let marks = marks(&report.marks);
        assert_eq!(marks.len(), 2);
        for samples in [&report.samples[..], &[]] {
            for set in [&MEMORY[..], &DISK, &HANDLES] {
                let svg = lines(samples, set, "MiB", &marks).expect("it can be drawn");
                assert!(svg.starts_with("<svg viewBox") && svg.trim_end().ends_with("</svg>"), "{svg}");
            }
        }
    }

    #[test]
    fn a_long_soak_is_thinned_to_its_peaks() {
        let sample = report::tests::sample().samples[0];
        let mut samples = vec![sample; 5_000];
        samples[1_234].other_bytes = 77 << 30;
        samples[2_345].server.as_mut().expect("a server runs").resident_bytes = 99 << 30;
        let thin = thinned(&samples);
        assert!(thin.len() <= POINTS_MAX);
        assert_eq!(thin.iter().filter(|sample| sample.other_bytes == 77 << 30).count(), 1);
        let peak = |sample: &&Sample| sample.server.is_some_and(|vitals| vitals.resident_bytes == 99 << 30);
        assert_eq!(thin.iter().filter(peak).count(), 1);
    }
}
