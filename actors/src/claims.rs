//! Claims: one execution per transfer id.
//!
//! One process-wide table, striped by id. An id is claimed by the first request that brings it; others with the same
//! id wait on the claim and are answered from its outcome. Once decided for good, the table holds the entry that says
//! so, until the books hold it. Orders about another wait for that one's claim, too, if it is older than
//! their own. It decides nothing about money.

use crate::in_flight::InFlight;
use crate::request::RequestItem;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ledger::TransferId;
use persistence::sync::Mutex;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Many small maps, so that none takes long to grow.
const STRIPE_BITS: u32 = if cfg!(bursar_loom) { 1 } else { 10 };

/// The id is claimed and not decided; the other bits are the number of the claim. No entry has such a number.
const OPEN: u64 = 1 << 63;

/// Half the size of a `u128`'s alignment: 24 bytes a row instead of 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u64; 2]);

impl From<TransferId> for Key {
    fn from(id: TransferId) -> Self {
        Self([id.0 as u64, (id.0 >> 64) as u64])
    }
}

struct Stripe<W> {
    /// The entry that decided the id, or [`OPEN`] and the number of the claim.
    ids: HashMap<Key, u64, RandomState>,
    waiters: HashMap<Key, VecDeque<W>, RandomState>,
}

impl<W> Default for Stripe<W> {
    fn default() -> Self {
        Self { ids: HashMap::default(), waiters: HashMap::default() }
    }
}

/// What became of asking for an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The id is new, and the asker's to decide.
    Granted,
    /// Somebody else is deciding it; the asker will be answered from the outcome.
    Waits,
    /// The entry of this sequence number has decided it.
    Decided(u64),
}

/// What became of looking at an id that an order is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Referred {
    /// The entry of this sequence number has decided it.
    Decided(u64),
    /// Somebody is deciding it whose claim is older; the asker will be told to look again.
    Waits,
    /// Somebody is deciding it whose claim is younger than the asker's, and may be waiting for the asker.
    Younger,
    /// There is no such id. It is claimed now by the asker, so that none can come until it is released.
    Absent,
}

/// Who waits on a claim.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// It brings the same id, and is answered from its outcome.
    Same(RequestItem),
    /// It is about the id, and looks at it again once it is decided or free.
    Refers(Box<InFlight>),
}

/// How the table tells them apart.
pub(crate) trait Waits {
    /// Whether it is about the id and does not bring it.
    fn refers(&self) -> bool;
}

impl Waits for Waiter {
    fn refers(&self) -> bool {
        matches!(self, Waiter::Refers(_))
    }
}

/// Who goes on after a claim ended undecided.
#[derive(Debug)]
pub(crate) struct Released<W> {
    /// Whose the claim is now, with its number; `None` if the id is free again.
    pub(crate) next: Option<(W, u64)>,
    /// Those who are about the id.
    pub(crate) others: Vec<W>,
}

/// The table. Who waits in it makes no difference to the table, but for what [`Waits`] says.
pub(crate) struct Claims<W = Waiter> {
    hasher: RandomState,
    stripes: Box<[Mutex<Stripe<W>>]>,
    next_number: AtomicU64,
}

impl<W> std::fmt::Debug for Claims<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl<W> Default for Claims<W> {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            stripes: (0..1 << STRIPE_BITS).map(|_| Mutex::default()).collect(),
            next_number: AtomicU64::new(1),
        }
    }
}

impl<W: Waits> Claims<W> {
    /// Notes an id that is found in the journal; false if it was there before.
    pub(crate) fn recover(&self, id: TransferId, seq: u64) -> bool {
        cfg!(bursar_broken = "forgotten_ids") || self.stripe(id).lock().ids.insert(id.into(), seq).is_none()
    }

    /// Numbers for so many claims, the first of them: greater than all that were given out before.
    pub(crate) fn numbers(&self, count: u64) -> u64 {
        self.next_number.fetch_add(count, Ordering::Relaxed)
    }

