//! What orders can be about: holds, and what was moved, as far as committed orders have brought them.
//!
//! One process-wide table, striped by id. Whoever decides on an original has it alone until that is decided; others
//! wait for it in order. It decides nothing about money: that is `ledger::original`'s.

use crate::in_flight::InFlight;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ledger::original::Original;
use ledger::{Facts, HoldState, OrderKind, TransferId};
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::ops::Bound;

const STRIPE_BITS: u32 = 8;

/// An original, for whoever decides on it.
#[derive(Debug)]
struct Slot {
    /// `None` until somebody has read what it is.
    original: Option<Original>,
    /// The newest entry that is in it.
    seq: u64,
    /// Somebody decides on it.
    is_taken: bool,
    waiting: VecDeque<InFlight>,
}

impl Slot {
    fn new(original: Option<Original>, seq: u64) -> Self {
        Self { original, seq, is_taken: false, waiting: VecDeque::new() }
    }

    /// Whether it says no more than the journal's entry of that id.
    fn is_needless(&self) -> bool {
        !self.is_taken
            && self.waiting.is_empty()
            && match &self.original {
                None | Some(Original::Neither | Original::Moved { reversed: 0, .. }) => true,
                Some(Original::Hold { .. } | Original::Moved { .. }) => false,
            }
    }
}

/// Holds that expire and have not ended.
#[derive(Debug, Default)]
struct Expiring {
    /// In the order of their expiry.
    holds: BTreeSet<(u64, TransferId)>,
    /// The one that was asked for last. Some may not end, because a wallet does not answer; the others must have their turn.
    last: (u64, TransferId),
}

impl Expiring {
    fn due(&mut self, now_ns: u64, limit: usize) -> Vec<TransferId> {
        let all = (Bound::Unbounded, Bound::Included((now_ns, TransferId(u128::MAX))));
        let mut due: Vec<(u64, TransferId)> = Vec::new();
        if self.last.0 <= now_ns {
            let rest = self.holds.range((Bound::Excluded(self.last), all.1));
            due.extend(rest.take(limit));
        }
        if due.len() < limit {
            // From the beginning, up to where it began.
            let before = self.holds.range(all).take_while(|&&hold| hold <= self.last);
            due.extend(before.take(limit.saturating_sub(due.len())));
        }
        if let Some(&last) = due.last() {
            self.last = last;
        }
        due.into_iter().map(|(_, id)| id).collect()
    }
}

/// What became of asking for an original.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// It is the asker's, until it lets go.
    Granted(InFlight),
    /// Somebody else decides on it; the asker will be granted it.
    Waits,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Originals {
    hasher: RandomState,
    stripes: Box<[Mutex<HashMap<TransferId, Slot, RandomState>>]>,
    expiring: Mutex<Expiring>,
}

impl Default for Originals {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            stripes: (0..1 << STRIPE_BITS).map(|_| Mutex::default()).collect(),
            expiring: Mutex::default(),
        }
    }
}

impl Originals {
    /// What stands in the journal, as far as it has come by the entry `seq`. Nobody can have referred to it before.
    pub(crate) fn note(&self, id: TransferId, original: Original, seq: u64) {
        let expires_at_ns = match &original {
            Original::Hold { terms, state: HoldState::Open } => terms.expires_at_ns,
            _ => u64::MAX,
        };
        self.stripe(id).lock().insert(id, Slot::new(Some(original), seq));
        // Only now may it be let expire.
        if expires_at_ns != u64::MAX {
            self.expiring.lock().holds.insert((expires_at_ns, id));
        }
    }

    /// Asks for the original on behalf of an order, which waits if somebody else decides on it.
    pub(crate) fn acquire(&self, id: TransferId, in_flight: InFlight) -> Acquired {
        let mut stripe = self.stripe(id).lock();
        let slot = stripe.entry(id).or_insert_with(|| Slot::new(None, 0));
        if slot.is_taken {
            slot.waiting.push_back(in_flight);
            return Acquired::Waits;
        }
        slot.is_taken = true;
        Acquired::Granted(in_flight)
    }

    /// Asks for the original unless somebody decides on it.
    pub(crate) fn try_acquire(&self, id: TransferId) -> bool {
        let mut stripe = self.stripe(id).lock();
        let slot = stripe.entry(id).or_insert_with(|| Slot::new(None, 0));
        !std::mem::replace(&mut slot.is_taken, true)
    }

