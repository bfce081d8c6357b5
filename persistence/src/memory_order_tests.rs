//! Under loom: every order of threads, and every value that a load may return.
//!
//! `RUSTFLAGS="--cfg bursar_loom" cargo test --release -p bursar-persistence --lib memory_order`

use crate::clock::Clock;
use crate::durability_gate::{DurabilityGate, Poisoned};
use crate::sequencer::{Gathered, Sequencer};
use ledger::WalletId;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;

/// Time is no matter here.
#[derive(Debug)]
struct NoTime;

impl Clock for NoTime {
    fn now_ns(&self) -> u64 {
        1
    }

    fn advance_to(&self, _: u64) {}
}

#[test]
fn who_waits_while_the_gate_opens_is_called_once() {
    loom::model(|| {
        let (gate, called) = (Arc::new(DurabilityGate::new(0)), Arc::new(AtomicUsize::new(0)));
        let waiter = thread::spawn({
            let (gate, called) = (Arc::clone(&gate), Arc::clone(&called));
            move || {
                let on_durable = move |result| {
                    assert_eq!(result, Ok(()));
                    called.fetch_add(1, Ordering::Relaxed);
                };
                gate.when_durable(1, Box::new(on_durable));
            }
        });
        gate.open(1);
        waiter.join().unwrap();
        assert_eq!(called.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn who_waits_while_the_journal_fails_is_called_once_and_who_comes_later_is_told_so() {
    loom::model(|| {
        let (gate, called) = (Arc::new(DurabilityGate::new(0)), Arc::new(AtomicUsize::new(0)));
        let waiter = thread::spawn({
            let (gate, called) = (Arc::clone(&gate), Arc::clone(&called));
            move || {
                let on_durable = move |result| {
                    assert_eq!(result, Err(Poisoned));
                    called.fetch_add(1, Ordering::Relaxed);
                };
                gate.when_durable(1, Box::new(on_durable));
            }
        });
        gate.poison();
        gate.when_durable(0, Box::new(|result| assert_eq!(result, Err(Poisoned))));
        waiter.join().unwrap();
        assert_eq!(called.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn the_writer_takes_every_entry_and_never_sleeps_on_one() {
    loom::model(|| {
        let sequencer = Arc::new(Sequencer::new(0, 0, Arc::new(NoTime)));
        let writer = thread::spawn({
            let sequencer = Arc::clone(&sequencer);
            move || {
                let mut taken = 0;
                while let Some(group) = sequencer.take_gathered(Gathered::default()) {
                    taken += group.entries();
                    assert_eq!(group.last_seq(), taken as u64, "groups are contiguous");
                }
                taken
            }
        });
        let other = thread::spawn({
            let sequencer = Arc::clone(&sequencer);
            move || sequencer.enter().append(1, b"one", &[WalletId(1)]).seq
        });
        let first = sequencer.enter().append(1, b"another", &[WalletId(2)]).seq;
        let second = other.join().unwrap();
        assert_eq!(first + second, 3, "each has a number of its own");
        sequencer.stop();
        assert_eq!(writer.join().unwrap(), 2);
    });
}

#[test]
fn a_writer_that_sleeps_is_woken_by_an_entry() {
    loom::model(|| {
        let sequencer = Arc::new(Sequencer::new(0, 0, Arc::new(NoTime)));
        let writer = thread::spawn({
            let sequencer = Arc::clone(&sequencer);
            // Nobody stops the sequencer: if nobody wakes the writer, loom finds that all threads wait.
            move || sequencer.take_gathered(Gathered::default()).map(|group| group.entries())
        });
        sequencer.enter().append(1, b"one", &[WalletId(1)]);
        assert_eq!(writer.join().unwrap(), Some(1));
    });
}
