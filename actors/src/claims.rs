//! Claims: one execution per transfer id.
//!
//! One process-wide table, striped by id. An id is claimed by the first request that brings it; others with the same
//! id wait on the claim and are answered from its outcome. Once decided for good, the table holds the entry that says
//! so, for ever (until the books hold the ids). It decides nothing about money.

use crate::request::RequestItem;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ledger::TransferId;
use persistence::sync::Mutex;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// Many small maps, so that none takes long to grow.
const STRIPE_BITS: u32 = if cfg!(bursar_loom) { 1 } else { 10 };

/// A sequence number that no entry has: the id is claimed and not decided.
const OPEN: u64 = u64::MAX;

/// Half the size of a `u128`'s alignment: 24 bytes a row instead of 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u64; 2]);

impl From<TransferId> for Key {
    fn from(id: TransferId) -> Self {
        Self([id.0 as u64, (id.0 >> 64) as u64])
    }
}

struct Stripe<W> {
    /// The entry that decided the id, or [`OPEN`].
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

/// The table. Who waits in it is a request's operation; it makes no difference to the table.
pub(crate) struct Claims<W = RequestItem> {
    hasher: RandomState,
    stripes: Box<[Mutex<Stripe<W>>]>,
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
        }
    }
}

impl<W> Claims<W> {
    /// Notes an id that is found in the journal; false if it was there before.
    pub(crate) fn recover(&self, id: TransferId, seq: u64) -> bool {
        cfg!(bursar_broken = "forgotten_ids") || self.stripe(id).lock().ids.insert(id.into(), seq).is_none()
    }

    /// Asks for `id` on behalf of `item`.
    pub(crate) fn claim(&self, id: TransferId, item: impl FnOnce() -> W) -> Claim {
        let mut stripe = self.stripe(id).lock();
        match stripe.ids.entry(id.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(OPEN);
                Claim::Granted
            }
            Entry::Occupied(occupied) if *occupied.get() == OPEN => {
                stripe.waiters.entry(id.into()).or_default().push_back(item());
                Claim::Waits
            }
            Entry::Occupied(occupied) => Claim::Decided(*occupied.get()),
        }
    }

    /// The claim is decided by the entry `seq`; returns who waited for that.
    #[must_use]
    pub(crate) fn decide(&self, id: TransferId, seq: u64) -> VecDeque<W> {
        let mut stripe = self.stripe(id).lock();
        let before = stripe.ids.insert(id.into(), seq);
        assert_eq!(before, Some(OPEN), "only a claimed id is decided, and only once");
        if stripe.waiters.is_empty() {
            VecDeque::new()
        } else {
            stripe.waiters.remove(&Key::from(id)).unwrap_or_default()
        }
    }

    /// The claim ends undecided. If somebody waits, the claim is theirs now; else the id is free again.
    #[must_use]
    pub(crate) fn release(&self, id: TransferId) -> Option<W> {
        let mut stripe = self.stripe(id).lock();
        let key = Key::from(id);
        if let Some(waiters) = stripe.waiters.get_mut(&key) {
            let next = waiters.pop_front();
            if waiters.is_empty() {
                stripe.waiters.remove(&key);
            }
            return next;
        }
        let before = stripe.ids.remove(&key);
        assert_eq!(before, Some(OPEN), "only a claim that is open is released");
        None
    }

    /// The entry that decided the id, if it is decided.
    pub(crate) fn decided(&self, id: TransferId) -> Option<u64> {
        self.stripe(id).lock().ids.get(&Key::from(id)).copied().filter(|&seq| seq != OPEN)
    }

    fn stripe(&self, id: TransferId) -> &Mutex<Stripe<W>> {
        // The high bits: the map inside takes its bucket from the low ones.
        let hash = self.hasher.hash_one(Key::from(id));
        &self.stripes[(hash >> (64 - STRIPE_BITS)) as usize]
    }
}

#[cfg(all(test, not(bursar_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_all_of_their_bits() {
        let claims: Claims<u32> = Claims::default();
        for bit in 0..128 {
            let id = TransferId(1 << bit);
            assert_eq!(claims.claim(id, || bit), Claim::Granted, "{id}");
            assert_eq!(claims.claim(id, || bit), Claim::Waits, "{id}");
        }
        for bit in 0..128 {
            let (id, seq) = (TransferId(1 << bit), u64::from(bit) + 1);
            assert_eq!(claims.decided(id), None, "{id}");
            assert_eq!(claims.decide(id, seq), [bit], "{id}");
            assert_eq!(claims.decided(id), Some(seq), "{id}");
            assert_eq!(claims.claim(id, || bit), Claim::Decided(seq), "{id}");
        }
    }

    #[test]
    fn an_id_that_was_found_in_the_journal_is_decided_and_found_again_is_a_contradiction() {
        let claims: Claims<u32> = Claims::default();
        assert!(claims.recover(TransferId(7), 3));
        assert!(!claims.recover(TransferId(7), 4));
        assert!(claims.recover(TransferId(8), 4));
        assert_eq!(claims.claim(TransferId(8), || 1), Claim::Decided(4));
    }
}
