//! What an order may do to the earlier one that it refers to: capture or release a hold, or reverse what was moved.
//!
//! Whoever calls makes sure that orders about one original are decided one after another.

use crate::identity::{AssetId, TransferId, WalletId};
use crate::order::{Leg, Order, OrderKind, Pending, Post, Reversal, Side, check_legs};
use crate::route::{HoldTerms, Route, expires_at_ns, has_expired};
use crate::status::{Refusal, RefusalDetail, Status};
use crate::transfer::Transfer;

/// How a hold has ended, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// Not yet, as far as the journal goes; it may have expired all the same.
    Open,
    /// It was captured, at least in part.
    Posted,
    /// It was released.
    Voided,
    /// It has expired.
    Expired,
}

impl HoldState {
    /// The name used in documents, on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Posted => "posted",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }
}

/// What an order can be about, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// A hold.
    Hold {
        /// As it was made.
        terms: HoldTerms,
        /// What has become of it.
        state: HoldState,
    },
    /// Money that was moved by a transfer or a capture, or by a transaction.
    Moved {
        /// What moves it back, in full: the debit and then the credit, or the legs of a transaction in their order.
        back: Box<[Leg]>,
        /// Whether it was a transaction, which is reversed in full only.
        is_transaction: bool,
        /// What was moved. Of a transaction: 1, which is all of it.
        amount: u128,
        /// How much of that was moved back already.
        reversed: u128,
    },
    /// There is such an order, and nothing can be done about it: it was refused, or is itself a void or a reversal.
    Neither,
}

/// What an order about an original comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What it does to wallets.
    pub route: Route,
    /// It holds only for an entry whose time is before this; `u64::MAX` if it holds for ever.
    pub valid_until_ns: u64,
    /// What the entry says of the original; `None` if it is about none.
    pub facts: Option<Facts>,
}

/// Why an order about an original cannot be done. It is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Why.
    pub refusal: Refusal,
    /// It holds only for an entry whose time is before this: then the hold expires. `u64::MAX` if it holds for ever.
    pub valid_until_ns: u64,
}

impl From<Status> for Unresolved {
    fn from(status: Status) -> Self {
        Self { refusal: status.into(), valid_until_ns: u64::MAX }
    }
}

/// What an entry repeats of the original, so that replay needs no other entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// The hold that was captured or released.
    Hold(HoldTerms),
    /// What moves back.
    Reversed(ReversedFacts),
}

/// What moves back by a reversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversedFacts {
    /// The legs: the debit and then the credit, or those of a transaction in their order.
    pub legs: Box<[Leg]>,
    /// Whether a transaction is reversed.
    pub of_transaction: bool,
    /// How much of the original this is; of a transaction 1, which is all.
    pub amount: u128,
    /// How much the original had moved.
    pub original_amount: u128,
}

impl ReversedFacts {
    /// What must have been moved, if this is what moves back of it, before anything moved back; `None` if nothing can have
    /// been.
    pub fn original(&self) -> Option<Original> {
        let Self { legs, of_transaction, original_amount, .. } = self;
        let (is_transaction, amount) = (*of_transaction, *original_amount);
        let back: Box<[Leg]> = if is_transaction {
            legs.clone()
        } else {
            legs.iter().map(|leg| Leg { amount, ..*leg }).collect()
        };
        let sides = back.iter().map(|leg| leg.side);
        let is_right = if is_transaction { amount == 1 } else { sides.eq([Side::Debit, Side::Credit]) };
        (is_right && check_legs(&back).is_ok()).then_some(Original::Moved {
            back,
            is_transaction,
            amount,
            reversed: 0,
        })
    }
}

impl Original {
    /// What moved by a transfer or a capture.
    pub fn moved(debit_wallet: WalletId, credit_wallet: WalletId, asset: AssetId, amount: u128) -> Self {
        Original::Moved {
            back: back(debit_wallet, credit_wallet, asset, amount),
            is_transaction: false,
            amount,
            reversed: 0,
        }
    }

    /// A hold that was made at `timestamp_ns`.
    pub fn of_pending(pending: &Pending, timestamp_ns: u64) -> Self {
        let Transfer { debit_wallet, credit_wallet, asset, amount, .. } = pending.transfer;
        let expires_at_ns = expires_at_ns(timestamp_ns, pending.timeout_s);
        let terms = HoldTerms { debit_wallet, credit_wallet, asset, amount, expires_at_ns };
        Original::Hold { terms, state: HoldState::Open }
    }

    /// What moved by a transaction.
    pub fn transaction(legs: &[Leg]) -> Self {
        let back = legs.iter().map(|leg| Leg { side: leg.side.opposite(), ..*leg });
        Original::Moved { back: back.collect(), is_transaction: true, amount: 1, reversed: 0 }
    }