    /// What was read about an original that is the reader's.
    pub(crate) fn load(&self, id: TransferId, original: Original, seq: u64) {
        let mut stripe = self.stripe(id).lock();
        let slot = stripe.get_mut(&id).expect("what somebody decides on is in the table");
        slot.original = Some(original);
        slot.seq = slot.seq.max(seq);
    }

    /// The original as far as it has come, and the newest entry in that; `None` if it has not been read.
    pub(crate) fn known(&self, id: TransferId) -> Option<(Original, u64)> {
        let stripe = self.stripe(id).lock();
        let slot = stripe.get(&id)?;
        Some((slot.original.clone()?, slot.seq))
    }

    /// The entry `seq` of an order about it, whose it is, is committed.
    pub(crate) fn progress(&self, id: TransferId, kind: OrderKind, facts: &Facts, seq: u64) {
        if let Facts::Hold(terms) = facts
            && terms.expires_at_ns != u64::MAX
        {
            self.expiring.lock().holds.remove(&(terms.expires_at_ns, id));
        }
        let mut stripe = self.stripe(id).lock();
        let slot = stripe.get_mut(&id).expect("what somebody decides on is in the table");
        let original = slot.original.as_mut().expect("it was read before it was decided on");
        if !cfg!(bursar_broken = "forgotten_capture") {
            original.progress(kind, facts);
        }
        slot.seq = slot.seq.max(seq);
    }

    /// Whoever had it lets go; returns who has it now.
    pub(crate) fn release(&self, id: TransferId) -> Option<InFlight> {
        let mut stripe = self.stripe(id).lock();
        let slot = stripe.get_mut(&id).expect("what somebody decides on is in the table");
        let next = slot.waiting.pop_front();
        slot.is_taken = next.is_some();
        if slot.is_needless() {
            stripe.remove(&id);
        }
        next
    }

    /// Holds that have expired by `now_ns` and have not ended, at most `limit` of them: others each time, until all have had
    /// their turn.
    pub(crate) fn due(&self, now_ns: u64, limit: usize) -> Vec<TransferId> {
        self.expiring.lock().due(now_ns, limit)
    }

    /// Forgets what the entries up to `seq` have brought, which the books hold.
    pub(crate) fn forget_through(&self, seq: u64) {
        for stripe in &self.stripes {
            stripe.lock().retain(|id, slot| {
                let stays = slot.is_taken || !slot.waiting.is_empty() || slot.seq > seq;
                if let (false, Some(Original::Hold { terms, .. })) = (stays, &slot.original) {
                    self.expiring.lock().holds.remove(&(terms.expires_at_ns, *id));
                }
                stays
            });
        }
    }

    /// Whether the hold is known here to have ended.
    pub(crate) fn has_ended(&self, id: TransferId) -> bool {
        let stripe = self.stripe(id).lock();
        stripe.get(&id).is_some_and(
            |slot| matches!(&slot.original, Some(Original::Hold { state, .. }) if *state != HoldState::Open),
        )
    }

    /// Nobody decides on anything or waits to.
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.stripes
            .iter()
            .all(|stripe| stripe.lock().values().all(|slot| !slot.is_taken && slot.waiting.is_empty()))
    }

    fn stripe(&self, id: TransferId) -> &Mutex<HashMap<TransferId, Slot, RandomState>> {
        // The high bits: the map inside takes its bucket from the low ones.
        &self.stripes[(self.hasher.hash_one(id) >> (64 - STRIPE_BITS)) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_due_have_their_turn_though_some_never_end() {
        let mut expiring = Expiring::default();
        let mut due = |now_ns, limit| -> Vec<u128> {
            expiring.holds = [(10, 1), (10, 2), (20, 3), (30, 4), (40, 5)]
                .map(|(expires_at_ns, id)| (expires_at_ns, TransferId(id)))
                .into();
            expiring.due(now_ns, limit).into_iter().map(|id| id.0).collect()
        };
        assert_eq!(due(9, 10), []);
        assert_eq!(due(30, 3), [1, 2, 3]);
        assert_eq!(due(30, 3), [4, 1, 2], "and from the beginning again");
        assert_eq!(due(30, 3), [3, 4, 1]);
        assert_eq!(due(40, 9), [2, 3, 4, 5, 1], "each once");
        assert_eq!(due(10, 9), [2, 1], "a smaller time, as no clock has it");
        assert_eq!(due(40, 1), [2]);
        assert_eq!(due(9, 1), [], "the last one that was asked for is not due");
    }
}
