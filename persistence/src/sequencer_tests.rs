//! Places are given one after another, what gathers is taken once, and a panic inside the critical section ends the
//! process.

use crate::clock::Clock;
use crate::record::MAX_ENTRY;
use crate::sequencer::{BODY_CAPACITY_KEPT, Committed, Gathered, Sequencer};
use ledger::WalletId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that a test sets.
#[derive(Debug, Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn advance_to(&self, timestamp_ns: u64) {
        self.0.fetch_max(timestamp_ns, Ordering::Relaxed);
    }
}

fn sequencer(last_seq: u64, last_timestamp_ns: u64) -> Sequencer {
    Sequencer::new(last_seq, last_timestamp_ns, Arc::new(SetClock::default()))
}

#[test]
fn entries_get_the_next_number_and_a_later_time_whatever_the_clock_says() {
    let sequencer = sequencer(41, 900);
    assert_eq!(sequencer.now_ns(), 900, "the clock is told what has been");
    assert_eq!((sequencer.appended_seq(), sequencer.durable_seq()), (41, 41));
    let mut section = sequencer.enter();
    assert_eq!(section.head_seq(), 41);
    let mut append = |now_ns| section.append(now_ns, b"entry", &[]);
    assert_eq!(append(1_000), Committed { seq: 42, timestamp_ns: 1_000 });
    assert_eq!(append(1_000), Committed { seq: 43, timestamp_ns: 1_001 });
    assert_eq!(append(5), Committed { seq: 44, timestamp_ns: 1_002 });
    assert_eq!(append(2_000), Committed { seq: 45, timestamp_ns: 2_000 });
    assert_eq!((section.next_timestamp_ns(5), section.next_timestamp_ns(3_000)), (2_001, 3_000));
    assert_eq!(section.head_seq(), 45);
    drop(section);
    assert_eq!((sequencer.appended_seq(), sequencer.durable_seq()), (45, 41));
    assert!(!sequencer.is_poisoned());
    sequencer.poison();
    assert!(sequencer.is_poisoned());
}

#[test]
fn what_gathers_is_taken_once_and_as_it_was_appended() {
    let sequencer = sequencer(6, 60);
    assert!(sequencer.try_take_gathered(Gathered::default()).is_err(), "nothing has gathered");
    let mut section = sequencer.enter();
    section.append(100, b"one", &[WalletId(1), WalletId(2)]);
    section.append(200, b"", &[]);
    section.append(300, b"three", &[WalletId(2)]);
    drop(section);
    let taken = sequencer.try_take_gathered(Gathered::default()).expect("three have gathered");
    assert!(!taken.is_empty());
    assert_eq!((taken.entries(), taken.last_seq()), (3, 9));
    assert_eq!(taken.wallets, [(7, WalletId(1)), (7, WalletId(2)), (9, WalletId(2))]);
    let mut body = Vec::new();
    for (timestamp_ns, payload) in [(100, &b"one"[..]), (200, b""), (300, b"three")] {
        crate::record::push_entry(&mut body, timestamp_ns, payload);
    }
    let group = taken.group();
    assert_eq!((group.first_seq, group.last_timestamp), (7, 300));
    assert_eq!((group.body, group.entry_ends), (&body[..], &[15, 27, 44][..]));
    assert_eq!(taken.bytes(), 44);

    // The spare that was left in its place gathers what comes next.
    sequencer.enter().append(400, b"four", &[WalletId(3)]);
    let next = sequencer.take_gathered(Gathered::default()).expect("one has gathered");
    assert_eq!((next.group().first_seq, next.entries(), next.last_seq()), (10, 1, 10));
    sequencer.enter().append(500, b"five", &[]);
    sequencer.stop();
    assert_eq!(sequencer.take_gathered(Gathered::default()).map(|last| last.last_seq()), Some(11));
    assert!(sequencer.take_gathered(Gathered::default()).is_none(), "stopped, and everything was taken");
}