    /// The original after the order that was resolved by `facts` is done.
    pub fn progress(&mut self, kind: OrderKind, facts: &Facts) {
        match (self, facts) {
            (Original::Hold { state, .. }, Facts::Hold(_)) => {
                *state = match kind {
                    OrderKind::Post => HoldState::Posted,
                    OrderKind::Void => HoldState::Voided,
                    _ => HoldState::Expired,
                };
            }
            (Original::Moved { reversed, .. }, Facts::Reversed(facts)) => {
                *reversed = reversed.checked_add(facts.amount).expect("never more than the original was");
            }
            (original, facts) => panic!("{original:?} cannot have been resolved as {facts:?}"),
        }
    }
}

fn back(debit: WalletId, credit: WalletId, asset: AssetId, amount: u128) -> Box<[Leg]> {
    let leg = |wallet, side| Leg { wallet, side, asset, amount };
    Box::new([leg(credit, Side::Debit), leg(debit, Side::Credit)])
}

/// Decides on an order about `original` (`None`: there is no such order).
pub fn resolve(order: &Order, original: Option<&Original>, now_ns: u64) -> Result<Resolution, Unresolved> {
    match order {
        Order::Post(post) => resolve_post(post, original, now_ns),
        Order::Void(void) => {
            let terms = open_hold(original, now_ns)?;
            Ok(resolution(void.pending_id, terms, 0))
        }
        Order::Reversal(reversal) => resolve_reversal(reversal, original),
        Order::Transfer(_) | Order::Pending(_) | Order::Transaction(_) => {
            panic!("a {} refers to no other order", order.kind())
        }
    }
}

/// The end of a hold that was neither captured nor released in time; `None` if it is not to end so, or not yet.
pub fn expire(pending_id: TransferId, original: Option<&Original>, now_ns: u64) -> Option<Resolution> {
    let Some(Original::Hold { terms, state: HoldState::Open }) = original else { return None };
    if !has_expired(terms.expires_at_ns, now_ns) {
        return None;
    }
    let route = Route::of_resolution(pending_id, terms, 0);
    Some(Resolution { route, valid_until_ns: u64::MAX, facts: Some(Facts::Hold(*terms)) })
}

fn resolve_post(post: &Post, original: Option<&Original>, now_ns: u64) -> Result<Resolution, Unresolved> {
    let terms = open_hold(original, now_ns)?;
    if post.amount > terms.amount {
        let refusal = exceeded(Status::ExceedsPendingAmount, terms.amount);
        return Err(Unresolved { refusal, valid_until_ns: terms.expires_at_ns });
    }
    let captured = if post.amount == 0 { terms.amount } else { post.amount };
    Ok(resolution(post.pending_id, terms, captured))
}

fn resolution(pending_id: TransferId, terms: &HoldTerms, captured: u128) -> Resolution {
    Resolution {
        route: Route::of_resolution(pending_id, terms, captured),
        valid_until_ns: terms.expires_at_ns,
        facts: Some(Facts::Hold(*terms)),
    }
}

fn exceeded(status: Status, left: u128) -> Refusal {
    Refusal { status, detail: RefusalDetail::AmountExceeded { left } }
}

fn open_hold(original: Option<&Original>, now_ns: u64) -> Result<&HoldTerms, Unresolved> {
    match original {
        None => Err(Status::PendingNotFound.into()),
        Some(Original::Moved { .. } | Original::Neither) => Err(Status::NotPending.into()),
        Some(Original::Hold { terms, state }) => match state {
            HoldState::Posted => Err(Status::PendingAlreadyPosted.into()),
            HoldState::Voided => Err(Status::PendingAlreadyVoided.into()),
            HoldState::Expired => Err(Status::PendingExpired.into()),
            HoldState::Open if has_expired(terms.expires_at_ns, now_ns) => Err(Status::PendingExpired.into()),
            HoldState::Open => Ok(terms),
        },
    }
}

fn resolve_reversal(reversal: &Reversal, original: Option<&Original>) -> Result<Resolution, Unresolved> {
    let (back, is_transaction, amount, reversed) = match original {
        None => return Err(Status::OriginalNotFound.into()),
        Some(Original::Hold { .. } | Original::Neither) => return Err(Status::OriginalNotReversible.into()),
        Some(Original::Moved { back, is_transaction, amount, reversed }) => {
            (back, *is_transaction, *amount, *reversed)
        }
    };
    let left = amount.saturating_sub(reversed);
    if left == 0 {
        return Err(Status::OriginalAlreadyReversed.into());
    }
    if is_transaction && reversal.amount != 0 {
        return Err(Status::TransactionReversedInFullOnly.into());
    }
    if reversal.amount > left {
        let refusal = exceeded(Status::ExceedsOriginalAmount, left);
        return Err(Unresolved { refusal, valid_until_ns: u64::MAX });
    }
    let moved = if reversal.amount == 0 { left } else { reversal.amount };
    let legs: Box<[Leg]> = if is_transaction {
        back.clone()
    } else {
        back.iter().map(|leg| Leg { amount: moved, ..*leg }).collect()
    };
    Ok(Resolution {
        route: Route::of_reversed(&legs, is_transaction),
        valid_until_ns: u64::MAX,
        facts: Some(Facts::Reversed(ReversedFacts {
            legs,
            of_transaction: is_transaction,
            amount: moved,
            original_amount: amount,
        })),
    })
}
