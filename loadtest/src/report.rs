//! The result of a run, as it is written to JSON, printed as a table and drawn in HTML.

use crate::environment::Environment;
use crate::measurements::{Milestone, OutcomeCounts, Percentiles, TimelinePoint};
use crate::verification::Verification;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything there is to say about a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// `run` or `idle`.
    pub(crate) command: &'static str,
    /// When the first request was sent, by this machine's clock.
    pub(crate) started_at: String,
    /// From the first request to the last answer.
    pub(crate) elapsed_s: f64,
    /// Why it ended: `complete`, `interrupted` or `server_unreachable`.
    pub(crate) ended: &'static str,
    pub(crate) parameters: Parameters,
    pub(crate) environment: Environment,
    pub(crate) server: ServerName,
    /// Requests answered with outcomes, reads included.
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    /// Requests that read.
    pub(crate) reads: u64,
    /// Of these, requests that read a statement.
    pub(crate) statements: u64,
    pub(crate) transfers_sent: u64,
    pub(crate) transfers_acknowledged: u64,
    pub(crate) transfers_per_second: f64,
    /// Transfers whose outcome no answer told.
    pub(crate) transfers_unknown: u64,
    /// Answers to transfers that were sent a second time.
    pub(crate) repetitions: u64,
    /// Answers by kind of order and status, repetitions included.
    pub(crate) outcomes: OutcomeCounts,
    /// Of these, refusals by status.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Failed requests by kind.
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// Of requests that made transfers.
    pub(crate) latency_us: Percentiles,
    /// Of requests that read; `null` without such.
    pub(crate) read_latency_us: Option<Percentiles>,
    /// `null` in a closed loop.
    pub(crate) open_loop: Option<OpenLoop>,
    /// Processor time of this harness during the run; `null` where the system does not tell.
    pub(crate) harness_processor_s: Option<f64>,
    /// Whether the ledger agrees with what it said; `null` if that was not looked into.
    pub(crate) verified: Option<bool>,
    pub(crate) verification: Option<Verification>,
    pub(crate) timeline: Vec<TimelinePoint>,
    /// The speed of each million transfers acknowledged.
    pub(crate) millions: Vec<Milestone>,
    /// How many requests took how long.
    pub(crate) latency_histogram: Vec<HistogramBar>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Parameters {
    pub(crate) address: String,
    pub(crate) workload: &'static str,
    pub(crate) ids: &'static str,
    /// Legs of a transaction, at most.
    pub(crate) legs: u8,
    /// Of the ids of the workload `retries`.
    pub(crate) retry_share_percent: f64,
    pub(crate) wallets: u32,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) batch: u64,
    pub(crate) duration_s: Option<f64>,
    pub(crate) transfers: Option<u64>,
    /// Transfers per second; `null` in a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) distribution: String,
    pub(crate) read_share_percent: f64,
    pub(crate) seed: u64,
}

/// How the server introduced itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServerName {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Whether an open loop kept its rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OpenLoop {
    pub(crate) requests_per_second_planned: f64,
    pub(crate) requests_due: u64,
    /// Requests that were due and had not been begun when the time was over. They are in no latency.
    pub(crate) requests_not_begun: u64,
    /// How long after they were due requests were sent.
    pub(crate) sent_behind_us: Percentiles,
}

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HistogramBar {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
    pub(crate) requests: u64,
}

impl Report {
    /// The same as JSON, for people and programs.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has only text for keys") + "\n"
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;

    /// A report of a small run.
    pub(crate) fn sample() -> Report {
        let latency_us = Percentiles { p50: 210, p90: 380, p99: 1_200, p999: 4_000, max: 9_100 };
        let timeline = (1..=40).map(|window: u32| TimelinePoint {
            at_s: f64::from(window) * 0.25,
            transfers_per_second: 90_000.0 + 5_000.0 * f64::from(window % 7),
            requests_per_second: 90_000.0,
            latency_us,
            errors: 0,
        });
        let bars = (0..40_u64).map(|bar| HistogramBar {
            from_us: (50.0 * 1.15_f64.powi(bar as i32)) as u64,
            to_us: (50.0 * 1.15_f64.powi(bar as i32 + 1)) as u64,
            requests: 1_000 * (40 - bar) * bar + 1,
        });
        Report {
            command: "run",
            started_at: "2026-01-02T03:04:05.678Z".to_owned(),
            elapsed_s: 10.01,
            ended: "complete",
            parameters: Parameters {
                address: "127.0.0.1:7411".to_owned(),
                workload: "mixed",
                ids: "time-ordered",
                legs: 8,
                retry_share_percent: 50.0,
                wallets: 10_000,
                connections: 8,
                in_flight: 64,
                batch: 1,
                duration_s: Some(10.0),
                transfers: None,
                rate: None,
                distribution: "uniform".to_owned(),
                read_share_percent: 0.0,
                seed: 1,
            },
            environment: Environment::read(),
            server: ServerName { name: "<bursar>".to_owned(), version: "0.1.0".to_owned() },
            requests: 900_000,
            requests_per_second: 90_000.0,
            reads: 0,
            statements: 0,
            transfers_sent: 900_000,
            transfers_acknowledged: 899_990,
            transfers_per_second: 89_999.0,
            transfers_unknown: 0,
            repetitions: 0,
            outcomes: [
                ("transfer", [("created", 800_000), ("insufficient_funds", 10)].into()),
                ("post", [("created", 99_990)].into()),
            ]
            .into(),
            refused: [("insufficient_funds", 10)].into(),
            errors: BTreeMap::new(),
            latency_us,
            read_latency_us: None,
            open_loop: None,
            harness_processor_s: Some(4.2),
            verified: Some(true),
            verification: Some(Verification::default()),
            timeline: timeline.collect(),
            millions: vec![
                Milestone { transfers: 1_000_000, at_s: 4.0, transfers_per_second: 250_000.0 },
                Milestone { transfers: 2_000_000, at_s: 9.0, transfers_per_second: 200_000.0 },
            ],
            latency_histogram: bars.collect(),
        }
    }

    #[test]
    fn the_json_has_what_programs_read_from_it() {
        let json: Value = serde_json::from_str(&sample().to_json()).expect("it is JSON");
        let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_f64);
        for (pointer, expected) in [
            ("/transfers_acknowledged", 899_990.0),
            ("/transfers_per_second", 89_999.0),
            ("/refused/insufficient_funds", 10.0),
            ("/latency_us/p50", 210.0),
            ("/latency_us/p90", 380.0),
            ("/latency_us/p99", 1_200.0),
            ("/latency_us/p999", 4_000.0),
            ("/latency_us/max", 9_100.0),
            ("/parameters/wallets", 10_000.0),
            ("/elapsed_s", 10.01),
            ("/outcomes/transfer/insufficient_funds", 10.0),
            ("/outcomes/post/created", 99_990.0),
            ("/millions/1/transfers_per_second", 200_000.0),
        ] {
            assert_eq!(number(pointer), Some(expected), "{pointer}");
        }
        assert_eq!(json["verified"], Value::Bool(true));
        assert_eq!(json["parameters"]["workload"], "mixed");
        assert_eq!(json["errors"], serde_json::json!({}));
        assert_eq!(json["started_at"], "2026-01-02T03:04:05.678Z");
        let unverified = Report { verified: None, verification: None, ..sample() };
        let json: Value = serde_json::from_str(&unverified.to_json()).expect("it is JSON");
        assert_eq!(json["verified"], Value::Null);
    }
}
