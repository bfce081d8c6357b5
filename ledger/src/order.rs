//! Orders: everything that a client can ask to be done under an id of its own.
//!
//! A one-phase transfer, a hold (`pending`), its capture (`post`) or release (`void`), a reversal, or a transaction of
//! many legs. The id is the idempotency key, unique for ever over all kinds.

use crate::amount::AMOUNT_MAX;
use crate::identity::{AssetId, TransferId, WalletId};
use crate::status::{Refusal, Status};
use crate::transfer::{TRANSFER_METADATA_MAX, Transfer};
use std::collections::BTreeMap;
use std::fmt;

/// The fewest legs of a transaction.
pub const LEGS_MIN: usize = 2;

/// The most legs of a transaction.
pub const LEGS_MAX: usize = 64;

/// Which side of a wallet's account an amount goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Its balance goes down.
    Debit,
    /// Its balance goes up.
    Credit,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Debit => Self::Credit,
            Self::Credit => Self::Debit,
        }
    }
}

/// What the client notes on an order, for itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Memo {
    /// Ties orders together for the client (an order, a payout run); 0 for none.
    pub group_id: u128,
    /// What kind of order this is to the client (its chart of accounts); any number.
    pub code: u16,
    /// When it took effect in the client's world, in nanoseconds since 1970; 0 for "when it was journaled".
    pub effective_at_ns: u64,
    /// The client's own bytes, at most [`TRANSFER_METADATA_MAX`].
    pub metadata: Box<[u8]>,
}

/// A hold: the amount counts against what is available at once, and is captured, released or expires later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What is held, and between whom.
    pub transfer: Transfer,
    /// It expires so many seconds after the time of its journal entry; 0 for never.
    pub timeout_s: u32,
}

/// Captures a hold, in full or in part; the rest of it is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The idempotency key; not zero.
    pub id: TransferId,
    /// The hold.
    pub pending_id: TransferId,
    /// How much of it, in the asset's smallest unit; 0 for all.
    pub amount: u128,
    /// The client's notes.
    pub memo: Memo,
}

/// Releases a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// The idempotency key; not zero.
    pub id: TransferId,
    /// The hold.
    pub pending_id: TransferId,
    /// The client's notes.
    pub memo: Memo,
}

/// Moves back what an earlier transfer, capture or transaction has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The idempotency key; not zero.
    pub id: TransferId,
    /// What is reversed.
    pub reverses_id: TransferId,
    /// How much of it, in the asset's smallest unit; 0 for all that is left of it.
    pub amount: u128,
    /// The client's notes.
    pub memo: Memo,
}

/// One leg of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Whose balance changes.
    pub wallet: WalletId,
    /// Down or up.
    pub side: Side,
    /// The asset that the wallet must be in.
    pub asset: AssetId,
    /// In the asset's smallest unit; from 1 to 2^127 − 1.
    pub amount: u128,
}

/// Legs that are done all together or not at all, and that balance in each asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The idempotency key; not zero.
    pub id: TransferId,
    /// 2 to 64 of them.
    pub legs: Box<[Leg]>,
    /// The client's notes.
    pub memo: Memo,
}

/// What kind of journal entry of money it is. The numbers are part of the protocol and of what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OrderKind {
    /// One phase.
    Transfer = 1,
    /// A hold.
    Pending = 2,
    /// The capture of a hold.
    Post = 3,
    /// The release of a hold.
    Void = 4,
    /// The end of a hold that was neither captured nor released in time; made by the server alone.
    Expire = 5,
    /// The reversal of an earlier one.
    Reversal = 6,
    /// Many legs at once.
    Transaction = 7,
}

impl OrderKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Transfer,
        Self::Pending,
        Self::Post,
        Self::Void,
        Self::Expire,
        Self::Reversal,
        Self::Transaction,
    ];

    /// The number on the wire and on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name used in documents, on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Pending => "pending",
            Self::Post => "post",
            Self::Void => "void",
            Self::Expire => "expire",
            Self::Reversal => "reversal",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Anything that a client can ask to be done under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// One phase.
    Transfer(Transfer),
    /// A hold.
    Pending(Pending),
    /// The capture of a hold.
    Post(Post),
    /// The release of a hold.
    Void(Void),
    /// The reversal of an earlier order.
    Reversal(Reversal),
    /// Many legs at once.
    Transaction(Transaction),
}

impl Order {
    /// The idempotency key.
    #[inline]
    pub fn id(&self) -> TransferId {
        match self {
            Order::Transfer(transfer) => transfer.id,
            Order::Pending(pending) => pending.transfer.id,
            Order::Post(post) => post.id,
            Order::Void(void) => void.id,
            Order::Reversal(reversal) => reversal.id,
            Order::Transaction(transaction) => transaction.id,
        }
    }

    /// What kind of order it is.
    pub fn kind(&self) -> OrderKind {
        match self {
            Order::Transfer(_) => OrderKind::Transfer,
            Order::Pending(_) => OrderKind::Pending,
            Order::Post(_) => OrderKind::Post,
            Order::Void(_) => OrderKind::Void,
            Order::Reversal(_) => OrderKind::Reversal,
            Order::Transaction(_) => OrderKind::Transaction,
        }
    }

    /// The earlier order that it is about: a hold, or what is reversed.
    pub fn refers_to(&self) -> Option<TransferId> {
        match self {
            Order::Post(Post { pending_id, .. }) | Order::Void(Void { pending_id, .. }) => Some(*pending_id),
            Order::Reversal(reversal) => Some(reversal.reverses_id),
            Order::Transfer(_) | Order::Pending(_) | Order::Transaction(_) => None,
        }
    }