#[test]
fn a_writer_that_sleeps_is_woken_by_the_first_entry_and_by_a_stop() {
    let sequencer = Arc::new(sequencer(0, 0));
    let writer = std::thread::spawn({
        let sequencer = Arc::clone(&sequencer);
        move || {
            std::iter::from_fn(|| sequencer.take_gathered(Gathered::default()))
                .map(|taken| taken.last_seq())
                .last()
        }
    });
    let asleep = || {
        while !sequencer.writer_sleeps() {
            std::thread::yield_now();
        }
    };
    for seq in 1..=3 {
        asleep();
        assert_eq!(sequencer.enter().append(1, b"entry", &[]).seq, seq);
    }
    // Left without an entry, the section wakes nobody.
    asleep();
    drop(sequencer.enter());
    assert!(sequencer.writer_sleeps());
    sequencer.stop();
    assert_eq!(writer.join().expect("it ends"), Some(3));
}

#[test]
fn a_cleared_buffer_is_empty_and_keeps_what_a_burst_needs_and_not_what_a_flood_needed() {
    let check = |capacity: usize, is_kept: bool| {
        let sequencer = sequencer(0, 0);
        let spare = Gathered::with_capacity(capacity);
        sequencer.enter().append(1, b"entry", &[WalletId(1)]);
        let _first = sequencer.try_take_gathered(spare).expect("one has gathered");
        sequencer.enter().append(1, b"entry", &[WalletId(1)]);
        let mut taken = sequencer.try_take_gathered(Gathered::default()).expect("one has gathered");
        taken.clear();
        assert!(taken.is_empty() && taken.wallets.is_empty());
        assert_eq!(taken.bytes(), 0);
        assert_eq!(taken.capacity() >= capacity, is_kept, "{capacity}");
    };
    check(1 << 20, true);
    check(BODY_CAPACITY_KEPT, true);
    check(BODY_CAPACITY_KEPT + 1, false);
    check(2 * BODY_CAPACITY_KEPT, false);
}

#[test]
fn a_panic_inside_the_critical_section_ends_the_process_and_one_outside_does_not() {
    // By an entry that is too long; the longest is none.
    sequencer(0, 0).enter().append(1, &vec![1; MAX_ENTRY], &[]);
    assert_eq!(in_another_process("panics_in_the_section").1, Some(6), "SIGABRT");
    assert_eq!(in_another_process("enters_the_section_while_it_unwinds").0, Some(0));
}

const TASK: &str = "BURSAR_TEST_SEQUENCER_TASK";

/// The exit code or the signal of a process that does it.
fn in_another_process(task: &str) -> (Option<i32>, Option<i32>) {
    use std::os::unix::process::ExitStatusExt;
    let this = std::env::current_exe().expect("a test binary");
    let name = "sequencer_tests::does_what_another_process_is_told_to";
    let ran = Command::new(this).args([name, "--exact", "--ignored"]).env(TASK, task).output();
    let status = ran.expect("it runs").status;
    (status.code(), status.signal())
}

/// Enters the section while its thread unwinds, as the drop guard of an operation does.
struct EntersWhenDropped<'a>(&'a Sequencer);
impl Drop for EntersWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.enter().append(1, b"entry", &[]);
    }
}

#[test]
#[ignore = "a part of others, in a process of its own"]
fn does_what_another_process_is_told_to() {
    let Ok(task) = std::env::var(TASK) else { return };
    let sequencer = sequencer(0, 0);
    if task == "panics_in_the_section" {
        let _never = catch_unwind(AssertUnwindSafe(|| {
            sequencer.enter().append(1, &vec![1; MAX_ENTRY + 1], &[]);
        }));
        return;
    }
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = EntersWhenDropped(&sequencer);
        panic!("outside of the section");
    }));
    assert!(unwound.is_err());
    assert_eq!(sequencer.appended_seq(), 1);
}
