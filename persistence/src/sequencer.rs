//! The one place where entries get their sequence number and timestamp.
//!
//! Whoever decides enters the [`CriticalSection`] and appends there; the [`crate::writer`] takes what has gathered and
//! makes it durable. Nothing is decided here, and nothing waits here for a disk.

use crate::clock::Clock;
use crate::durability_gate::{DurabilityGate, Waiter};
use crate::journal::Group;
use crate::record::MAX_ENTRY;
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard};
use ledger::WalletId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where an entry stands in the total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Contiguous, from 1.
    pub seq: u64,
    /// Nanoseconds since 1970, strictly increasing.
    pub timestamp_ns: u64,
}

/// Gives entries their place, and keeps them until the writer takes them.
#[derive(Debug)]
pub struct Sequencer {
    section: Mutex<Section>,
    gathered: Condvar,
    appended_seq: AtomicU64,
    gate: DurabilityGate,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Section {
    next_seq: u64,
    last_timestamp_ns: u64,
    gathering: Gathered,
    /// Whether the writer sleeps and has to be woken.
    writer_sleeps: bool,
    stopping: bool,
}

impl Section {
    fn next_timestamp_ns(&self, now_ns: u64) -> u64 {
        now_ns.max(self.last_timestamp_ns + 1)
    }
}

/// The entries since the last commit, in the form in which a journal takes them.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    first_seq: u64,
    body: Vec<u8>,
    entry_ends: Vec<u32>,
    last_timestamp_ns: u64,
    /// Which wallets they change, for the wallet index.
    pub(crate) wallets: Vec<(u64, WalletId)>,
}

/// A buffer that once held a burst is not kept at that size.
pub(crate) const BODY_CAPACITY_KEPT: usize = 16 << 20;

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.entry_ends.is_empty()
    }

    pub(crate) fn entries(&self) -> usize {
        self.entry_ends.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + self.entries() as u64 - 1
    }

    pub(crate) fn group(&self) -> Group<'_> {
        Group {
            first_seq: self.first_seq,
            body: &self.body,
            entry_ends: &self.entry_ends,
            last_timestamp: self.last_timestamp_ns,
        }
    }

    #[cfg(all(test, not(bursar_loom)))]
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { body: Vec::with_capacity(capacity), ..Self::default() }
    }

    #[cfg(all(test, not(bursar_loom)))]
    pub(crate) fn capacity(&self) -> usize {
        self.body.capacity()
    }

    pub(crate) fn clear(&mut self) {
        if self.body.capacity() > BODY_CAPACITY_KEPT {
            *self = Self::default();
        }
        self.body.clear();
        self.entry_ends.clear();
        self.wallets.clear();
    }
}

impl Sequencer {
    /// A sequencer that goes on after `last_seq`, which is durable.
    pub fn new(last_seq: u64, last_timestamp_ns: u64, clock: Arc<dyn Clock>) -> Self {
        clock.advance_to(last_timestamp_ns);
        let section = Section {
            next_seq: last_seq + 1,
            last_timestamp_ns,
            gathering: Gathered::default(),
            writer_sleeps: false,
            stopping: false,
        };
        Self {
            section: Mutex::new(section),
            gathered: Condvar::new(),
            appended_seq: AtomicU64::new(last_seq),
            gate: DurabilityGate::new(last_seq),
            clock,
        }
    }