    /// The client's notes: group, code, effective time and metadata.
    pub fn notes(&self) -> (u128, u16, u64, &[u8]) {
        let memo = match self {
            Order::Transfer(transfer) | Order::Pending(Pending { transfer, .. }) => {
                let Transfer { group_id, code, effective_at_ns, metadata, .. } = transfer;
                return (*group_id, *code, *effective_at_ns, metadata);
            }
            Order::Post(post) => &post.memo,
            Order::Void(void) => &void.memo,
            Order::Reversal(reversal) => &reversal.memo,
            Order::Transaction(transaction) => &transaction.memo,
        };
        (memo.group_id, memo.code, memo.effective_at_ns, &memo.metadata)
    }

    /// The checks that need no state, in the documented order. A refusal here does not use up the id.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        if let Order::Transfer(transfer) | Order::Pending(Pending { transfer, .. }) = self {
            return transfer.check_shape();
        }
        if self.id().0 == 0 {
            return Err(Status::IdMustNotBeZero.into());
        }
        match self {
            Order::Post(Post { amount, .. }) | Order::Reversal(Reversal { amount, .. })
                if *amount > AMOUNT_MAX =>
            {
                return Err(Status::AmountTooLarge.into());
            }
            Order::Transaction(transaction) => check_legs(&transaction.legs)?,
            _ => {}
        }
        let (_, _, _, metadata) = self.notes();
        if metadata.len() > TRANSFER_METADATA_MAX {
            return Err(Status::MetadataTooLarge.into());
        }
        match self.refers_to() {
            Some(TransferId(0)) => Err(Status::ReferenceMustNotBeZero.into()),
            Some(id) if id == self.id() => Err(Status::RefersToItself.into()),
            _ => Ok(()),
        }
    }

    /// What a second order of the same id is answered: [`Status::Exists`], or the first field that differs. The kind is
    /// compared first of all.
    pub fn compare(&self, again: &Self) -> Status {
        match (self, again) {
            (Order::Transfer(first), Order::Transfer(again)) => return first.compare(again),
            (Order::Pending(first), Order::Pending(again)) => {
                if first.timeout_s != again.timeout_s {
                    return Status::ExistsWithDifferentTimeout;
                }
                return first.transfer.compare(&again.transfer);
            }
            (Order::Post(first), Order::Post(again)) => {
                if first.pending_id != again.pending_id {
                    return Status::ExistsWithDifferentPendingId;
                }
                if first.amount != again.amount {
                    return Status::ExistsWithDifferentAmount;
                }
            }
            (Order::Void(first), Order::Void(again)) => {
                if first.pending_id != again.pending_id {
                    return Status::ExistsWithDifferentPendingId;
                }
            }
            (Order::Reversal(first), Order::Reversal(again)) => {
                if first.reverses_id != again.reverses_id {
                    return Status::ExistsWithDifferentReversesId;
                }
                if first.amount != again.amount {
                    return Status::ExistsWithDifferentAmount;
                }
            }
            (Order::Transaction(first), Order::Transaction(again)) => {
                if first.legs != again.legs {
                    return Status::ExistsWithDifferentLegs;
                }
            }
            _ => return Status::ExistsWithDifferentKind,
        }
        self.compare_notes(again)
    }

    fn compare_notes(&self, again: &Self) -> Status {
        let (group_id, code, effective_at_ns, metadata) = self.notes();
        let (group_id_again, code_again, effective_at_ns_again, metadata_again) = again.notes();
        if group_id != group_id_again {
            return Status::ExistsWithDifferentGroupId;
        }
        if code != code_again {
            return Status::ExistsWithDifferentCode;
        }
        if effective_at_ns != effective_at_ns_again {
            return Status::ExistsWithDifferentEffectiveAt;
        }
        if metadata != metadata_again {
            return Status::ExistsWithDifferentMetadata;
        }
        Status::Exists
    }
}

/// How many, how much, that no wallet is in two assets, and that they balance in each asset.
pub(crate) fn check_legs(legs: &[Leg]) -> Result<(), Refusal> {
    if legs.len() < LEGS_MIN {
        return Err(Status::TooFewLegs.into());
    }
    if legs.len() > LEGS_MAX {
        return Err(Status::TooManyLegs.into());
    }
    // Of an asset: what is taken out, and what is put in.
    let mut sums: BTreeMap<AssetId, (u128, u128)> = BTreeMap::new();
    let mut wallets: BTreeMap<WalletId, AssetId> = BTreeMap::new();
    for leg in legs {
        if leg.amount == 0 {
            return Err(Status::AmountMustNotBeZero.into());
        }
        let (debits, credits) = sums.entry(leg.asset).or_default();
        let sum = match leg.side {
            Side::Debit => debits,
            Side::Credit => credits,
        };
        match sum.checked_add(leg.amount).filter(|&sum| sum <= AMOUNT_MAX) {
            Some(added) => *sum = added,
            None => return Err(Status::AmountTooLarge.into()),
        }
        if *wallets.entry(leg.wallet).or_insert(leg.asset) != leg.asset {
            return Err(Status::WalletInTwoAssets.into());
        }
    }
    if wallets.len() < LEGS_MIN {
        return Err(Status::WalletsMustDiffer.into());
    }
    if sums.values().any(|(debits, credits)| debits != credits) {
        return Err(Status::LegsDoNotBalance.into());
    }
    Ok(())
}
