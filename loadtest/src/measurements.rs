//! What is counted and timed while load runs: totals, and a timeline of short windows.

use client::ledger::{OrderKind, Status};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest latency that is told apart from longer ones: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Three digits: a latency is known to a thousandth.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Latencies, in microseconds.
pub(crate) type Latencies = Histogram<u64>;

/// Percentiles of latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// A shorter rest at the end of a run, when the last requests are only waited for, has no rate worth a point. It still
/// counts in the totals.
const WINDOW_MIN: Duration = Duration::from_millis(100);

/// What happened in one window of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct TimelinePoint {
    /// When the window ended, in seconds from the start.
    pub(crate) at_s: f64,
    pub(crate) transfers_per_second: f64,
    pub(crate) requests_per_second: f64,
    /// Of the requests answered in the window, reads included; all 0 if there were none.
    pub(crate) latency_us: Percentiles,
    pub(crate) errors: u64,
}

/// How fast each so many acknowledged orders went is told on its own.
const MILESTONE: u64 = 1_000_000;

/// A million more was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Milestone {
    /// How many by then.
    pub(crate) transfers: u64,
    /// When that was, in seconds from the start.
    pub(crate) at_s: f64,
    /// Since the one before.
    pub(crate) transfers_per_second: f64,
}

/// How often orders of each kind were answered with each status.
pub(crate) type OutcomeCounts = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Measurements {
    pub(crate) requests: u64,
    pub(crate) reads: u64,
    /// Of the reads those of a statement.
    pub(crate) statements: u64,
    /// Orders of any kind; one that is sent twice counts once.
    pub(crate) transfers_sent: u64,
    pub(crate) transfers_acknowledged: u64,
    /// Answers to orders that were sent a second time.
    pub(crate) repetitions: u64,
    outcomes: BTreeMap<(OrderKind, Status), u64>,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// Of requests that carried orders.
    pub(crate) latency: Latencies,
    /// Of requests that read.
    pub(crate) read_latency: Latencies,
    /// How far behind its schedule the sender was, in an open loop.
    pub(crate) behind: Latencies,
    pub(crate) timeline: Vec<TimelinePoint>,
    pub(crate) milestones: Vec<Milestone>,
    window: Window,
}

#[derive(Debug)]
struct Window {
    latency: Latencies,
    started: Duration,
    transfers_before: u64,
    requests_before: u64,
    errors_before: u64,
}

impl Default for Measurements {
    fn default() -> Self {
        Self {
            requests: 0,
            reads: 0,
            statements: 0,
            transfers_sent: 0,
            transfers_acknowledged: 0,
            repetitions: 0,
            outcomes: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency: latencies(),
            read_latency: latencies(),
            behind: latencies(),
            timeline: Vec::new(),
            milestones: Vec::new(),
            window: Window {
                latency: latencies(),
                started: Duration::ZERO,
                transfers_before: 0,
                requests_before: 0,
                errors_before: 0,
            },
        }
    }
}

pub(crate) fn latencies() -> Latencies {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS).expect("the bounds are in order")
}

pub(crate) fn percentiles(latencies: &Latencies) -> Percentiles {
    let at = |quantile| latencies.value_at_quantile(quantile).min(latencies.max());
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: latencies.max() }
}

impl Measurements {
    /// A request that carried orders was answered.
    pub(crate) fn orders_answered(&mut self, latency: Duration) {
        self.requests += 1;
        record(&mut self.latency, latency);
        record(&mut self.window.latency, latency);
    }

    /// A request that read a balance was answered.
    pub(crate) fn read_answered(&mut self, latency: Duration) {
        self.requests += 1;
        self.reads += 1;
        record(&mut self.read_latency, latency);
        record(&mut self.window.latency, latency);
    }

    /// A request that read a statement was answered.
    pub(crate) fn statement_answered(&mut self, latency: Duration) {
        self.statements += 1;
        self.read_answered(latency);
    }

    /// An order of this kind was answered so.
    pub(crate) fn outcome(&mut self, kind: OrderKind, status: Status) {
        *self.outcomes.entry((kind, status)).or_default() += 1;
    }

    /// How often orders of each kind were answered with each status.
    pub(crate) fn outcomes(&self) -> OutcomeCounts {
        let mut counts = OutcomeCounts::new();
        for (&(kind, status), &count) in &self.outcomes {
            counts.entry(kind.name()).or_default().insert(status.name(), count);
        }
        counts
    }

    /// An order was acknowledged as done.
    pub(crate) fn acknowledged(&mut self, now: Duration) {
        self.transfers_acknowledged += 1;
        if !self.transfers_acknowledged.is_multiple_of(MILESTONE) {
            return;
        }
        let at_s = now.as_secs_f64();
        let before_s = self.milestones.last().map_or(0.0, |milestone| milestone.at_s);
        // Two of them within a single reply took no time that could be told.
        let took_s = (at_s - before_s).max(1e-6);
        let transfers_per_second = MILESTONE as f64 / took_s;
        self.milestones.push(Milestone {
            transfers: self.transfers_acknowledged,
            at_s,
            transfers_per_second,
        });
    }

