//! What the server tells about itself: metrics for Prometheus, and logs.
//!
//! Names follow the Prometheus conventions: base units, `_total` for counters, labels from bounded sets. Handles are
//! looked up once and kept: the hot path only adds.

use crate::config::{Config, LogFormat};
use actors::EngineStatus;
use anyhow::Context;
use ledger::Status;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use protocol::{ErrorCode, FrameError, Operation};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// From 50 µs to 10 s: a commit takes some 300 µs, and a client gives up after seconds.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.007_5,
    0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Entries in one group commit.
const ENTRIES_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0,
    50_000.0,
];

/// Handles to everything that the server itself counts.
#[derive(Debug)]
pub struct Telemetry {
    prometheus: PrometheusHandle,
    transfers: BTreeMap<u16, Counter>,
    request_seconds: BTreeMap<Operation, Histogram>,
    error_replies: BTreeMap<u16, Counter>,
    rejected_frames: BTreeMap<&'static str, Counter>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were accepted.
    pub connections_accepted: Counter,
    /// Subscriptions that have not ended.
    pub subscriptions: Gauge,
    /// Events that were sent to subscribers.
    pub events_sent: Counter,
    /// Bytes from clients.
    pub received_bytes: Counter,
    /// Bytes to clients.
    pub sent_bytes: Counter,
    live_wallets: Gauge,
    wallets: Gauge,
    operations_in_flight: Gauge,
    request_bytes_in_flight: Gauge,
    appended_seq: Gauge,
    durable_seq: Gauge,
    disk_full: Gauge,
    disk_free_bytes: Gauge,
}

/// Each metric with its kind, unit and help: also the source of the table in `docs/OPERATIONS.md`.
pub const METRICS: &[(&str, &str, Option<Unit>, &str)] = &[
    ("bursar_build_info", "gauge", None, "Always 1; the version is in the label."),
    ("bursar_transfers_total", "counter", None, "Transfers and other orders answered, by status."),
    (
        "bursar_request_duration_seconds",
        "histogram",
        Some(Unit::Seconds),
        "From a request's last byte to its reply being encoded, by operation.",
    ),
    ("bursar_error_replies_total", "counter", None, "Requests answered with an error frame, by code."),
    ("bursar_rejected_frames_total", "counter", None, "Frames that could not be taken, by reason."),
    ("bursar_connections", "gauge", None, "Open client connections."),
    ("bursar_connections_accepted_total", "counter", None, "Client connections accepted."),
    ("bursar_subscriptions", "gauge", None, "Open subscriptions to events."),
    ("bursar_events_sent_total", "counter", None, "Events sent to subscribers."),
    ("bursar_received_bytes_total", "counter", Some(Unit::Bytes), "Bytes received from clients."),
    ("bursar_sent_bytes_total", "counter", Some(Unit::Bytes), "Bytes sent to clients."),
    (
        "bursar_commit_duration_seconds",
        "histogram",
        Some(Unit::Seconds),
        "One group commit: write, sync, head, sync.",
    ),
    ("bursar_commit_entries", "histogram", None, "Entries in one group commit."),
    ("bursar_journal_bytes_total", "counter", Some(Unit::Bytes), "Bytes of entries written to the journal."),
    ("bursar_journal_appended_seq", "gauge", None, "The newest entry that has a sequence number."),
    ("bursar_journal_durable_seq", "gauge", None, "The newest entry that is durable."),
    (
        "bursar_commits_held_back_total",
        "counter",
        None,
        "Group commits that waited for books that lag too far behind.",
    ),
    (
        "bursar_books_fold_duration_seconds",
        "histogram",
        Some(Unit::Seconds),
        "One window of entries folded into the books.",
    ),
    ("bursar_books_entries_total", "counter", None, "Entries folded into the books."),
    ("bursar_books_seq", "gauge", None, "The newest entry that the books hold."),
    ("bursar_journal_trimmed_seq", "gauge", None, "The newest entry that the journal was trimmed of."),
    ("bursar_wallets", "gauge", None, "Wallets in the ledger."),
    ("bursar_live_wallets", "gauge", None, "Wallets with an actor."),
    (
        "bursar_operations_in_flight",
        "gauge",
        None,
        "Operations admitted and not yet answered: the depth of all mailboxes together.",
    ),
    (
        "bursar_request_bytes_in_flight",
        "gauge",
        Some(Unit::Bytes),
        "Bytes of requests admitted and not yet answered.",
    ),
    (
        "bursar_transfer_retries_total",
        "counter",
        None,
        "Attempts at a transfer that were cancelled and begun again.",
    ),
    ("bursar_wallet_restarts_total", "counter", None, "Wallet actors restarted after a failure."),
    (
        "bursar_wallet_quarantines_total",
        "counter",
        None,
        "Wallets quarantined because they failed too often.",
    ),
    (
        "bursar_recovery_duration_seconds",
        "gauge",
        Some(Unit::Seconds),
        "How long opening the data directory took.",
    ),
    ("bursar_recovered_entries", "gauge", None, "Entries replayed when the data directory was opened."),
    ("bursar_disk_free_bytes", "gauge", Some(Unit::Bytes), "Free space on the data directory's file system."),
    ("bursar_disk_full", "gauge", None, "1 while writes are refused for lack of space."),
];

