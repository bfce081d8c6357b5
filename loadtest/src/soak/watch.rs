//! Looks at the server and its data directory now and then, whatever else is going on.

use crate::measurements::Measurements;
use crate::server_process::RunningPid;
use crate::server_vitals::{Vitals, directory_bytes};
use crate::survival::round_load::Meter;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// What was seen at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// In seconds from the start.
    pub(crate) at_s: f64,
    /// The server had one idle client and nothing to do.
    pub(crate) at_rest: bool,
    /// Connections of the load.
    pub(crate) connections: u64,
    /// Entries in the journal, as far as the harness knows.
    pub(crate) entries: u64,
    /// Wallets in the ledger.
    pub(crate) wallets: u64,
    /// `null` while no server ran.
    pub(crate) server: Option<Vitals>,
    /// Bytes of `journal/` and `books/`.
    pub(crate) journal_bytes: u64,
    /// Bytes of everything else: while the server recovers, copies of them.
    pub(crate) other_bytes: u64,
    /// Memory of the harness itself, in RAM.
    pub(crate) harness_bytes: u64,
}

/// What the soak tells the watch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// The newest entry at the last check.
    pub(crate) last_seq: u64,
    /// Transfers that had been sent by then.
    pub(crate) sent_by_then: u64,
    pub(crate) wallets: u64,
    pub(crate) connections: u64,
}

/// The samples, and whoever takes them.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    running: RunningPid,
    data: PathBuf,
    meter: Meter,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    samples: Vec<Sample>,
}

/// A watch that is kept; it ends when dropped.
#[derive(Debug)]
pub(crate) struct KeptWatch(JoinHandle<()>);

impl Drop for KeptWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    pub(crate) fn new(running: RunningPid, data: PathBuf, meter: Meter) -> Self {
        Self { running, data, meter, state: Arc::default() }
    }

    /// Takes a sample so often, and ends a window of the measurements each time.
    pub(crate) fn keep(&self, every: Duration) -> KeptWatch {
        let watch = self.clone();
        KeptWatch(tokio::spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                watch.take(false);
                watch.meter.lock().end_window(watch.meter.started.elapsed());
            }
        }))
    }

    pub(crate) fn know(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.lock().known);
    }

    /// Takes a sample now.
    pub(crate) fn take(&self, at_rest: bool) {
        let sent = sent(&self.meter.lock());
        let journal = directory_bytes(&self.data.join("journal")) + directory_bytes(&self.data.join("books"));
        let all = directory_bytes(&self.data);
        let harness = Vitals::read(std::process::id().cast_signed()).unwrap_or_default();
        let mut state = self.lock();
        let known = state.known;
        state.samples.push(Sample {
            at_s: self.meter.started.elapsed().as_secs_f64(),
            at_rest,
            connections: known.connections,
            entries: known.last_seq + sent.saturating_sub(known.sent_by_then),
            wallets: known.wallets,
            server: self.running.get().and_then(Vitals::read),
            journal_bytes: journal,
            other_bytes: all.saturating_sub(journal),
            harness_bytes: harness.resident_bytes,
        });
    }

    /// How many transfers were answered so far.
    pub(crate) fn sent(&self) -> u64 {
        sent(&self.meter.lock())
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.lock().samples.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the samples")
    }
}

fn sent(measurements: &Measurements) -> u64 {
    measurements.transfers_sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn samples_say_what_is_known_and_what_is_seen() {
        let place = tempfile::tempdir().expect("there is room for a directory");
        std::fs::create_dir(place.path().join("journal")).expect("it is ours");
        std::fs::write(place.path().join("journal/db"), [0; 100]).expect("it is ours");
        std::fs::create_dir(place.path().join("books")).expect("it is ours");
        std::fs::write(place.path().join("books/ids.filter.1"), [0; 30]).expect("it is ours");
        std::fs::write(place.path().join("head"), [0; 10]).expect("it is ours");
        let meter = Meter::start();
        let watch = Watch::new(RunningPid::default(), place.path().to_owned(), meter.clone());
        watch.know(|known| *known = Known { last_seq: 50, sent_by_then: 0, wallets: 3, connections: 2 });
        meter.lock().transfers_sent = 7;
        watch.take(true);
        let kept = watch.keep(Duration::from_millis(1));
        while watch.samples().len() < 3 {
            tokio::task::yield_now().await;
        }
        drop(kept);
        let sample = watch.samples()[0];
        assert_eq!((sample.at_rest, sample.entries, sample.wallets, sample.connections), (true, 57, 3, 2));
        assert_eq!((sample.journal_bytes, sample.other_bytes, sample.server), (130, 10, None));
        assert!(sample.harness_bytes > 0);
    }
}
