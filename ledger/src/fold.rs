//! A journal folded into assets and wallets, one entry after another, without deciding anything again.

use crate::asset::Asset;
use crate::decide::{Decision, OpenReservations, decide_credit, decide_debit};
use crate::entry::Entry;
use crate::identity::{AssetId, WalletId};
use crate::status::Status;
use crate::transfer::Transfer;
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
            Entry::Transferred(transfer) => {
                if let Some(status) = self.refusal(transfer) {
                    return fault(format!("does a transfer that is to be refused: {status}"));
                }
                if let Some(wallet) = self.wallets.get_mut(&transfer.debit_wallet) {
                    wallet.debit(transfer.amount, seq);
                }
                if let Some(wallet) = self.wallets.get_mut(&transfer.credit_wallet) {
                    wallet.credit(transfer.amount, seq);
                }
            }
            Entry::TransferRefused { transfer, refusal } => match self.refusal(transfer) {
                Some(status) if status == refusal.status => {}
                Some(status) => {
                    return fault(format!("refuses a transfer as {}, and not as {status}", refusal.status));
                }
                None => {
                    return fault(format!("refuses a transfer that is to be done, as {}", refusal.status));
                }
            },
        }
        self.last_seq = seq;
        self.last_timestamp_ns = timestamp_ns;
        Ok(())
    }

    /// As what the transfer is to be refused, if it is. What was decided with others open holds with nothing open,
    /// whatever became of them.
    fn refusal(&self, transfer: &Transfer) -> Option<Status> {
        let none_open = OpenReservations::default();
        let debit = decide_debit(self.wallets.get(&transfer.debit_wallet), none_open, transfer);
        let credit = decide_credit(self.wallets.get(&transfer.credit_wallet), none_open, transfer);
        [debit, credit].into_iter().find_map(|decision| match decision {
            Decision::Refuse(refusal) => Some(refusal.status),
            Decision::Accept | Decision::Wait => None,
        })
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
