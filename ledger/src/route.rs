//! What an entry does to which wallet, and in which order its wallets are asked.
//!
//! Each distinct wallet of an order is visited once, with all that the order does to it: those that give first, then
//! those that only take, each group in the order of their ids. The last one commits.

use crate::identity::{AssetId, TransferId, WalletId};
use crate::order::{Leg, Side};
use crate::transfer::Transfer;
use std::collections::BTreeMap;

/// What an order does to one wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Money moves.
    Move {
        /// Taken out.
        debits: u128,
        /// Put in.
        credits: u128,
    },
    /// An amount is held.
    Hold {
        /// The order that holds it.
        id: TransferId,
        /// Whether it is to be taken or to be put in.
        side: Side,
        /// How much.
        amount: u128,
        /// The hold expires so many seconds after its entry; 0 for never.
        timeout_s: u32,
    },
    /// A hold ends: some of it moves, the rest is released.
    Resolve {
        /// The order that has held it.
        id: TransferId,
        /// Whether it was to be taken or to be put in.
        side: Side,
        /// How much was held.
        held: u128,
        /// How much of it moves; 0 if it was voided or has expired.
        captured: u128,
    },
}

/// How a refusal names the wallet that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The debit wallet of two.
    Debit,
    /// The credit wallet of two.
    Credit,
    /// A wallet of a transaction.
    Legs {
        /// Its first leg that takes out, if there is one.
        debit: Option<u8>,
        /// Its first leg that puts in, if there is one.
        credit: Option<u8>,
    },
}

/// An order's part at one wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which wallet.
    pub wallet: WalletId,
    /// The asset that it must be in.
    pub asset: AssetId,
    /// How it is named in a refusal.
    pub role: Role,
    /// What is done to it.
    pub effect: Effect,
}

impl Part {
    /// A one-phase transfer's, at one of its wallets.
    #[inline]
    pub fn of_transfer(transfer: &Transfer, side: Side) -> Self {
        let (wallet, role, debits, credits) = match side {
            Side::Debit => (transfer.debit_wallet, Role::Debit, transfer.amount, 0),
            Side::Credit => (transfer.credit_wallet, Role::Credit, 0, transfer.amount),
        };
        Part { wallet, asset: transfer.asset, role, effect: Effect::Move { debits, credits } }
    }
}

/// A hold as its entry has made it; what its end needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// From whom.
    pub debit_wallet: WalletId,
    /// For whom.
    pub credit_wallet: WalletId,
    /// In what.
    pub asset: AssetId,
    /// How much.
    pub amount: u128,
    /// When it stops counting, in nanoseconds since 1970; `u64::MAX` for never.
    pub expires_at_ns: u64,
}

/// The time at which a hold made at `timestamp_ns` expires; `u64::MAX` for never.
pub fn expires_at_ns(timestamp_ns: u64, timeout_s: u32) -> u64 {
    if timeout_s == 0 {
        return u64::MAX;
    }
    timestamp_ns.saturating_add(u64::from(timeout_s).saturating_mul(1_000_000_000))
}

/// Whether a hold has expired by `now_ns` that expires then.
pub fn has_expired(expires_at_ns: u64, now_ns: u64) -> bool {
    expires_at_ns <= now_ns && expires_at_ns != u64::MAX
}

/// The parts of an order in the order in which its wallets are asked. Two for most, so those need no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nothing is done to any wallet.
    None,
    /// One wallet.
    One(Part),
    /// A debit wallet and a credit wallet.
    Pair([Part; 2]),
    /// Any number of wallets.
    Many(Box<[Part]>),
}

impl Route {
    /// The parts, first to last.
    #[inline]
    pub fn parts(&self) -> &[Part] {
        match self {
            Route::None => &[],
            Route::One(part) => std::slice::from_ref(part),
            Route::Pair(parts) => parts,
            Route::Many(parts) => parts,
        }
    }

    /// A one-phase transfer's.
    #[inline]
    pub fn of_transfer(transfer: &Transfer) -> Self {
        Route::Pair([Side::Debit, Side::Credit].map(|side| Part::of_transfer(transfer, side)))
    }

    /// A hold's.
    pub fn of_pending(transfer: &Transfer, timeout_s: u32) -> Self {
        let (id, amount) = (transfer.id, transfer.amount);
        let part = |wallet, role, side| {
            let effect = Effect::Hold { id, side, amount, timeout_s };
            Part { wallet, asset: transfer.asset, role, effect }
        };
        Route::Pair([
            part(transfer.debit_wallet, Role::Debit, Side::Debit),
            part(transfer.credit_wallet, Role::Credit, Side::Credit),
        ])
    }

    /// The end of the hold `id`, of which `captured` moves.
    pub fn of_resolution(id: TransferId, hold: &HoldTerms, captured: u128) -> Self {
        let part = |wallet, role, side| {
            let effect = Effect::Resolve { id, side, held: hold.amount, captured };
            Part { wallet, asset: hold.asset, role, effect }
        };
        Route::Pair([
            part(hold.debit_wallet, Role::Debit, Side::Debit),
            part(hold.credit_wallet, Role::Credit, Side::Credit),
        ])
    }

    /// That of legs. A wallet's legs are taken together; those that give anything go first.
    pub fn of_legs(legs: &[Leg]) -> Self {
        let mut parts: BTreeMap<WalletId, Part> = BTreeMap::new();
        for (index, leg) in (0_u8..).zip(legs) {
            let part = parts.entry(leg.wallet).or_insert(Part {
                wallet: leg.wallet,
                asset: leg.asset,
                role: Role::Legs { debit: None, credit: None },
                effect: Effect::Move { debits: 0, credits: 0 },
            });
            if let (Role::Legs { debit, credit }, Effect::Move { debits, credits }) =
                (&mut part.role, &mut part.effect)
            {
                let (first, sum) = match leg.side {
                    Side::Debit => (debit, debits),
                    Side::Credit => (credit, credits),
                };
                first.get_or_insert(index);
                // Bounded by the check of the shape; of what was not checked, no sum counts.
                *sum = sum.saturating_add(leg.amount);
            }
        }
        let (givers, takers): (Vec<Part>, Vec<Part>) = parts
            .into_values()
            .partition(|part| matches!(part.effect, Effect::Move { debits, .. } if debits > 0));
        Route::Many(givers.into_iter().chain(takers).collect())
    }

    /// A reversal's: legs of a transaction are named by their index, the wallets of all others by their side.
    pub fn of_reversed(legs: &[Leg], of_transaction: bool) -> Self {
        match legs {
            [debit @ Leg { side: Side::Debit, .. }, credit @ Leg { side: Side::Credit, .. }]
                if !of_transaction =>
            {
                let part =
                    |leg: &Leg, role, effect| Part { wallet: leg.wallet, asset: leg.asset, role, effect };
                Route::Pair([
                    part(debit, Role::Debit, Effect::Move { debits: debit.amount, credits: 0 }),
                    part(credit, Role::Credit, Effect::Move { debits: 0, credits: credit.amount }),
                ])
            }
            _ => Self::of_legs(legs),
        }
    }
}