    /// Refusals of any order by status: every answer but that it is done, now or before.
    pub(crate) fn refused(&self) -> BTreeMap<&'static str, u64> {
        let mut refused = BTreeMap::new();
        for (&(_, status), &count) in self.outcomes.iter().filter(|((_, status), _)| !status.is_success()) {
            *refused.entry(status.name()).or_default() += count;
        }
        refused
    }

    pub(crate) fn failed(&mut self, kind: &'static str) {
        *self.errors.entry(kind).or_default() += 1;
    }

    pub(crate) fn sent_behind(&mut self, behind: Duration) {
        record(&mut self.behind, behind);
    }

    pub(crate) fn errors_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Ends the window, so that the next begins.
    pub(crate) fn end_window(&mut self, now: Duration) {
        let length = now.saturating_sub(self.window.started);
        if length < WINDOW_MIN {
            return;
        }
        let seconds = length.as_secs_f64();
        let errors = self.errors_count();
        let window = &mut self.window;
        self.timeline.push(TimelinePoint {
            at_s: now.as_secs_f64(),
            transfers_per_second: (self.transfers_acknowledged - window.transfers_before) as f64 / seconds,
            requests_per_second: (self.requests - window.requests_before) as f64 / seconds,
            latency_us: percentiles(&window.latency),
            errors: errors - window.errors_before,
        });
        window.latency.reset();
        window.started = now;
        window.transfers_before = self.transfers_acknowledged;
        window.requests_before = self.requests;
        window.errors_before = errors;
    }
}

fn record(latencies: &mut Latencies, latency: Duration) {
    latencies.saturating_record(latency.as_micros() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_count_what_happened_in_them_and_totals_all_of_it() {
        let mut measurements = Measurements::default();
        for latency_ms in [1, 2, 3] {
            measurements.orders_answered(Duration::from_millis(latency_ms));
            measurements.transfers_acknowledged += 10;
        }
        measurements.end_window(Duration::from_millis(500));
        measurements.read_answered(Duration::from_millis(40));
        measurements.failed("overloaded");
        measurements.end_window(Duration::from_millis(1_500));
        measurements.end_window(Duration::from_millis(1_500));
        measurements.end_window(Duration::from_millis(1_599));

        let [first, second] = measurements.timeline[..] else { panic!("an empty window is not one") };
        assert!((first.transfers_per_second - 60.0).abs() < 1e-9);
        assert!((first.requests_per_second - 6.0).abs() < 1e-9);
        assert!((2_000..2_010).contains(&first.latency_us.p50));
        assert!((second.requests_per_second - 1.0).abs() < 1e-9);
        assert_eq!((first.errors, second.errors), (0, 1));
        assert!((40_000..40_100).contains(&second.latency_us.max));
        assert_eq!((measurements.requests, measurements.reads), (4, 1));
        assert_eq!(measurements.latency.len(), 3);
    }

    #[test]
    fn what_takes_longer_than_can_be_told_apart_is_counted_as_the_longest() {
        let mut latencies = latencies();
        record(&mut latencies, Duration::from_hours(24));
        assert!(percentiles(&latencies).max >= LATENCY_MAX_US);
    }

    #[test]
    fn outcomes_are_counted_by_kind_and_status_and_refusals_by_status() {
        let mut measurements = Measurements::default();
        for (kind, status) in [
            (OrderKind::Transfer, Status::Created),
            (OrderKind::Transfer, Status::Created),
            (OrderKind::Transfer, Status::InsufficientFunds),
            (OrderKind::Pending, Status::InsufficientFunds),
            (OrderKind::Post, Status::Exists),
        ] {
            measurements.outcome(kind, status);
        }
        assert_eq!(measurements.outcomes()["transfer"], [("created", 2), ("insufficient_funds", 1)].into());
        assert_eq!(measurements.outcomes()["post"], [("exists", 1)].into());
        assert_eq!(measurements.refused(), [("insufficient_funds", 2)].into());
    }

    #[test]
    fn the_speed_of_each_million_is_told() {
        let mut measurements = Measurements::default();
        for number in 0..2 * MILESTONE + 5 {
            measurements.acknowledged(Duration::from_secs(if number < MILESTONE { 4 } else { 6 }));
        }
        let [first, second] = measurements.milestones[..] else { panic!("{:?}", measurements.milestones) };
        assert_eq!((first.transfers, second.transfers), (MILESTONE, 2 * MILESTONE));
        assert!((first.transfers_per_second - 250_000.0).abs() < 1e-6);
        assert!((second.transfers_per_second - 500_000.0).abs() < 1e-6);
    }
}
