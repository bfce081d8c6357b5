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

struct Stripe<S, R> {
    /// The entry that decided the id, or [`OPEN`] and the number of the claim.
    ids: HashMap<Key, u64, RandomState>,
    waiters: HashMap<Key, Waiting<S, R>, RandomState>,
}

/// Who waits on a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiting<S, R> {
    /// Those that bring the same id, and are answered from its outcome: first come, first to take it over.
    pub(crate) same: VecDeque<S>,
    /// Those that are about the id, and look at it again once it is decided or free.
    pub(crate) referring: Vec<R>,
}

impl<S, R> Default for Waiting<S, R> {
    fn default() -> Self {
        Self { same: VecDeque::new(), referring: Vec::new() }
    }
}

impl<S, R> Default for Stripe<S, R> {
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

/// Who goes on after a claim ended undecided.
#[derive(Debug)]
pub(crate) struct Released<S, R> {
    /// Whose the claim is now, with its number; `None` if the id is free again.
    pub(crate) next: Option<(S, u64)>,
    /// Those who are about the id.
    pub(crate) referring: Vec<R>,
}

/// The table. Who waits in it makes no difference to the table.
pub(crate) struct Claims<S = RequestItem, R = Box<InFlight>> {
    hasher: RandomState,
    stripes: Box<[Mutex<Stripe<S, R>>]>,
    next_number: AtomicU64,
}

impl<S, R> std::fmt::Debug for Claims<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl<S, R> Default for Claims<S, R> {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            stripes: (0..1 << STRIPE_BITS).map(|_| Mutex::default()).collect(),
            next_number: AtomicU64::new(1),
        }
    }
}

impl<S, R> Claims<S, R> {
    /// Notes an id that is found in the journal; false if it was there before.
    pub(crate) fn recover(&self, id: TransferId, seq: u64) -> bool {
        cfg!(bursar_broken = "forgotten_ids") || self.stripe(id).lock().ids.insert(id.into(), seq).is_none()
    }

    /// Numbers for so many claims, the first of them: greater than all that were given out before.
    pub(crate) fn numbers(&self, count: u64) -> u64 {
        self.next_number.fetch_add(count, Ordering::Relaxed)
    }

    /// Asks for `id` on behalf of `item`.
    pub(crate) fn claim(&self, id: TransferId, number: u64, item: impl FnOnce() -> S) -> Claim {
        let mut stripe = self.stripe(id).lock();
        match stripe.ids.entry(id.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(OPEN | number);
                Claim::Granted
            }
            Entry::Occupied(occupied) if *occupied.get() & OPEN != 0 => {
                stripe.waiters.entry(id.into()).or_default().same.push_back(item());
                Claim::Waits
            }
            Entry::Occupied(occupied) => Claim::Decided(*occupied.get()),
        }
    }

    /// Looks at `id` on behalf of an order about it, whose own claim has this number.
    pub(crate) fn refer(&self, id: TransferId, number: u64, item: impl FnOnce() -> R) -> Referred {
        let mut stripe = self.stripe(id).lock();
        match stripe.ids.entry(id.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(OPEN | number);
                Referred::Absent
            }
            Entry::Occupied(occupied) if *occupied.get() & OPEN == 0 => Referred::Decided(*occupied.get()),
            Entry::Occupied(occupied) if *occupied.get() & !OPEN >= number => Referred::Younger,
            Entry::Occupied(_) => {
                stripe.waiters.entry(id.into()).or_default().referring.push(item());
                Referred::Waits
            }
        }
    }

    /// The claim is decided by the entry `seq`; returns who waited for that.
    #[must_use]
    pub(crate) fn decide(&self, id: TransferId, seq: u64) -> Waiting<S, R> {
        let mut stripe = self.stripe(id).lock();
        let before = stripe.ids.insert(id.into(), seq);
        assert!(before.is_some_and(is_open), "only a claimed id is decided, and only once");
        if stripe.waiters.is_empty() {
            Waiting::default()
        } else {
            stripe.waiters.remove(&Key::from(id)).unwrap_or_default()
        }
    }

    /// The claim ends undecided. If somebody waits with the same id, the claim is theirs now; else the id is free again.
    #[must_use]
    pub(crate) fn release(&self, id: TransferId) -> Released<S, R> {
        let mut stripe = self.stripe(id).lock();
        let key = Key::from(id);
        let number = stripe.ids.get(&key).copied().filter(|&state| is_open(state)).map(|state| state & !OPEN);
        let number = number.expect("only a claim that is open is released");
        let Some(waiting) = stripe.waiters.get_mut(&key) else {
            stripe.ids.remove(&key);
            return Released { next: None, referring: Vec::new() };
        };
        let referring = std::mem::take(&mut waiting.referring);
        let next = waiting.same.pop_front().map(|next| (next, number));
        if waiting.same.is_empty() {
            stripe.waiters.remove(&key);
        }
        if next.is_none() {
            stripe.ids.remove(&key);
        }
        Released { next, referring }
    }

    /// The claim, which is open, turns out to be decided by an entry that is not in memory any more. Returns who waited.
    #[must_use]
    pub(crate) fn found(&self, id: TransferId) -> Waiting<S, R> {
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

    /// The ids that are decided and in memory, with their entries.
    pub(crate) fn all_decided(&self) -> impl Iterator<Item = (TransferId, u64)> {
        self.stripes.iter().flat_map(|stripe| {
            let stripe = stripe.lock();
            let decided = stripe.ids.iter().filter(|(_, state)| !is_open(**state));
            decided
                .map(|(Key([low, high]), seq)| (TransferId(u128::from(*high) << 64 | u128::from(*low)), *seq))
                .collect::<Vec<_>>()
        })
    }

    /// The entry that decided the id, if it is decided and in memory.
    pub(crate) fn decided(&self, id: TransferId) -> Option<u64> {
        self.stripe(id).lock().ids.get(&Key::from(id)).copied().filter(|&state| !is_open(state))
    }

    fn stripe(&self, id: TransferId) -> &Mutex<Stripe<S, R>> {
        // The high bits: the map inside takes its bucket from the low ones.
        let hash = self.hasher.hash_one(Key::from(id));
        &self.stripes[(hash >> (64 - STRIPE_BITS)) as usize]
    }
}

