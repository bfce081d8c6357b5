//! The journal writer: a thread that makes durable what has gathered in the sequencer, group after group, and a
//! watchdog over it.
//!
//! Group commit without a timer: the writer takes whatever has come in since its last commit. When idle, one entry goes
//! at once; under load, groups grow by themselves. After any error the journal is poisoned, and nothing is tried again.

use crate::error::PersistenceError;
use crate::fold_lag::FoldLag;
use crate::journal::Journal;
use crate::sequencer::{Gathered, Sequencer};
use crate::wallet_index::WalletIndex;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::{Condvar, Mutex};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(100);

/// So many ticks in one commit, and the journal counts as failed: 5 s. Ticks and not time, because a process that was
/// stopped and resumed has had no ticks meanwhile.
const TICKS_MAX: u32 = 50;

/// Called once, from the writer or its watchdog, with the reason, when the journal has failed.
pub type OnFailure = Box<dyn FnOnce(String) + Send>;

/// The state of writing, without its thread: takes a group, makes it durable, publishes it.
#[derive(Debug)]
pub struct GroupCommit {
    sequencer: Arc<Sequencer>,
    journal: Box<dyn Journal>,
    index: Arc<WalletIndex>,
    lag: Option<Arc<FoldLag>>,
    spare: Gathered,
    /// Only between two steps: see [`Self::take`].
    taken: Option<Gathered>,
    pulse: Arc<Pulse>,
    metrics: CommitMetrics,
}

/// Odd while a commit is under way; changes with each one. The watchdog reads it.
#[derive(Debug, Default)]
struct Pulse(AtomicU64);

#[derive(Debug)]
struct CommitMetrics {
    seconds: Histogram,
    entries: Histogram,
    bytes: Counter,
    appended_seq: Gauge,
    durable_seq: Gauge,
}

impl CommitMetrics {
    fn new() -> Self {
        Self {
            seconds: histogram!("bursar_commit_duration_seconds"),
            entries: histogram!("bursar_commit_entries"),
            bytes: counter!("bursar_journal_bytes_total"),
            appended_seq: gauge!("bursar_journal_appended_seq"),
            durable_seq: gauge!("bursar_journal_durable_seq"),
        }
    }
}

impl GroupCommit {
    /// Writes what gathers in `sequencer` to `journal`, and notes in `index` which wallets it changes.
    pub fn new(sequencer: Arc<Sequencer>, journal: Box<dyn Journal>, index: Arc<WalletIndex>) -> Self {
        let metrics = CommitMetrics::new();
        let durable_seq = sequencer.durable_seq();
        metrics.appended_seq.set(durable_seq as f64);
        metrics.durable_seq.set(durable_seq as f64);
        Self {
            sequencer,
            journal,
            index,
            lag: None,
            spare: Gathered::default(),
            taken: None,
            pulse: Arc::default(),
            metrics,
        }
    }

    /// From now on waits, before each group, for books that are too far behind.
    #[must_use]
    pub fn held_back_by(mut self, lag: Arc<FoldLag>) -> Self {
        self.lag = Some(lag);
        self
    }

    /// For a caller that steps instead of running: takes what has gathered, if anything has; says whether it had.
    pub fn take(&mut self) -> bool {
        if self.taken.is_none() {
            match self.sequencer.try_take_gathered(std::mem::take(&mut self.spare)) {
                Ok(group) => self.taken = Some(group),
                Err(spare) => self.spare = spare,
            }
        }
        self.taken.is_some()
    }

    /// Makes durable what was taken, and publishes it. An error has poisoned the journal.
    pub fn commit_taken(&mut self) -> Result<(), PersistenceError> {
        self.taken.take().map_or(Ok(()), |group| self.commit(group))
    }

    /// Goes on until the sequencer stops.
    fn run(&mut self) -> Result<(), PersistenceError> {
        loop {
            if let Some(lag) = &self.lag {
                lag.wait(self.sequencer.durable_seq());
            }
            let Some(group) = self.sequencer.take_gathered(std::mem::take(&mut self.spare)) else {
                return Ok(());
            };
            self.commit(group)?;
        }
    }

