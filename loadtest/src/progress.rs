//! How a run is going, while it is going: a line that moves on a terminal, a plain line now and then elsewhere.

use crate::figures::{grouped, microseconds, rounded};
use crate::load::Load;
use crate::measurements::{Milestone, TimelinePoint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Without a terminal, a line so often.
const PLAIN_LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Where progress is shown.
#[derive(Debug)]
pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines,
    Nowhere,
}

impl Progress {
    /// On stderr. `goal` is in transfers, or in milliseconds of a duration.
    pub(crate) fn on_stderr(goal: Option<u64>) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(goal, ProgressDrawTarget::stderr());
        let template = if goal.is_some() { "{bar:24} {percent:>3}% {msg}" } else { "{spinner} {msg}" };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is right"));
        Self::Bar(bar)
    }

    /// Ends a window of the measurements at every tick, and shows it and every million. Never returns.
    pub(crate) async fn follow(&self, load: &Arc<Load>, window: Duration, by_transfers: bool) {
        let mut ticks = interval(window);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut last_line = Duration::ZERO;
        let mut milestones_told = 0;
        loop {
            ticks.tick().await;
            let now = load.elapsed();
            let (line, done, milestones) = {
                let mut state = load.lock();
                state.measurements.end_window(now);
                let done = if by_transfers { state.testimony.acknowledged } else { now.as_millis() as u64 };
                let errors = state.measurements.errors_count();
                let milestones = state.measurements.milestones[milestones_told..].to_vec();
                (state.measurements.timeline.last().map(|point| line(point, errors)), done, milestones)
            };
            milestones_told += milestones.len();
            for milestone in &milestones {
                self.tell(milestone);
            }
            let Some(line) = line else { continue };
            match self {
                Self::Bar(bar) => {
                    bar.set_position(done);
                    bar.set_message(line);
                }
                Self::Lines if now.saturating_sub(last_line) >= PLAIN_LINE_INTERVAL => {
                    last_line = now;
                    eprintln!("{line}");
                }
                Self::Lines | Self::Nowhere => {}
            }
        }
    }

    fn tell(&self, milestone: &Milestone) {
        let text = milestone_line(milestone);
        match self {
            Self::Bar(bar) => bar.println(text),
            Self::Lines => eprintln!("{text}"),
            Self::Nowhere => {}
        }
    }

    /// What is being done before and after the load.
    pub(crate) fn say(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(text.to_owned()),
            Self::Lines => eprintln!("{text}"),
            Self::Nowhere => {}
        }
    }

    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// How a million went.
pub(crate) fn milestone_line(milestone: &Milestone) -> String {
    format!(
        "{} transfers after {:.2} s, the last million at {} transfers/s",
        grouped(milestone.transfers),
        milestone.at_s,
        rounded(milestone.transfers_per_second)
    )
}

fn line(point: &TimelinePoint, errors: u64) -> String {
    format!(
        "{:.0} s: {} transfers/s, {} requests/s, p50 {}, p99 {}, errors {}",
        point.at_s,
        rounded(point.transfers_per_second),
        rounded(point.requests_per_second),
        microseconds(point.latency_us.p50),
        microseconds(point.latency_us.p99),
        grouped(errors),
    )
}
