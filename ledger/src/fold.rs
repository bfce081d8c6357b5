//! A journal folded into assets and wallets, one entry after another, without deciding anything again.

use crate::asset::Asset;
use crate::decide::{Circumstances, Decision, decide};
use crate::entry::Entry;
use crate::identity::{AssetId, TransferId, WalletId};
use crate::order::{Order, OrderKind, Pending};
use crate::original::{Facts, HoldState, Original, expire, resolve};
use crate::route::{HoldTerms, Route, expires_at_ns};
use crate::status::{Refusal, Status};
use crate::wallet::Wallet;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// The state that a journal amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// All assets, each with the entry that created it and its time in nanoseconds since 1970.
    pub assets: BTreeMap<AssetId, (Asset, u64, u64)>,
    /// All wallets.
    pub wallets: HashMap<WalletId, Wallet>,
    /// All holds there ever were, with what has become of them.
    pub holds: HashMap<TransferId, (HoldTerms, HoldState)>,
    /// How much of what was moved back, where anything was.
    pub reversed: HashMap<TransferId, u128>,
    /// The newest entry in it; 0 when empty.
    pub last_seq: u64,
    /// The time of that entry.
    pub last_timestamp_ns: u64,
}

/// What is wrong with a journal: an entry that nobody can have decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldFault {
    /// The entry.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: String,
}

impl fmt::Display for FoldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.seq, self.fault)
    }
}

impl std::error::Error for FoldFault {}

/// The totals of one asset over all its wallets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AssetTotals {
    /// How many wallets there are in the asset.
    pub wallets: u64,
    /// All that was taken out of wallets.
    pub debits_posted: u128,
    /// All that was put into wallets. Equal to the debits, to the unit, or money was made or lost.
    pub credits_posted: u128,
    /// All that is held to be taken.
    pub debits_pending: u128,
    /// All that is held to be put in.
    pub credits_pending: u128,
}

impl AssetTotals {
    /// Adds one wallet, counting modulo 2^128.
    ///
    /// A single counter stays below 2^127, their sum over all wallets need not. Wrapping keeps the comparison
    /// of debits with credits exact all the same: the two sides wrap alike.
    pub fn add(&mut self, wallet: &Wallet) {
        let position = &wallet.position;
        self.wallets = self.wallets.saturating_add(1);
        self.debits_posted = self.debits_posted.wrapping_add(position.debits_posted);
        self.credits_posted = self.credits_posted.wrapping_add(position.credits_posted);
        self.debits_pending = self.debits_pending.wrapping_add(position.debits_pending);
        self.credits_pending = self.credits_pending.wrapping_add(position.credits_pending);
    }

    /// Adds another part of the same asset.
    pub fn merge(&mut self, other: &Self) {
        self.wallets = self.wallets.saturating_add(other.wallets);
        self.debits_posted = self.debits_posted.wrapping_add(other.debits_posted);
        self.credits_posted = self.credits_posted.wrapping_add(other.credits_posted);
        self.debits_pending = self.debits_pending.wrapping_add(other.debits_pending);
        self.credits_pending = self.credits_pending.wrapping_add(other.credits_pending);
    }

    /// Whether nothing was made or lost.
    pub fn is_balanced(&self) -> bool {
        self.debits_posted == self.credits_posted && self.debits_pending == self.credits_pending
    }
}

