//! A journal folded into assets and wallets, one entry after another, without deciding anything again.

use crate::asset::Asset;
use crate::decide::{Circumstances, Decision, decide};
use crate::entry::Entry;
use crate::identity::{AssetId, ImportId, TransferId, WalletId};
use crate::order::{LEGS_MAX, Order, OrderKind, Pending, Reversal};
use crate::original::{Facts, HoldState, Original, expire, resolve};
use crate::route::{Effect, HoldTerms, Route};
use crate::status::{Refusal, RefusalDetail, Status};
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
    /// The imports that are closed, each with the entry that closed it and its time in nanoseconds since 1970.
    pub imports: BTreeMap<ImportId, (u64, u64)>,
    /// All holds there ever were, with what has become of them.
    pub holds: HashMap<TransferId, (HoldTerms, HoldState)>,
    /// What was moved by those orders of which anything was moved back, and how much of it was: [`Original::Moved`].
    pub reversed: HashMap<TransferId, Original>,
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
        if let Err(refusal) = entry.check_shape() {
            return fault(format!("is of a shape that is refused: {}", refusal.status));
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
                if self.imports.contains_key(&terms.import) {
                    return fault(format!(
                        "imports wallet {} after import {} is closed",
                        terms.id, terms.import
                    ));
                }
                self.wallets.insert(terms.id, Wallet::create(terms.clone(), seq, timestamp_ns));
            }
            Entry::ImportClosed(import) => {
                if self.imports.contains_key(import) {
                    return fault(format!("closes import {import} again"));
                }
                self.imports.insert(*import, (seq, timestamp_ns));
            }
            Entry::WalletChanged(change) => {
                match change.decide(self.wallets.get(&change.wallet), timestamp_ns) {
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
            Entry::OrderRefused { order: Order::Transfer(_), .. } => {
                return fault("refuses a transfer as if it were an order of another kind".to_owned());
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
        if let Entry::Pended(Pending { transfer, .. }) = entry
            && self.holds.contains_key(&transfer.id)
        {
            return Err(format!("makes the hold {} again", transfer.id));
        }
        if let Some((id, _, facts)) = entry.resolves() {
            self.check_resolution(timestamp_ns, id, &facts, entry)?;
        }
        let route = entry.route();
        let (group_id, _) = entry.group_and_code();
        for part in route.parts().iter().filter(|part| !matches!(part.effect, Effect::Resolve { .. })) {
            let takes_part =
                |wallet: &Wallet| wallet.takes_part_in(group_id, |id| self.imports.contains_key(&id));
            if !self.wallets.get(&part.wallet).is_none_or(takes_part) {
                return Err(format!("moves money of wallet {}, which is being imported", part.wallet));
            }
        }
        match self.route_refusal(timestamp_ns, &route) {
            Some(refusal) => Err(format!("does what is to be refused: {}", refusal.status)),
            None => Ok(()),
        }
    }

    /// Whether the earlier order was as the entry says, and could come to this.
    fn check_resolution(
        &self,
        timestamp_ns: u64,
        id: TransferId,
        facts: &Facts,
        entry: &Entry,
    ) -> Result<(), String> {
        let mut original = self.original(id);
        // What was moved is kept here only once something was moved back of it: the first to do so is taken at its word.
        if let (None, Facts::Reversed(facts)) = (&original, facts) {
            original =
                Some(facts.original().ok_or_else(|| format!("moves back legs that none has: {facts:?}"))?);
        }
        let expected = match entry.clone().into_order() {
            Some((order, _)) => resolve(&order, original.as_ref(), timestamp_ns)
                .map_err(|unresolved| format!("does what is to be refused: {}", unresolved.refusal.status))?,
            None => expire(id, original.as_ref(), timestamp_ns)
                .ok_or_else(|| format!("lets {id} expire, which is no hold that has expired"))?,
        };
        if expected.facts.as_ref() != Some(facts) {
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
        if let Entry::Pended(pending) = entry
            && let Original::Hold { terms, state } = Original::of_pending(pending, timestamp_ns)
        {
            self.holds.insert(pending.transfer.id, (terms, state));
        }
        if let Some((id, kind, facts)) = entry.resolves() {
            self.progress(id, kind, &facts);
        }
    }

    /// What becomes of the earlier order by an entry that was checked.
    fn progress(&mut self, id: TransferId, kind: OrderKind, facts: &Facts) {
        let original = self.original(id).or_else(|| match facts {
            Facts::Reversed(facts) => facts.original(),
            Facts::Hold(_) => None,
        });
        let mut original = original.expect("the entry was checked against it");
        original.progress(kind, facts);
        match original {
            Original::Hold { terms, state } => drop(self.holds.insert(id, (terms, state))),
            moved => drop(self.reversed.insert(id, moved)),
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
                // There may be an order of that id which is no hold: those are not kept here.
                if hold.is_none() && *refusal == Status::NotPending.into() {
                    return Ok(());
                }
                resolve(order, hold.as_ref(), timestamp_ns).err().map(|unresolved| unresolved.refusal)
            }
            Order::Reversal(reversal) => match self.original(reversal.reverses_id) {
                Some(original) => match resolve(order, Some(&original), timestamp_ns) {
                    Ok(resolution) => self.route_refusal(timestamp_ns, &resolution.route),
                    Err(unresolved) => Some(unresolved.refusal),
                },
                None if may_be_refused(reversal, refusal) => return Ok(()),
                None => return Err(format!("refuses a reversal as none is refused: {refusal:?}")),
            },
        };
        match expected {
            Some(expected) if is_same(&expected, refusal) => Ok(()),
            Some(expected) if expected.status == refusal.status => {
                Err(format!("refuses an order with {:?}, and not with {:?}", refusal.detail, expected.detail))
            }
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

    /// Whether the wallet is part of an import that is not closed.
    pub fn is_importing(&self, wallet: &Wallet) -> bool {
        wallet.is_importing(|import| self.imports.contains_key(&import))
    }

    fn original(&self, id: TransferId) -> Option<Original> {
        let hold = self.holds.get(&id).map(|&(terms, state)| Original::Hold { terms, state });
        hold.or_else(|| self.reversed.get(&id).cloned())
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

/// Whether a reversal can have been refused so, of which nothing was moved back before: it is not known here whether and
/// what the original had moved. What it had moved, it had moved between wallets that there are, in their asset.
fn may_be_refused(reversal: &Reversal, refusal: &Refusal) -> bool {
    let is_partial = reversal.amount != 0;
    match (refusal.status, refusal.detail) {
        (Status::TransactionReversedInFullOnly, RefusalDetail::None) => is_partial,
        (Status::ExceedsOriginalAmount, RefusalDetail::AmountExceeded { left }) => {
            left != 0 && left < reversal.amount
        }
        (Status::InsufficientFunds, RefusalDetail::InsufficientFunds { available, required }) => {
            available < required && (!is_partial || required == reversal.amount)
        }
        (Status::LegRefused, RefusalDetail::LegRefused { index, status }) => {
            let limits = [Status::InsufficientFunds, Status::LimitExceeded];
            !is_partial
                && usize::from(index) < LEGS_MAX
                && (limits.contains(&status) || stops_known_wallet(status))
        }
        (Status::LimitExceeded, RefusalDetail::LimitExceeded { .. })
        | (Status::OriginalNotFound | Status::OriginalNotReversible, RefusalDetail::None) => true,
        (status, RefusalDetail::None) => stops_known_wallet(status),
        _ => false,
    }
}

/// Whether a wallet that exists, in the right asset, can say so without a word more.
fn stops_known_wallet(status: Status) -> bool {
    matches!(
        status,
        Status::DebitWalletClosed
            | Status::DebitWalletFrozen
            | Status::DebitWalletOverflow
            | Status::CreditWalletClosed
            | Status::CreditWalletFrozen
            | Status::CreditWalletOverflow
    )
}

/// Whether a refusal that was decided with others open is the one that is expected with nothing open. What was available
/// is told as the wallet knew it then; that it was too little holds in any case.
fn is_same(expected: &Refusal, told: &Refusal) -> bool {
    let same_detail = match (expected.detail, told.detail) {
        (
            RefusalDetail::InsufficientFunds { required: expected, .. },
            RefusalDetail::InsufficientFunds { available, required },
        ) => required == expected && available < required,
        (expected, told) => expected == told,
    };
    expected.status == told.status && same_detail
}