    /// Enters the critical section. Everybody who decides waits for it, so: in, append or cancel, out.
    #[inline]
    pub fn enter(&self) -> CriticalSection<'_> {
        CriticalSection {
            section: self.section.lock(),
            sequencer: self,
            // A drop guard may enter while its thread unwinds from a panic that happened elsewhere.
            entered_panicking: std::thread::panicking(),
        }
    }

    /// The newest entry that has a place, durable or not.
    pub fn appended_seq(&self) -> u64 {
        self.appended_seq.load(Ordering::Acquire)
    }

    /// The newest entry that is durable.
    pub fn durable_seq(&self) -> u64 {
        self.gate.durable_seq()
    }

    /// Nobody is told any more that anything is durable: the ledger above has failed.
    pub fn poison(&self) {
        self.gate.poison();
    }

    /// Whether the journal has failed.
    pub fn is_poisoned(&self) -> bool {
        self.gate.is_poisoned()
    }

    /// Calls back, on the journal writer's thread or at once, when `seq` is durable or the journal has failed.
    pub fn when_durable(&self, seq: u64, waiter: Waiter) {
        self.gate.when_durable(seq, waiter);
    }

    /// Ledger time.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Takes what has gathered and leaves the cleared `spare` in its place. Waits for something to gather; `None` once
    /// the sequencer is stopping and everything has been taken.
    pub(crate) fn take_gathered(&self, spare: Gathered) -> Option<Gathered> {
        let mut section = self.section.lock();
        while section.gathering.is_empty() {
            if section.stopping {
                return None;
            }
            section.writer_sleeps = true;
            self.gathered.wait(&mut section);
        }
        section.writer_sleeps = false;
        Some(std::mem::replace(&mut section.gathering, spare))
    }

    /// Like [`Self::take_gathered`] for a caller that steps instead of waiting.
    pub(crate) fn try_take_gathered(&self, spare: Gathered) -> Result<Gathered, Gathered> {
        let mut section = self.section.lock();
        if section.gathering.is_empty() {
            Err(spare)
        } else {
            Ok(std::mem::replace(&mut section.gathering, spare))
        }
    }

    /// After this, the writer ends once it has written what there is.
    pub(crate) fn stop(&self) {
        self.section.lock().stopping = true;
        self.gathered.notify_all();
    }

    #[cfg(all(test, not(bursar_loom)))]
    pub(crate) fn writer_sleeps(&self) -> bool {
        self.section.lock().writer_sleeps
    }

    pub(crate) fn gate(&self) -> &DurabilityGate {
        &self.gate
    }
}

/// Held by the one thread that is deciding the fate of tickets. Proof, to who asks for it, that nobody else is.
#[derive(Debug)]
pub struct CriticalSection<'a> {
    section: MutexGuard<'a, Section>,
    sequencer: &'a Sequencer,
    entered_panicking: bool,
}

impl CriticalSection<'_> {
    /// Gives the entry its place. `payload` is the encoded entry; `wallets` are those that it changes.
    #[inline]
    pub fn append(&mut self, now_ns: u64, payload: &[u8], wallets: &[WalletId]) -> Committed {
        assert!(
            payload.len() <= MAX_ENTRY,
            "an entry has at most {MAX_ENTRY} bytes, and this one {}",
            payload.len()
        );
        let section = &mut *self.section;
        let seq = section.next_seq;
        let timestamp_ns = section.next_timestamp_ns(now_ns);
        section.next_seq = seq + 1;
        section.last_timestamp_ns = timestamp_ns;
        let gathering = &mut section.gathering;
        if gathering.entry_ends.is_empty() {
            gathering.first_seq = seq;
        }
        gathering.last_timestamp_ns = timestamp_ns;
        gathering.body.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        gathering.body.extend_from_slice(&timestamp_ns.to_le_bytes());
        gathering.body.extend_from_slice(payload);
        let end = u32::try_from(gathering.body.len()).expect("admission keeps what gathers far below 4 GiB");
        gathering.entry_ends.push(end);
        gathering.wallets.extend(wallets.iter().map(|&wallet| (seq, wallet)));
        self.sequencer.appended_seq.store(seq, Ordering::Release);
        Committed { seq, timestamp_ns }
    }

    /// The time that an entry appended next would get.
    pub fn next_timestamp_ns(&self, now_ns: u64) -> u64 {
        self.section.next_timestamp_ns(now_ns)
    }

    /// The newest entry that has a place. Nothing gets a newer one while the section is held.
    pub fn head_seq(&self) -> u64 {
        self.section.next_seq - 1
    }
}

impl Drop for CriticalSection<'_> {
    #[expect(clippy::disallowed_methods, reason = "the one broken invariant that no unwinding may outlive")]
    fn drop(&mut self) {
        if std::thread::panicking() && !self.entered_panicking {
            // Half a decision may stand in the section, and there is nobody to say which half.
            tracing::error!("a panic inside the sequencer's critical section: the process cannot go on");
            std::process::abort();
        }
        if self.section.writer_sleeps && !self.section.gathering.is_empty() {
            self.section.writer_sleeps = false;
            self.sequencer.gathered.notify_one();
        }
    }
}
