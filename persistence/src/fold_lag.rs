//! How far the books may be behind the journal: the writer waits when they are too far.
//!
//! What is not in the books yet is in memory and in the journal; both are bounded by this. Whoever sends waits for replies, so
//! what is under way is bounded too, and everything slows down to the pace of the bookkeeper.

use metrics::{Counter, counter};
use parking_lot::{Condvar, Mutex};

/// Shared by the journal writer, who waits, and whoever publishes views of the books.
#[derive(Debug)]
pub struct FoldLag {
    entries_max: u64,
    folded_seq: Mutex<u64>,
    advanced: Condvar,
    waits: Counter,
}

impl FoldLag {
    /// The books hold everything up to `folded_seq`, and may be behind by so many entries.
    pub fn new(folded_seq: u64, entries_max: u64) -> Self {
        Self {
            entries_max,
            folded_seq: Mutex::new(folded_seq),
            advanced: Condvar::new(),
            waits: counter!("bursar_commits_held_back_total"),
        }
    }

    /// The books hold everything up to `seq`.
    pub fn advance(&self, seq: u64) {
        let mut folded_seq = self.folded_seq.lock();
        *folded_seq = (*folded_seq).max(seq);
        self.advanced.notify_all();
    }

    /// Nobody waits any more: there is no bookkeeper.
    pub fn release(&self) {
        self.advance(u64::MAX);
    }

    /// Waits until the books are near enough to `durable_seq`.
    pub(crate) fn wait(&self, durable_seq: u64) {
        let mut folded_seq = self.folded_seq.lock();
        if durable_seq.saturating_sub(*folded_seq) > self.entries_max {
            self.waits.increment(1);
        }
        while durable_seq.saturating_sub(*folded_seq) > self.entries_max {
            self.advanced.wait(&mut folded_seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn the_writer_waits_for_books_that_are_too_far_behind_and_for_no_others() {
        let lag = Arc::new(FoldLag::new(10, 5));
        lag.wait(15);
        let (sender, waited) = channel();
        let waiting = std::thread::spawn({
            let lag = Arc::clone(&lag);
            move || {
                lag.wait(16);
                sender.send(()).expect("the test waits");
                lag.wait(1_000_000);
            }
        });
        lag.advance(9);
        assert!(waited.try_recv().is_err(), "going back brings nobody on");
        lag.advance(11);
        waited.recv_timeout(Duration::from_mins(2)).expect("near enough");
        lag.release();
        waiting.join().expect("nobody waits after the bookkeeper");
    }
}
