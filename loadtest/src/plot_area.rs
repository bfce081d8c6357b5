//! What plots have in common: SVG with a transparent ground, axes, marks. Colours are of middle brightness and texts take
//! the colour of the page, so that they are legible on light and dark alike.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::ops::Range;

const SIZE: (u32, u32) = (960, 320);
pub(crate) const FONT_SIZE: u32 = 15;
pub(crate) const GRID: RGBAColor = RGBAColor(128, 128, 128, 0.25);
pub(crate) const AXIS: RGBAColor = RGBAColor(128, 128, 128, 0.9);
pub(crate) const BLUE: RGBColor = RGBColor(59, 130, 246);
pub(crate) const GREEN: RGBColor = RGBColor(16, 163, 127);
pub(crate) const ORANGE: RGBColor = RGBColor(234, 138, 30);
pub(crate) const RED: RGBColor = RGBColor(225, 72, 72);

/// More points than pixels are thinned.
pub(crate) const POINTS_MAX: usize = 480;

/// Room for the texts of the axes, in pixels.
pub(crate) const LEFT: u32 = 72;
pub(crate) const BOTTOM: u32 = 44;

/// Something that happened at a moment, drawn over the whole height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) at_s: f64,
    pub(crate) colour: RGBColor,
}

impl Mark {
    /// How dense the line is: many of them must not hide what they stand on.
    const DENSITY: f64 = 0.55;

    /// The line, up to `top`.
    pub(crate) fn line(self, bottom: f64, top: f64) -> PathElement<(f64, f64)> {
        PathElement::new([(self.at_s, bottom), (self.at_s, top)], self.colour.mix(Self::DENSITY))
    }
}

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
pub(crate) type DrawingResult = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn draw(plot: impl FnOnce(&Area<'_>) -> DrawingResult) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        plot(&area).and_then(|()| Ok(area.present()?)).map_err(|error| anyhow!("drawing failed: {error}"))?;
    }
    // It scales with the page.
    let fixed = format!(r#"width="{}" height="{}" "#, SIZE.0, SIZE.1);
    Ok(svg.replacen(&fixed, "", 1))
}

pub(crate) fn label() -> TextStyle<'static> {
    ("sans-serif", FONT_SIZE).into_font().color(&AXIS)
}

/// A logarithmic axis of microseconds, with labels at 1, 2 and 5 of every power of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LatencyAxis {
    pub(crate) from_us: f64,
    pub(crate) to_us: f64,
}

impl LatencyAxis {
    /// An axis on which all these values lie.
    pub(crate) fn around(values_us: impl Iterator<Item = u64>) -> Self {
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
