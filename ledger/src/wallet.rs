//! Wallets: who holds how much of what, and what may be done with it.

use crate::amount::{AMOUNT_MAX, difference};
use crate::change::{Setting, WalletChange};
use crate::holds::{Hold, Holds};
use crate::identity::{AssetId, ImportId, WalletId};
use crate::order::Side;
use crate::route::{Effect, expires_at_ns};
use crate::status::{Refusal, Status};
use std::collections::BTreeSet;

/// The longest owner given as bytes.
pub const OWNER_LENGTH_MAX: usize = 64;

/// The most metadata a wallet may carry, in bytes.
pub const WALLET_METADATA_MAX: usize = 1024;

/// Whose wallet it is, in the client's terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A number or a UUID; 0 for none.
    Number(u128),
    /// Any bytes, at most [`OWNER_LENGTH_MAX`].
    Bytes(Box<[u8]>),
}

/// How far below zero a wallet may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverdraftLimit {
    /// Down to minus this; 0 for a wallet that may only spend what it has.
    Limited(u128),
    /// Without limit.
    Unlimited,
}

/// What may be done with a wallet, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct WalletFlags(u16);

impl WalletFlags {
    /// New transfers may not take from it.
    pub const DEBIT_FROZEN: Self = Self(1 << 0);
    /// New transfers may not add to it.
    pub const CREDIT_FROZEN: Self = Self(1 << 1);
    /// Done with: neither debits nor credits.
    pub const CLOSED: Self = Self(1 << 2);
    /// A house, bank or fee wallet: may go negative without limit.
    pub const SYSTEM: Self = Self(1 << 3);

    /// Each flag with its name, in the order of their bits.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::DEBIT_FROZEN, "debit_frozen"),
        (Self::CREDIT_FROZEN, "credit_frozen"),
        (Self::CLOSED, "closed"),
        (Self::SYSTEM, "system"),
    ];

    /// The flags as they stand on the wire and in the journal. Unknown bits are kept, and refused by
    /// [`NewWallet::check_shape`].
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits on the wire and in the journal.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Whether none is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

/// A wallet as the client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWallet {
    /// Chosen by the client; not zero.
    pub id: WalletId,
    /// Whose it is.
    pub owner: Owner,
    /// What it is denominated in.
    pub asset: AssetId,
    /// What kind of wallet this is to the client; any number.
    pub code: u16,
    /// Frozen sides, or a system wallet. `closed` is refused: nobody opens a closed wallet.
    pub flags: WalletFlags,
    /// How far below zero it may go.
    pub overdraft_limit: OverdraftLimit,
    /// The most it may hold; 0 for no limit.
    pub balance_max: u128,
    /// The client's own bytes, at most [`WALLET_METADATA_MAX`].
    pub metadata: Box<[u8]>,
    /// Under which import it is created; [`ImportId::NONE`] if under none. Until that is closed, it is not shown, and takes part only in
    /// orders of the import's group.
    pub import: ImportId,
}

impl NewWallet {
    /// The checks that need no state, in the documented order.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        if self.id.0 == 0 {
            return Err(Status::IdMustNotBeZero.into());
        }
        let settable = WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN).with(WalletFlags::SYSTEM);
        if !settable.contains(self.flags) {
            return Err(Status::ReservedFlag.into());
        }
        let overdraft_too_large =
            matches!(self.overdraft_limit, OverdraftLimit::Limited(limit) if limit > AMOUNT_MAX);
        if overdraft_too_large || self.balance_max > AMOUNT_MAX {
            return Err(Status::LimitTooLarge.into());
        }
        if matches!(&self.owner, Owner::Bytes(bytes) if bytes.len() > OWNER_LENGTH_MAX) {
            return Err(Status::OwnerTooLarge.into());
        }
        if self.metadata.len() > WALLET_METADATA_MAX {
            return Err(Status::MetadataTooLarge.into());
        }
        Ok(())
    }

    /// What a second creation of the same id is answered: [`Status::Exists`], or the first field that differs.
    pub fn compare(&self, again: &Self) -> Status {
        if self.owner != again.owner {
            return Status::ExistsWithDifferentOwner;
        }
        if self.asset != again.asset {
            return Status::ExistsWithDifferentAsset;
        }
        if self.code != again.code {
            return Status::ExistsWithDifferentCode;
        }
        if self.flags != again.flags {
            return Status::ExistsWithDifferentFlags;
        }
        if self.overdraft_limit != again.overdraft_limit {
            return Status::ExistsWithDifferentOverdraftLimit;
        }
        if self.balance_max != again.balance_max {
            return Status::ExistsWithDifferentBalanceMax;
        }
        if self.metadata != again.metadata {
            return Status::ExistsWithDifferentMetadata;
        }
        if self.import != again.import {
            return Status::ExistsWithDifferentImport;
        }
        Status::Exists
    }
}

