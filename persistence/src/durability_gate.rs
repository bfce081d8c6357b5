//! What waits for an entry to be durable, and is let go when it is.
//!
//! Whoever waits is called back on the journal writer's thread, so a callback hands over and returns.

use crate::sync::{AtomicBool, AtomicU64, Mutex};
use std::sync::atomic::Ordering;

/// The journal has failed: what waits may be on disk or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal has failed; whether the outcome is durable is not known")]
pub struct Poisoned;

/// Called once, with whether what was waited for is durable.
pub type Waiter = Box<dyn FnOnce(Result<(), Poisoned>) + Send>;

/// The newest durable sequence number, and who waits for a newer one.
#[derive(Default)]
pub(crate) struct DurabilityGate {
    durable_seq: AtomicU64,
    poisoned: AtomicBool,
    closed: AtomicBool,
    waiting: Mutex<Vec<(u64, Waiter)>>,
}

impl std::fmt::Debug for DurabilityGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurabilityGate").field("durable_seq", &self.durable_seq()).finish_non_exhaustive()
    }
}

impl DurabilityGate {
    /// A gate at a journal whose newest entry is `durable_seq`.
    pub(crate) fn new(durable_seq: u64) -> Self {
        Self { durable_seq: AtomicU64::new(durable_seq), ..Self::default() }
    }

    /// The newest entry that is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Whether the journal has failed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Calls back when `seq` is durable, at once if it is already.
    pub(crate) fn when_durable(&self, seq: u64, waiter: Waiter) {
        if seq <= self.durable_seq() && !self.is_poisoned() {
            return waiter(Ok(()));
        }
        let mut waiting = self.waiting.lock();
        // Looked at again under the lock: `open` publishes first and takes the lock after, so either it finds this
        // waiter or this finds the number.
        let result = if self.is_poisoned() {
            Err(Poisoned)
        } else if seq <= self.durable_seq() {
            Ok(())
        } else if self.closed.load(Ordering::Acquire) {
            Err(Poisoned)
        } else {
            waiting.push((seq, waiter));
            return;
        };
        drop(waiting);
        waiter(result);
    }

    /// Publishes that everything up to `seq` is durable, and lets go who waited for it.
    pub(crate) fn open(&self, seq: u64) {
        self.durable_seq.store(seq, Ordering::Release);
        // One pass: nearly all who wait, wait for the group that has just become durable or for the next one.
        let due: Vec<(u64, Waiter)> =
            self.waiting.lock().extract_if(.., |(waits_for, _)| *waits_for <= seq).collect();
        for (_, waiter) in due {
            waiter(Ok(()));
        }
    }

    /// The journal has failed: nothing becomes durable any more, and everybody who waits is told so.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        self.tell_everybody();
    }

    /// The journal is closed, which is no failure: what is durable is durable, and nothing else becomes so.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.tell_everybody();
    }

    fn tell_everybody(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (_, waiter) in waiting {
            waiter(Err(Poisoned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    fn wait_for(gate: &DurabilityGate, seq: u64) -> Receiver<Result<(), Poisoned>> {
        let (sender, receiver) = channel();
        gate.when_durable(seq, Box::new(move |result| sender.send(result).unwrap()));
        receiver
    }

    #[test]
    fn who_waits_is_let_go_once_its_entry_is_durable_and_not_before() {
        let gate = DurabilityGate::new(5);
        assert_eq!(wait_for(&gate, 5).try_recv(), Ok(Ok(())));
        let (six, eight) = (wait_for(&gate, 6), wait_for(&gate, 8));
        assert!(six.try_recv().is_err());
        gate.open(7);
        assert_eq!(six.try_recv(), Ok(Ok(())));
        assert!(eight.try_recv().is_err());
        gate.open(8);
        assert_eq!(eight.try_recv(), Ok(Ok(())));
    }

    #[test]
    fn a_poisoned_gate_tells_everybody_even_who_waits_for_what_is_durable() {
        let gate = DurabilityGate::new(5);
        let six = wait_for(&gate, 6);
        gate.poison();
        assert_eq!(six.try_recv(), Ok(Err(Poisoned)));
        assert_eq!(wait_for(&gate, 7).try_recv(), Ok(Err(Poisoned)));
        assert_eq!(wait_for(&gate, 5).try_recv(), Ok(Err(Poisoned)));
    }

    #[test]
    fn a_closed_gate_tells_who_waits_for_more_and_is_no_failure() {
        let gate = DurabilityGate::new(5);
        let six = wait_for(&gate, 6);
        gate.close();
        assert_eq!(six.try_recv(), Ok(Err(Poisoned)));
        assert_eq!(wait_for(&gate, 6).try_recv(), Ok(Err(Poisoned)));
        assert_eq!(wait_for(&gate, 5).try_recv(), Ok(Ok(())));
        assert!(!gate.is_poisoned());
    }

    #[test]
    fn nobody_is_forgotten_when_waiting_and_opening_race() {
        let gate = Arc::new(DurabilityGate::new(0));
        let opener = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || (1..=20_000).for_each(|seq| gate.open(seq))
        });
        let waiting: Vec<_> = (1..=20_000).map(|seq| wait_for(&gate, seq)).collect();
        opener.join().unwrap();
        for receiver in waiting {
            assert_eq!(receiver.try_recv(), Ok(Ok(())));
        }
    }
}