fn is_open(state: u64) -> bool {
    state & OPEN != 0
}

#[cfg(all(test, not(bursar_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_all_of_their_bits() {
        let claims: Claims<u32, ()> = Claims::default();
        for bit in 0..128 {
            let id = TransferId(1 << bit);
            assert_eq!(claims.claim(id, 1, || bit), Claim::Granted, "{id}");
            assert_eq!(claims.claim(id, 1, || bit), Claim::Waits, "{id}");
        }
        for bit in 0..128 {
            let (id, seq) = (TransferId(1 << bit), u64::from(bit) + 1);
            assert_eq!(claims.decided(id), None, "{id}");
            assert_eq!(claims.decide(id, seq).same, [bit], "{id}");
            assert_eq!(claims.decided(id), Some(seq), "{id}");
            assert_eq!(claims.claim(id, 1, || bit), Claim::Decided(seq), "{id}");
        }
    }

    #[test]
    fn an_id_that_was_found_in_the_journal_is_decided_and_found_again_is_a_contradiction() {
        let claims: Claims<u32, ()> = Claims::default();
        assert!(claims.recover(TransferId(7), 3));
        assert!(!claims.recover(TransferId(7), 4));
        assert!(claims.recover(TransferId(8), 4));
        assert_eq!(claims.claim(TransferId(8), 1, || 1), Claim::Decided(4));
    }

    #[test]
    fn a_claim_that_is_released_goes_to_the_next_with_its_number() {
        let claims: Claims<u32, u32> = Claims::default();
        let id = TransferId(u128::MAX);
        assert_eq!(claims.claim(id, 6, || 0), Claim::Granted);
        assert_eq!(claims.claim(id, 9, || 1), Claim::Waits);
        assert_eq!(claims.refer(id, 7, || 2), Referred::Waits);
        assert_eq!(claims.refer(id, 6, || 3), Referred::Younger);
        let released = claims.release(id);
        assert_eq!((released.next, released.referring), (Some((1, 6)), vec![2]));
        let released = claims.release(id);
        assert_eq!((released.next, released.referring), (None, vec![]));
        assert_eq!(claims.claim(id, 9, || 4), Claim::Granted);
    }

    #[test]
    fn what_the_books_hold_is_forgotten_and_its_memory_given_back() {
        let claims: Claims<u32, ()> = Claims::default();
        // Some thousand a stripe, of which a tenth remains.
        let (forgotten, decided) = (900_000, 1_000_000_u64);
        for seq in 1..=decided {
            assert!(claims.recover(TransferId(u128::from(seq) << 64 | 5), seq));
        }
        let open = TransferId(4);
        assert_eq!(claims.claim(open, 3, || 1), Claim::Granted);
        claims.forget_through(forgotten);
        let mut left: Vec<_> = claims.all_decided().collect();
        left.sort_unstable();
        let expected = forgotten + 1..=decided;
        assert!(left.into_iter().eq(expected.map(|seq| (TransferId(u128::from(seq) << 64 | 5), seq))));
        assert_eq!(claims.claim(open, 4, || 2), Claim::Waits);
        for stripe in &claims.stripes {
            let ids = &stripe.lock().ids;
            assert!((2 * ids.len()..=1024).contains(&ids.capacity()), "{} in {}", ids.len(), ids.capacity());
        }
    }
}
