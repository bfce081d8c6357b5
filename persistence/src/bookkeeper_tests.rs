//! The bookkeeper's thread beside the journal's writer, and what becomes of it when something fails.

use crate::bookkeeper::{Bookkeeper, BookkeeperThread, FoldPace};
use crate::books::books_tests::{open, options};
use crate::books::invented_ledger::{Chance, InventedLedger, MemoryJournal};
use crate::clock::LedgerClock;
use crate::error::PersistenceError;
use crate::sequencer::Sequencer;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn the_thread_folds_what_is_durable_and_ends_with_all_of_it_in_the_books() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = InventedLedger::invent(1, 50, 4);
    let journal = Arc::new(MemoryJournal::of(&ledger, &mut Chance::new(1), 7));
    let books = open(&directory.path().join("books"), &options(1000));
    let (sender, views) = channel();
    let bookkeeper = Bookkeeper::new(
        Arc::clone(&books),
        Arc::clone(&journal) as _,
        Arc::clone(&journal) as _,
        Box::new(move |view| sender.send(view.seq()).expect("the test waits")),
    );
    // It learns from the sequencer that there is something to do.
    let sequencer = Arc::new(Sequencer::new(50, 0, Arc::new(LedgerClock::start(0))));
    let pace = FoldPace { entries: 1, ..FoldPace::new(Duration::from_secs(1), 100) };
    let thread = BookkeeperThread::start(bookkeeper, sequencer, pace, Box::new(|reason| panic!("{reason}")));
    let thread = thread.expect("there are threads");
    while views.recv_timeout(PATIENCE).expect("it goes on") < 50 {}
    let mut longer = ledger.clone();
    longer.grow(&mut Chance::new(2), 60, 4);
    journal.append(&longer, &mut Chance::new(2), 7);
    thread.stop().unwrap();
    assert_eq!(books.view().seq(), 60);
    assert_eq!(journal.first_seq(), None);
}

#[test]
fn a_failure_is_told_once_and_the_books_stay_as_they_were() {
    for panics in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = InventedLedger::invent(1, 50, 4);
        let journal = Arc::new(MemoryJournal::of(&ledger, &mut Chance::new(1), 7));
        let books = open(&directory.path().join("books"), &options(1000));
        let mut bookkeeper = Bookkeeper::new(
            Arc::clone(&books),
            Arc::clone(&journal) as _,
            Arc::clone(&journal) as _,
            Box::new(|_| {}),
        );
        bookkeeper.before_each_step(Box::new(move |_| {
            assert!(!panics, "injected");
            Err(PersistenceError::Closed)
        }));
        let sequencer = Arc::new(Sequencer::new(50, 0, Arc::new(LedgerClock::start(0))));
        let (sender, failures) = channel();
        let on_failure = Box::new(move |reason| sender.send(reason).expect("the test waits"));
        let pace = FoldPace { entries: 1, ..FoldPace::new(Duration::from_secs(1), 100) };
        let thread =
            BookkeeperThread::start(bookkeeper, sequencer, pace, on_failure).expect("there are threads");
        let reason = failures.recv_timeout(PATIENCE).expect("the failure is told");
        assert_eq!(reason.contains("panicked"), panics, "{reason}");
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.stop()));
        assert!(!matches!(stopped, Ok(Ok(()))), "a stop does not hide it");
        assert!(failures.try_recv().is_err());
        assert_eq!(books.view().seq(), 0);
    }
}

#[test]
fn it_is_time_to_fold_when_much_has_gathered_or_some_for_a_while_or_anything_for_long() {
    let minute = Duration::from_mins(1);
    let check = |lag_max: u64, gathered: u64, for_ms: u64, expected: bool| {
        let is_time = FoldPace::new(minute, lag_max).is_time(gathered, Duration::from_millis(for_ms));
        assert_eq!(is_time, expected, "{gathered} of {lag_max} for {for_ms} ms");
    };
    let default = 500_000;
    check(default, 0, 3_600_000, false);
    check(default, 1, 59_999, false);
    check(default, 1, 60_000, true);
    check(default, 19_999, 2_000, false);
    check(default, 20_000, 1_999, false);
    check(default, 20_000, 2_000, true);
    check(default, 199_999, 0, false);
    check(default, 200_000, 0, true);
    // Writers wait at the maximum, so it is not waited for.
    check(10_000, 4_999, 0, false);
    check(10_000, 5_000, 0, true);
    check(1, 1, 0, true);
}