    fn commit(&mut self, mut group: Gathered) -> Result<(), PersistenceError> {
        let started = Instant::now();
        self.pulse.0.fetch_add(1, Ordering::Relaxed);
        let written = self.journal.append_group(&group.group());
        self.pulse.0.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = written {
            self.sequencer.gate().poison();
            return Err(error);
        }
        // The watchdog may have given the journal up in the meantime; then nobody is told that this is durable.
        if self.sequencer.is_poisoned() {
            return Ok(());
        }
        for &(seq, wallet) in &group.wallets {
            self.index.push(wallet, seq);
        }
        self.metrics.seconds.record(started.elapsed().as_secs_f64());
        self.metrics.entries.record(group.entries() as f64);
        self.metrics.bytes.increment(group.bytes() as u64);
        self.metrics.appended_seq.set(self.sequencer.appended_seq() as f64);
        self.metrics.durable_seq.set(group.last_seq() as f64);
        self.sequencer.gate().open(group.last_seq());
        group.clear();
        self.spare = group;
        Ok(())
    }
}

/// The running writer.
#[derive(Debug)]
pub struct JournalWriter {
    sequencer: Arc<Sequencer>,
    writer: JoinHandle<Result<(), PersistenceError>>,
    watchdog: JoinHandle<()>,
    watchdog_stop: Arc<(Mutex<bool>, Condvar)>,
}

impl JournalWriter {
    /// Starts the writer and its watchdog.
    pub fn start(mut commit: GroupCommit, on_failure: OnFailure) -> std::io::Result<Self> {
        let on_failure = Arc::new(Mutex::new(Some(on_failure)));
        let report = move |reason: String| {
            let report = on_failure.lock().take();
            if let Some(report) = report {
                report(reason);
            }
        };
        let sequencer = Arc::clone(&commit.sequencer);
        let pulse = Arc::clone(&commit.pulse);
        let watchdog_stop = Arc::new((Mutex::new(false), Condvar::new()));
        let watchdog = std::thread::Builder::new().name("journal-watchdog".to_owned()).spawn({
            let (sequencer, stop, report) =
                (Arc::clone(&sequencer), Arc::clone(&watchdog_stop), report.clone());
            move || {
                if watch(&pulse, &stop) {
                    sequencer.gate().poison();
                    report(format!("a journal commit did not end within {TICKS_MAX} ticks of {TICK:?}"));
                }
            }
        })?;
        let writer = std::thread::Builder::new().name("journal-writer".to_owned()).spawn(move || {
            let written = panic::catch_unwind(AssertUnwindSafe(|| commit.run()));
            match written {
                Ok(Ok(())) => commit.journal.close(),
                Ok(Err(error)) => {
                    report(error.to_string());
                    Err(error)
                }
                Err(panic) => {
                    commit.sequencer.gate().poison();
                    report("the journal writer panicked".to_owned());
                    panic::resume_unwind(panic)
                }
            }
        })?;
        Ok(Self { sequencer, writer, watchdog, watchdog_stop })
    }

    /// Writes what there is, closes the journal, and ends.
    pub fn stop(self) -> Result<(), PersistenceError> {
        self.sequencer.stop();
        let written = self.writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        *self.watchdog_stop.0.lock() = true;
        self.watchdog_stop.1.notify_all();
        // It has nothing to return; if it panicked, the hook has said so.
        let _ended = self.watchdog.join();
        // What came after the last commit never becomes durable, and who waits for it is told so.
        self.sequencer.gate().close();
        written
    }
}