    /// Asks for `id` on behalf of `item`.
    pub(crate) fn claim(&self, id: TransferId, number: u64, item: impl FnOnce() -> W) -> Claim {
        let mut stripe = self.stripe(id).lock();
        match stripe.ids.entry(id.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(OPEN | number);
                Claim::Granted
            }
            Entry::Occupied(occupied) if *occupied.get() & OPEN != 0 => {
                stripe.waiters.entry(id.into()).or_default().push_back(item());
                Claim::Waits
            }
            Entry::Occupied(occupied) => Claim::Decided(*occupied.get()),
        }
    }

    /// Looks at `id` on behalf of an order about it, whose own claim has this number.
    pub(crate) fn refer(&self, id: TransferId, number: u64, item: impl FnOnce() -> W) -> Referred {
        let mut stripe = self.stripe(id).lock();
        match stripe.ids.entry(id.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(OPEN | number);
                Referred::Absent
            }
            Entry::Occupied(occupied) if *occupied.get() & OPEN == 0 => Referred::Decided(*occupied.get()),
            Entry::Occupied(occupied) if *occupied.get() & !OPEN >= number => Referred::Younger,
            Entry::Occupied(_) => {
                stripe.waiters.entry(id.into()).or_default().push_back(item());
                Referred::Waits
            }
        }
    }

    /// The claim is decided by the entry `seq`; returns who waited for that.
    #[must_use]
    pub(crate) fn decide(&self, id: TransferId, seq: u64) -> VecDeque<W> {
        let mut stripe = self.stripe(id).lock();
        let before = stripe.ids.insert(id.into(), seq);
        assert!(before.is_some_and(is_open), "only a claimed id is decided, and only once");
        if stripe.waiters.is_empty() {
            VecDeque::new()
        } else {
            stripe.waiters.remove(&Key::from(id)).unwrap_or_default()
        }
    }

    /// The claim ends undecided. If somebody waits with the same id, the claim is theirs now; else the id is free again.
    #[must_use]
    pub(crate) fn release(&self, id: TransferId) -> Released<W> {
        let mut stripe = self.stripe(id).lock();
        let key = Key::from(id);
        let waiting = stripe.waiters.remove(&key).unwrap_or_default();
        let (others, mut same): (Vec<W>, VecDeque<W>) = {
            let (others, same): (Vec<W>, Vec<W>) = waiting.into_iter().partition(Waits::refers);
            (others, same.into())
        };
        let before = stripe.ids.get(&key).copied();
        let number = before.filter(|&state| is_open(state)).map(|state| state & !OPEN);
        let number = number.expect("only a claim that is open is released");
        let next = same.pop_front().map(|next| (next, number));
        if next.is_none() {
            stripe.ids.remove(&key);
        } else if !same.is_empty() {
            stripe.waiters.insert(key, same);
        }
        Released { next, others }
    }

    /// The claim, which is open, turns out to be decided by an entry that is not in memory any more. Returns who waited.
    #[must_use]
    pub(crate) fn found(&self, id: TransferId) -> VecDeque<W> {
        let mut stripe = self.stripe(id).lock();
        let before = stripe.ids.remove(&Key::from(id));
        assert!(before.is_some_and(is_open), "only a claim that is open is found to be decided before");
        stripe.waiters.remove(&Key::from(id)).unwrap_or_default()
    }

    /// Forgets what was decided by the entries up to `seq`.
    pub(crate) fn forget_through(&self, seq: u64) {
        for stripe in &self.stripes {
            let ids = &mut stripe.lock().ids;
            ids.retain(|_, state| is_open(*state) || *state > seq);
            if ids.capacity() > 1024 && ids.len() < ids.capacity() / 8 {
                ids.shrink_to(ids.len() * 2);
            }
        }
    }

    /// The entry that decided the id, if it is decided and in memory.
    pub(crate) fn decided(&self, id: TransferId) -> Option<u64> {
        self.stripe(id).lock().ids.get(&Key::from(id)).copied().filter(|&state| !is_open(state))
    }

    fn stripe(&self, id: TransferId) -> &Mutex<Stripe<W>> {
        // The high bits: the map inside takes its bucket from the low ones.
        let hash = self.hasher.hash_one(Key::from(id));
        &self.stripes[(hash >> (64 - STRIPE_BITS)) as usize]
    }
}

fn is_open(state: u64) -> bool {
    state & OPEN != 0
}