impl Telemetry {
    /// Installs the process's recorder. Only the first call in a process succeeds.
    pub fn install() -> anyhow::Result<Arc<Self>> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full("bursar_commit_entries".to_owned()), ENTRIES_BUCKETS)?;
        let prometheus = builder.install_recorder().context("cannot install the metrics recorder")?;
        for &(name, kind, unit, help) in METRICS {
            let unit = unit.unwrap_or(Unit::Count);
            match kind {
                "counter" => describe_counter!(name, unit, help),
                "gauge" => describe_gauge!(name, unit, help),
                _ => describe_histogram!(name, unit, help),
            }
        }
        gauge!("bursar_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let transfers = Status::ALL
            .iter()
            .map(|status| (status.number(), counter!("bursar_transfers_total", "status" => status.name())));
        let request_seconds = Operation::ALL.iter().map(|&operation| {
            (operation, histogram!("bursar_request_duration_seconds", "operation" => operation.name()))
        });
        let error_replies = ErrorCode::ALL
            .iter()
            .map(|code| (code.number(), counter!("bursar_error_replies_total", "code" => code.name())));
        let rejected_frames = FrameError::REASONS
            .iter()
            .map(|&reason| (reason, counter!("bursar_rejected_frames_total", "reason" => reason)));
        Ok(Arc::new(Self {
            prometheus,
            transfers: transfers.collect(),
            request_seconds: request_seconds.collect(),
            error_replies: error_replies.collect(),
            rejected_frames: rejected_frames.collect(),
            connections: gauge!("bursar_connections"),
            connections_accepted: counter!("bursar_connections_accepted_total"),
            subscriptions: gauge!("bursar_subscriptions"),
            events_sent: counter!("bursar_events_sent_total"),
            received_bytes: counter!("bursar_received_bytes_total"),
            sent_bytes: counter!("bursar_sent_bytes_total"),
            live_wallets: gauge!("bursar_live_wallets"),
            wallets: gauge!("bursar_wallets"),
            operations_in_flight: gauge!("bursar_operations_in_flight"),
            request_bytes_in_flight: gauge!("bursar_request_bytes_in_flight"),
            appended_seq: gauge!("bursar_journal_appended_seq"),
            durable_seq: gauge!("bursar_journal_durable_seq"),
            disk_full: gauge!("bursar_disk_full"),
            disk_free_bytes: gauge!("bursar_disk_free_bytes"),
        }))
    }

    /// Counts transfers and other orders that were answered with this status.
    pub fn orders(&self, status: Status, count: u64) {
        self.transfers[&status.number()].increment(count);
    }

    /// Notes how long a request took.
    pub fn request(&self, operation: Operation, seconds: f64) {
        self.request_seconds[&operation].record(seconds);
    }

    /// Counts an error frame.
    pub fn error_reply(&self, code: ErrorCode) {
        self.error_replies[&code.number()].increment(1);
    }

    /// Counts a frame that could not be taken.
    pub fn rejected_frame(&self, error: &FrameError) {
        self.rejected_frames[error.reason()].increment(1);
    }

    /// Notes the free space on the data directory's file system.
    pub fn disk_free(&self, bytes: u64) {
        self.disk_free_bytes.set(bytes as f64);
    }

    /// Notes what opening the data directory took.
    pub fn recovered(seconds: f64, entries: u64) {
        gauge!("bursar_recovery_duration_seconds").set(seconds);
        gauge!("bursar_recovered_entries").set(entries as f64);
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self, status: &EngineStatus) -> String {
        self.live_wallets.set(status.live_wallets as f64);
        self.wallets.set(status.wallets as f64);
        self.operations_in_flight.set(status.operations as f64);
        self.request_bytes_in_flight.set(status.request_bytes as f64);
        self.appended_seq.set(status.appended_seq as f64);
        self.durable_seq.set(status.durable_seq as f64);
        self.disk_full.set(f64::from(u8::from(status.disk_full)));
        self.prometheus.render()
    }

    /// Moves what histograms have gathered into their buckets. To be called every few seconds, or they keep every
    /// sample.
    pub fn upkeep(&self) {
        self.prometheus.run_upkeep();
    }
}

/// Installs the process's logger, to standard error.
pub fn install_logging(config: &Config) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&config.log).with_context(|| format!("log = {:?} is not a filter", config.log))?;
    let color = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color);
    let installed = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot install the logger: {error}"))
}