/// The four counters of a wallet. Each only ever grows, but for the pending ones, which shrink as holds end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Held, to be taken.
    pub debits_pending: u128,
    /// Taken.
    pub debits_posted: u128,
    /// Held elsewhere, to be added.
    pub credits_pending: u128,
    /// Added.
    pub credits_posted: u128,
}

impl Position {
    /// Credits posted − debits posted.
    pub fn balance(&self) -> i128 {
        difference(self.credits_posted, self.debits_posted)
    }

    /// What is held on one side.
    pub fn pending(&self, side: Side) -> u128 {
        match side {
            Side::Debit => self.debits_pending,
            Side::Credit => self.credits_pending,
        }
    }

    /// Applies what was decided before: this cannot fail.
    pub fn apply(&mut self, effect: &Effect) {
        match *effect {
            Effect::Move { debits, credits } => {
                self.debits_posted = add_decided(self.debits_posted, debits);
                self.credits_posted = add_decided(self.credits_posted, credits);
            }
            Effect::Hold { side, amount, .. } => {
                let pending = self.pending_mut(side);
                *pending = add_decided(*pending, amount);
            }
            Effect::Resolve { side, held, captured, .. } => {
                let pending = self.pending_mut(side);
                *pending = pending.checked_sub(held).expect("what is held is in the sum of all that is held");
                let posted = match side {
                    Side::Debit => &mut self.debits_posted,
                    Side::Credit => &mut self.credits_posted,
                };
                *posted = add_decided(*posted, captured);
            }
        }
    }

    fn pending_mut(&mut self, side: Side) -> &mut u128 {
        match side {
            Side::Debit => &mut self.debits_pending,
            Side::Credit => &mut self.credits_pending,
        }
    }
}

/// A wallet as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// What holds for it now.
    pub terms: NewWallet,
    /// What it was created with, if that has been changed since: what a retry of its creation is compared with.
    pub created_as: Option<Box<NewWallet>>,
    /// Where it stands.
    pub position: Position,
    /// The holds from it and for it that have not ended.
    pub holds: Holds,
    /// How many entries have changed it, its creation included.
    pub version: u64,
    /// The newest entry that changed it.
    pub last_seq: u64,
    /// The entry that created it.
    pub created_seq: u64,
    /// The time of that entry, in nanoseconds since 1970.
    pub created_at_ns: u64,
}

impl Wallet {
    /// The wallet that the entry `seq` created.
    pub fn create(terms: NewWallet, seq: u64, timestamp_ns: u64) -> Self {
        Self {
            terms,
            created_as: None,
            position: Position::default(),
            holds: Holds::default(),
            version: 1,
            last_seq: seq,
            created_seq: seq,
            created_at_ns: timestamp_ns,
        }
    }

    /// What it was created with.
    pub fn created_terms(&self) -> &NewWallet {
        self.created_as.as_deref().unwrap_or(&self.terms)
    }

    /// The wallet as it is shown: without its holds, of which there may be very many.
    #[must_use]
    pub fn without_holds(&self) -> Self {
        Self {
            terms: self.terms.clone(),
            created_as: self.created_as.clone(),
            position: self.position,
            holds: Holds::default(),
            version: self.version,
            last_seq: self.last_seq,
            created_seq: self.created_seq,
            created_at_ns: self.created_at_ns,
        }
    }