/// Looks at the pulse until it is told to stop, or until one commit has lasted for too many ticks: then true.
fn watch(pulse: &Pulse, stop: &(Mutex<bool>, Condvar)) -> bool {
    let mut stopped = stop.0.lock();
    let (mut seen, mut ticks) = (0, 0);
    while !*stopped {
        stop.1.wait_for(&mut stopped, TICK);
        let now = pulse.0.load(Ordering::Relaxed);
        let under_way = now % 2 == 1;
        ticks = if under_way && now == seen { ticks + 1 } else { 0 };
        seen = now;
        if ticks > TICKS_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::LedgerClock;
    use crate::durability_gate::Poisoned;
    use crate::journal::{Group, JournalReader, Records};
    use crate::record::Record;
    use std::sync::mpsc::{Receiver, channel};

    const PATIENCE: Duration = Duration::from_mins(2);

    /// Keeps nothing, and fails or panics at the group that holds a given entry.
    #[derive(Debug)]
    struct FailingJournal {
        durable_seq: u64,
        fails_at: Option<u64>,
        panics: bool,
    }

    #[derive(Debug)]
    struct NoReader;

    impl JournalReader for NoReader {
        fn read_from(&self, _: u64) -> Records {
            Box::new(std::iter::empty())
        }

        fn record_holding(&self, _: u64) -> Result<Option<Record>, PersistenceError> {
            Ok(None)
        }
    }

    impl Journal for FailingJournal {
        fn append_group(&mut self, group: &Group<'_>) -> Result<(), PersistenceError> {
            let last_seq = group.first_seq + group.entry_ends.len() as u64 - 1;
            assert_eq!(group.first_seq, self.durable_seq + 1, "groups are contiguous");
            if self.fails_at.is_some_and(|seq| seq <= last_seq) {
                assert!(!self.panics, "injected");
                return Err(PersistenceError::UnreadableEntry {
                    seq: last_seq,
                    reason: "injected".to_owned(),
                });
            }
            self.durable_seq = last_seq;
            Ok(())
        }

        fn durable_seq(&self) -> u64 {
            self.durable_seq
        }

        fn reader(&self) -> Arc<dyn JournalReader> {
            Arc::new(NoReader)
        }

        fn close(self: Box<Self>) -> Result<(), PersistenceError> {
            Ok(())
        }
    }

    fn start(fails_at: Option<u64>, panics: bool) -> (Arc<Sequencer>, JournalWriter, Receiver<String>) {
        let sequencer = Arc::new(Sequencer::new(0, 0, Arc::new(LedgerClock::start(0))));
        let journal = Box::new(FailingJournal { durable_seq: 0, fails_at, panics });
        let commit = GroupCommit::new(Arc::clone(&sequencer), journal, Arc::default());
        let (sender, failures) = channel();
        let on_failure = Box::new(move |reason| sender.send(reason).expect("the test waits"));
        let writer = JournalWriter::start(commit, on_failure).expect("there are threads");
        (sequencer, writer, failures)
    }

    fn append(sequencer: &Sequencer) -> Receiver<Result<(), Poisoned>> {
        let committed = sequencer.enter().append(1, b"an entry", &[ledger::WalletId(1)]);
        let (sender, receiver) = channel();
        sequencer.when_durable(
            committed.seq,
            Box::new(move |result| {
                // The test may have failed meanwhile.
                let _sent = sender.send(result);
            }),
        );
        receiver
    }

    #[test]
    fn what_is_appended_becomes_durable_in_order_and_a_stop_writes_the_rest() {
        let (sequencer, writer, failures) = start(None, false);
        let waiting: Vec<_> = (0..500).map(|_| append(&sequencer)).collect();
        writer.stop().expect("nothing failed");
        for receiver in waiting {
            assert_eq!(receiver.recv_timeout(PATIENCE), Ok(Ok(())));
        }
        assert_eq!((sequencer.durable_seq(), sequencer.appended_seq()), (500, 500));
        assert!(failures.try_recv().is_err());
    }

    #[test]
    fn after_a_failure_nobody_is_told_that_anything_is_durable() {
        for panics in [false, true] {
            let (sequencer, writer, failures) = start(Some(3), panics);
            assert_eq!(append(&sequencer).recv_timeout(PATIENCE), Ok(Ok(())));
            let waiting: Vec<_> = (0..20).map(|_| append(&sequencer)).collect();
            let reason = failures.recv_timeout(PATIENCE).expect("the failure is reported");
            assert!(reason.contains(if panics { "panicked" } else { "injected" }), "{reason}");
            assert!(sequencer.is_poisoned());
            let mut unknown = 0;
            for receiver in waiting {
                match receiver.recv_timeout(PATIENCE).expect("everybody is answered") {
                    Ok(()) => assert_eq!(unknown, 0, "only what went before the failure is durable"),
                    Err(Poisoned) => unknown += 1,
                }
            }
            assert!(unknown >= 19, "{unknown}");
            assert_eq!(append(&sequencer).recv_timeout(PATIENCE), Ok(Err(Poisoned)), "also later");
            assert!(failures.try_recv().is_err(), "the failure is reported once");
            let stopped = std::panic::catch_unwind(AssertUnwindSafe(|| writer.stop()));
            assert!(!matches!(stopped, Ok(Ok(()))), "a stop does not hide it");
        }
    }

    #[test]
    fn a_caller_that_steps_takes_what_has_gathered_and_then_makes_it_durable() {
        let sequencer = Arc::new(Sequencer::new(0, 0, Arc::new(LedgerClock::start(0))));
        let journal = Box::new(FailingJournal { durable_seq: 0, fails_at: Some(5), panics: false });
        let index = Arc::new(WalletIndex::default());
        let mut commit = GroupCommit::new(Arc::clone(&sequencer), journal, Arc::clone(&index));
        assert!(!commit.take(), "nothing has gathered");
        commit.commit_taken().expect("there is nothing to do");
        let waiting = [append(&sequencer), append(&sequencer)];
        assert!(commit.take());
        let later = append(&sequencer);
        assert!(commit.take(), "what was taken is still to be committed");
        assert_eq!(sequencer.durable_seq(), 0);
        assert!(index.seqs(ledger::WalletId(1), u64::MAX).is_empty());
        commit.commit_taken().expect("it is healthy");
        assert_eq!((sequencer.durable_seq(), sequencer.appended_seq()), (2, 3));
        assert_eq!(index.seqs(ledger::WalletId(1), u64::MAX), [1, 2]);
        assert!(waiting.iter().all(|receiver| receiver.try_recv() == Ok(Ok(()))));
        assert!(later.try_recv().is_err(), "not durable yet");
        assert!(commit.take());
        commit.commit_taken().expect("it is healthy");
        assert_eq!(later.try_recv(), Ok(Ok(())));
        assert!(!commit.take());

        let lost = [append(&sequencer), append(&sequencer)];
        assert!(commit.take());
        assert!(commit.commit_taken().is_err(), "injected");
        assert!(sequencer.is_poisoned());
        assert!(lost.iter().all(|receiver| receiver.try_recv() == Ok(Err(Poisoned))));
        assert_eq!(index.seqs(ledger::WalletId(1), u64::MAX), [1, 2, 3]);
    }

    #[test]
    fn what_the_watchdog_has_given_up_is_durable_for_nobody() {
        let sequencer = Arc::new(Sequencer::new(0, 0, Arc::new(LedgerClock::start(0))));
        let journal = Box::new(FailingJournal { durable_seq: 0, fails_at: None, panics: false });
        let index = Arc::new(WalletIndex::default());
        let mut commit = GroupCommit::new(Arc::clone(&sequencer), journal, Arc::clone(&index));
        let waiting = append(&sequencer);
        assert!(commit.take());
        sequencer.poison();
        commit.commit_taken().expect("the journal itself is healthy");
        assert_eq!(waiting.try_recv(), Ok(Err(Poisoned)));
        assert_eq!(sequencer.durable_seq(), 0);
        assert!(index.seqs(ledger::WalletId(1), u64::MAX).is_empty());
    }

    #[test]
    fn a_commit_that_stands_still_is_given_up_after_so_many_ticks_and_one_that_moves_is_not() {
        let stop = (Mutex::new(true), Condvar::new());
        assert!(!watch(&Pulse::default(), &stop), "stopped at once");
        let stuck = Pulse(AtomicU64::new(7));
        assert!(watch(&stuck, &(Mutex::new(false), Condvar::new())), "an odd pulse that never changes");
    }

    #[test]
    fn a_writer_that_is_idle_or_goes_on_is_not_given_up_in_the_time_in_which_one_that_stands_still_is() {
        let running = || Arc::new((Mutex::new(false), Condvar::new()));
        let watched = [(0, 0), (0, 2), (1, 2)].map(|(start, step)| {
            let (pulse, stop) = (Arc::new(Pulse(AtomicU64::new(start))), running());
            let watchdog = std::thread::spawn({
                let (pulse, stop) = (Arc::clone(&pulse), Arc::clone(&stop));
                move || watch(&pulse, &stop)
            });
            (pulse, step, stop, watchdog)
        });
        let (sender, given_up) = channel();
        let stands_still = std::thread::spawn(move || {
            let started = Instant::now();
            let is_given_up = watch(&Pulse(AtomicU64::new(7)), &running());
            sender.send((is_given_up, started.elapsed())).expect("the test waits");
        });
        let (is_given_up, after) = loop {
            match given_up.recv_timeout(TICK / 10) {
                Ok(given_up) => break given_up,
                Err(_) => watched.iter().for_each(|(pulse, step, ..)| {
                    pulse.0.fetch_add(*step, Ordering::Relaxed);
                }),
            }
        };
        stands_still.join().expect("it ends");
        assert!(is_given_up && after >= TICK * TICKS_MAX, "{after:?}");
        for (_, step, stop, watchdog) in watched {
            *stop.0.lock() = true;
            stop.1.notify_all();
            assert!(!watchdog.join().expect("it ends"), "{step}");
        }
    }
}