impl Fold {
    /// Applies the next entry. A fault leaves the fold as it was.
    pub fn apply(&mut self, seq: u64, timestamp_ns: u64, entry: &Entry) -> Result<(), FoldFault> {
        let fault = |fault: String| Err(FoldFault { seq, fault });
        if Some(seq) != self.last_seq.checked_add(1) {
            return fault(format!("follows entry {}", self.last_seq));
        }
        if timestamp_ns <= self.last_timestamp_ns {
            return fault("is not later than the entry before it".to_owned());
        }
        match entry {
            Entry::AssetCreated(asset) => {
                if self.assets.contains_key(&asset.id) {
                    return fault(format!("creates asset {} again", asset.id));
                }
                self.assets.insert(asset.id, (asset.clone(), seq, timestamp_ns));
            }
            Entry::WalletCreated(terms) => {
                if !self.assets.contains_key(&terms.asset) {
                    return fault(format!("creates wallet {} in unknown asset {}", terms.id, terms.asset));
                }
                if self.wallets.contains_key(&terms.id) {
                    return fault(format!("creates wallet {} again", terms.id));
                }
                self.wallets.insert(terms.id, Wallet::create(terms.clone(), seq, timestamp_ns));
            }
            Entry::WalletChanged(change) => {
                match change.decide(self.wallets.get(&change.wallet)) {
                    Ok(Status::Created) => {}
                    other => return fault(format!("changes a wallet that is not to be changed: {other:?}")),
                }
                if let Some(wallet) = self.wallets.get_mut(&change.wallet) {
                    wallet.change(change, seq);
                }
            }
            Entry::Transferred(_)
            | Entry::Pended(_)
            | Entry::Posted { .. }
            | Entry::Voided { .. }
            | Entry::Expired { .. }
            | Entry::Reversed { .. }
            | Entry::TransactionDone(_) => {
                if let Err(wrong) = self.check_done(timestamp_ns, entry) {
                    return fault(wrong);
                }
                self.do_it(seq, timestamp_ns, entry);
            }
            Entry::TransferRefused { transfer, refusal } => {
                let order = Order::Transfer(transfer.clone());
                if let Err(wrong) = self.check_refused(timestamp_ns, &order, refusal) {
                    return fault(wrong);
                }
            }
            Entry::OrderRefused { order, refusal } => {
                if let Err(wrong) = self.check_refused(timestamp_ns, order, refusal) {
                    return fault(wrong);
                }
            }
        }
        self.last_seq = seq;
        self.last_timestamp_ns = timestamp_ns;
        Ok(())
    }

    /// Whether what was done was to be done. What was decided with others open holds with nothing open, whatever became
    /// of them.
    fn check_done(&self, timestamp_ns: u64, entry: &Entry) -> Result<(), String> {
        if let Some((id, kind, facts)) = entry.resolves() {
            self.check_resolution(timestamp_ns, id, kind, &facts, entry)?;
        }
        match self.route_refusal(timestamp_ns, &entry.route()) {
            Some(refusal) => Err(format!("does what is to be refused: {}", refusal.status)),
            None => Ok(()),
        }
    }

    /// Whether the earlier order was as the entry says, and could come to this.
    fn check_resolution(
        &self,
        timestamp_ns: u64,
        id: TransferId,
        kind: OrderKind,
        facts: &Facts,
        entry: &Entry,
    ) -> Result<(), String> {
        let expected = match (kind, facts) {
            (OrderKind::Expire, _) => expire(id, self.original(id).as_ref(), timestamp_ns)
                .ok_or_else(|| format!("lets {id} expire, which is no hold that has expired"))?,
            (OrderKind::Reversal, Facts::Reversed(facts)) => {
                // What was moved is not kept here; what was moved back of it is.
                let before = self.reversed.get(&id).copied().unwrap_or_default();
                let all = before.checked_add(facts.amount);
                if facts.amount == 0 || all.is_none_or(|all| all > facts.original_amount) {
                    return Err(format!(
                        "moves back {} of {id}, of which {before} of {} was moved back before",
                        facts.amount, facts.original_amount
                    ));
                }
                return Ok(());
            }
            _ => {
                let Some((order, None)) = entry.clone().into_order() else {
                    return Err("is no order that is done".to_owned());
                };
                resolve(&order, self.original(id).as_ref(), timestamp_ns)
                    .map_err(|refusal| format!("does what is to be refused: {}", refusal.status))?
            }
        };
        if expected.facts != *facts {
            return Err(format!("says that {id} was {facts:?}, and it was {:?}", expected.facts));
        }
        Ok(())
    }

