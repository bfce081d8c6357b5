//! What the world puts in the place of the machine it would run on: the time, the messages under way, the pieces of work
//! for the readers, and the panics.

use crate::core::{FaultHook, ReadJob, Readers, Transport};
use crate::shard_machine::ShardMessage;
use parking_lot::Mutex;
use persistence::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Ledger time, as the seed lets it pass.
#[derive(Debug)]
pub(super) struct SeededClock(AtomicU64);

impl SeededClock {
    pub(super) fn at(now_ns: u64) -> Self {
        Self(AtomicU64::new(now_ns))
    }

    pub(super) fn pass(&self, nanoseconds: u64) {
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Clock for SeededClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn advance_to(&self, timestamp_ns: u64) {
        self.0.fetch_max(timestamp_ns, Ordering::Relaxed);
    }
}

/// Messages that have been sent and not yet arrived: a queue for each pair of sending thread and receiving shard.
#[derive(Debug)]
pub(super) struct Wires {
    senders: usize,
    shards: usize,
    under_way: Mutex<Vec<VecDeque<Vec<ShardMessage>>>>,
    /// The thread that is running now.
    sender: AtomicUsize,
}

impl Wires {
    pub(super) fn new(senders: usize, shards: usize) -> Self {
        let queues = (0..senders * shards).map(|_| VecDeque::new()).collect();
        Self { senders, shards, under_way: Mutex::new(queues), sender: AtomicUsize::new(0) }
    }

    /// From now on, what is sent comes from this thread.
    pub(super) fn run_as(&self, sender: usize) {
        assert!(sender < self.senders, "there are {} threads", self.senders);
        self.sender.store(sender, Ordering::Relaxed);
    }

    pub(super) fn send(&self, shard: usize, messages: Vec<ShardMessage>) {
        let queue = self.sender.load(Ordering::Relaxed) * self.shards + shard;
        self.under_way.lock()[queue].push_back(messages);
    }

    /// The queues in which something is under way.
    pub(super) fn busy(&self) -> Vec<usize> {
        let queues = self.under_way.lock();
        (0..queues.len()).filter(|&queue| !queues[queue].is_empty()).collect()
    }

    /// How much is under way in a queue.
    pub(super) fn len(&self, queue: usize) -> usize {
        self.under_way.lock()[queue].len()
    }

    /// Takes what is at that place of the queue; says which shard it is for.
    pub(super) fn take(&self, queue: usize, place: usize) -> (usize, Vec<ShardMessage>) {
        let messages = self.under_way.lock()[queue].remove(place).expect("it is under way");
        (queue % self.shards, messages)
    }
}

impl Transport for Arc<Wires> {
    fn post(&self, shard: usize, message: ShardMessage) {
        self.send(shard, vec![message]);
    }
}

/// Reads that nobody has done yet.
#[derive(Default)]
pub(super) struct Jobs(Mutex<Vec<ReadJob>>);

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(super) fn take(&self, place: usize) -> ReadJob {
        self.0.lock().swap_remove(place)
    }
}

/// The readers' side of [`Jobs`].
#[derive(Debug)]
pub(super) struct SeededReaders(pub(super) Arc<Jobs>);

impl Readers for SeededReaders {
    fn run(&self, job: ReadJob) {
        self.0.0.lock().push(job);
    }
}

/// What an injected panic carries, so that it can be told from one that nobody ordered.
#[derive(Debug)]
pub(super) struct Injected;

/// Panics a wallet at the n-th place from now where it might.
#[derive(Debug, Default)]
pub(super) struct Panics {
    /// 0: never.
    countdown: AtomicU64,
    pub(super) injected: AtomicU64,
}

impl Panics {
    pub(super) fn arm(&self, countdown: u64) {
        self.countdown.store(countdown, Ordering::Relaxed);
    }

    pub(super) fn hook(self: &Arc<Self>) -> FaultHook {
        let panics = Arc::clone(self);
        Arc::new(move |_place, _wallet| {
            let left = panics.countdown.load(Ordering::Relaxed);
            if left > 0 {
                panics.countdown.store(left - 1, Ordering::Relaxed);
                if left == 1 {
                    panics.injected.fetch_add(1, Ordering::Relaxed);
                    // Not `panic!`: the panic hook has nothing to report.
                    std::panic::resume_unwind(Box::new(Injected));
                }
            }
        })
    }
}
