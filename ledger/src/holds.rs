//! The open holds of a wallet: from it, and for it.
//!
//! A hold stops counting at its expiry, whenever its end is journaled; so they are kept in the order of their expiry,
//! too. Nothing here is decided, and nothing depends on what time it is but the sums that are asked for.

use crate::identity::TransferId;
use crate::order::Side;
use crate::route::has_expired;
use std::collections::{BTreeMap, BTreeSet};

/// An open hold, as one of its two wallets knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whether it is to be taken from this wallet or to be put into it.
    pub side: Side,
    /// How much.
    pub amount: u128,
    /// When it stops counting, in nanoseconds since 1970; `u64::MAX` for never.
    pub expires_at_ns: u64,
    /// The entry that made it.
    pub seq: u64,
}

/// The open holds of a wallet. Empty, they take no memory of their own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Holds {
    open: BTreeMap<TransferId, Hold>,
    /// Those that expire.
    by_expiry: BTreeSet<(u64, TransferId)>,
}

impl Holds {
    /// One more.
    ///
    /// # Panics
    /// If there is one of this id.
    pub fn insert(&mut self, id: TransferId, hold: Hold) {
        let before = self.open.insert(id, hold);
        assert!(before.is_none(), "the hold {id} is made once");
        if hold.expires_at_ns != u64::MAX {
            self.by_expiry.insert((hold.expires_at_ns, id));
        }
    }

    /// It has ended. `None` if there was none.
    pub fn remove(&mut self, id: TransferId) -> Option<Hold> {
        let hold = self.open.remove(&id)?;
        self.by_expiry.remove(&(hold.expires_at_ns, id));
        Some(hold)
    }

    /// The hold of this id.
    pub fn get(&self, id: TransferId) -> Option<&Hold> {
        self.open.get(&id)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (TransferId, &Hold)> {
        self.open.iter().map(|(&id, hold)| (id, hold))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The sum of what has expired by `now_ns` on one side, though its end is not journaled yet; but for holds `except`
    /// that are being captured or released at this moment, which may go either way.
    pub fn expired(&self, side: Side, now_ns: u64, except: &BTreeSet<TransferId>) -> u128 {
        let due = self.by_expiry.iter().take_while(|(expires_at_ns, _)| *expires_at_ns <= now_ns);
        due.filter(|(_, id)| !except.contains(id))
            .filter_map(|(_, id)| self.open.get(id))
            .filter(|hold| hold.side == side)
            .fold(0, |sum: u128, hold| sum.saturating_add(hold.amount))
    }

    /// The sum of those `among` these that have expired by `now_ns`, on one side.
    pub fn expired_among(&self, side: Side, now_ns: u64, among: &BTreeSet<TransferId>) -> u128 {
        let held = among.iter().filter_map(|&id| self.get(id));
        held.filter(|hold| hold.side == side && has_expired(hold.expires_at_ns, now_ns))
            .fold(0, |sum: u128, hold| sum.saturating_add(hold.amount))
    }

    /// Whether there is one that has not expired by `now_ns`.
    pub fn any_unexpired(&self, now_ns: u64) -> bool {
        self.open.len() > self.by_expiry.len() || self.next_expiry_ns(now_ns) != u64::MAX
    }

    /// When the next one expires after `now_ns`; `u64::MAX` if none does.
    pub fn next_expiry_ns(&self, now_ns: u64) -> u64 {
        let after = now_ns.checked_add(1).map(|after| (after, TransferId(0)));
        after
            .and_then(|after| self.by_expiry.range(after..).next())
            .map_or(u64::MAX, |(expires_at_ns, _)| *expires_at_ns)
    }
}