    fn do_it(&mut self, seq: u64, timestamp_ns: u64, entry: &Entry) {
        for part in entry.route().parts() {
            if let Some(wallet) = self.wallets.get_mut(&part.wallet) {
                wallet.apply(&part.effect, seq, timestamp_ns);
            }
        }
        if let Entry::Pended(Pending { transfer, timeout_s }) = entry {
            let terms = HoldTerms {
                debit_wallet: transfer.debit_wallet,
                credit_wallet: transfer.credit_wallet,
                asset: transfer.asset,
                amount: transfer.amount,
                expires_at_ns: expires_at_ns(timestamp_ns, *timeout_s),
            };
            self.holds.insert(transfer.id, (terms, HoldState::Open));
        }
        match entry.resolves() {
            Some((id, kind, facts @ Facts::Hold(_))) => {
                if let Some(mut original) = self.original(id) {
                    original.progress(kind, &facts);
                    if let Original::Hold { terms, state } = original {
                        self.holds.insert(id, (terms, state));
                    }
                }
            }
            Some((id, _, Facts::Reversed(facts))) => {
                let reversed = self.reversed.entry(id).or_default();
                *reversed = reversed.saturating_add(facts.amount);
            }
            None => {}
        }
    }

    /// Whether what was refused was to be refused, and so.
    fn check_refused(&self, timestamp_ns: u64, order: &Order, refusal: &Refusal) -> Result<(), String> {
        let expected = match order {
            Order::Transfer(transfer) => self.route_refusal(timestamp_ns, &Route::of_transfer(transfer)),
            Order::Pending(Pending { transfer, timeout_s }) => {
                self.route_refusal(timestamp_ns, &Route::of_pending(transfer, *timeout_s))
            }
            Order::Transaction(transaction) => {
                self.route_refusal(timestamp_ns, &Route::of_legs(&transaction.legs))
            }
            Order::Post(_) | Order::Void(_) => {
                let hold = order.refers_to().and_then(|id| self.original(id));
                match (&hold, refusal.status) {
                    // There may be an order of that id which is no hold: those are not kept here.
                    (None, Status::PendingNotFound | Status::NotPending) => return Ok(()),
                    _ => resolve(order, hold.as_ref(), timestamp_ns).err(),
                }
            }
            // What was moved is not kept here.
            Order::Reversal(_) => return Ok(()),
        };
        match expected {
            Some(expected) if expected.status == refusal.status => Ok(()),
            Some(expected) => {
                Err(format!("refuses an order as {}, and not as {}", refusal.status, expected.status))
            }
            None => Err(format!("refuses an order that is to be done, as {}", refusal.status)),
        }
    }

    /// As what the first wallet of the route that refuses does so.
    fn route_refusal(&self, timestamp_ns: u64, route: &Route) -> Option<Refusal> {
        let settled = Circumstances::settled(timestamp_ns);
        route.parts().iter().find_map(|part| match decide(self.wallets.get(&part.wallet), part, &settled) {
            Decision::Refuse { refusal, .. } => Some(refusal),
            Decision::Accept | Decision::Wait => None,
        })
    }

    fn original(&self, id: TransferId) -> Option<Original> {
        self.holds.get(&id).map(|&(terms, state)| Original::Hold { terms, state })
    }

    /// The totals of each asset, over all wallets.
    pub fn totals(&self) -> BTreeMap<AssetId, AssetTotals> {
        let mut totals: BTreeMap<AssetId, AssetTotals> =
            self.assets.keys().map(|&asset| (asset, AssetTotals::default())).collect();
        for wallet in self.wallets.values() {
            totals.entry(wallet.terms.asset).or_default().add(wallet);
        }
        totals
    }
}