    /// What can be spent at `now_ns`, negative when the wallet is below its limit; `None` when there is no limit. A hold
    /// that has expired by then does not count.
    ///
    /// Saturates at the ends of `i128` (a huge balance with a huge limit): it is shown, never calculated with.
    pub fn available(&self, now_ns: u64) -> Option<i128> {
        let OverdraftLimit::Limited(limit) = self.overdraft_limit() else { return None };
        let expired = self.holds.expired(Side::Debit, now_ns, &BTreeSet::new());
        let pending = difference(expired, self.position.debits_pending);
        let limit = i128::try_from(limit).unwrap_or(i128::MAX);
        Some(self.position.balance().saturating_add(pending).saturating_add(limit))
    }

    /// The limit in force: a system wallet has none.
    pub fn overdraft_limit(&self) -> OverdraftLimit {
        if self.terms.flags.contains(WalletFlags::SYSTEM) {
            OverdraftLimit::Unlimited
        } else {
            self.terms.overdraft_limit
        }
    }

    /// Whether it is part of an import that is not closed.
    pub fn is_importing(&self, is_closed: impl FnOnce(ImportId) -> bool) -> bool {
        self.terms.import != ImportId::NONE && !is_closed(self.terms.import)
    }

    /// Whether it takes part in an order of that group: an importing wallet only in those of its import.
    pub fn takes_part_in(&self, group_id: u128, is_closed: impl FnOnce(ImportId) -> bool) -> bool {
        group_id == self.terms.import.0 || !self.is_importing(is_closed)
    }

    /// Applies what the entry `seq` does to it. The decision was made before: this cannot fail.
    pub fn apply(&mut self, effect: &Effect, seq: u64, timestamp_ns: u64) {
        match *effect {
            Effect::Move { .. } => {}
            Effect::Hold { id, side, amount, timeout_s } => {
                let expires_at_ns = expires_at_ns(timestamp_ns, timeout_s);
                self.holds.insert(id, Hold { side, amount, expires_at_ns, seq });
            }
            Effect::Resolve { id, side, held, .. } => {
                let ended = self.holds.remove(id);
                assert!(
                    ended.is_some_and(|hold| hold.side == side && hold.amount == held),
                    "entry {seq} ends the hold {id} of {held}, which is here as {ended:?}"
                );
            }
        }
        self.apply_to_position(effect, seq);
    }

    /// As [`Self::apply`], for a wallet whose holds are kept elsewhere.
    pub fn apply_to_position(&mut self, effect: &Effect, seq: u64) {
        self.position.apply(effect);
        self.touch(seq);
    }

    /// Applies a change of its settings, as the entry `seq` says. The decision was made before: this cannot fail.
    pub fn change(&mut self, change: &WalletChange, seq: u64) {
        if self.created_as.is_none() {
            self.created_as = Some(Box::new(self.terms.clone()));
        }
        match &change.setting {
            Setting::Limits { overdraft_limit, balance_max } => {
                self.terms.overdraft_limit = *overdraft_limit;
                self.terms.balance_max = *balance_max;
            }
            Setting::Flags { set, clear } => self.terms.flags = self.terms.flags.with(*set).without(*clear),
            Setting::Metadata(metadata) => self.terms.metadata.clone_from(metadata),
        }
        self.touch(seq);
    }

    /// Entries of one wallet may be applied in another order than they were journaled in (they commute), so
    /// the newest is kept.
    fn touch(&mut self, seq: u64) {
        self.version = self.version.checked_add(1).expect("a wallet has fewer than 2^64 entries");
        self.last_seq = self.last_seq.max(seq);
    }
}

/// A sum that was checked when it was decided on.
fn add_decided(counter: u128, amount: u128) -> u128 {
    let sum = counter.checked_add(amount).filter(|&sum| sum <= AMOUNT_MAX);
    sum.expect("what was decided keeps every counter below 2^127")
}
