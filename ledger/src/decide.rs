//! The decision: may this wallet take this operation, with what is still open?
//!
//! A wallet has its committed position and a set of open reservations, out and in, whose fate is not known
//! yet. So it *accepts* only what is valid under every outcome of them, and *refuses* only what is invalid
//! under every outcome; in between, the answer is *wait* (the escrow method, O'Neil 1986). Every check is a
//! bound that is monotone in what is open, so two evaluations are enough: one with everything that speaks
//! against it committed, one with everything that speaks for it.
//!
//! All checks come before all writes, in the documented order; this module writes nothing.

use crate::amount::AMOUNT_MAX;
use crate::status::{Refusal, RefusalDetail, Status};
use crate::transfer::Transfer;
use crate::wallet::{OverdraftLimit, Wallet, WalletFlags};

/// The sums of a wallet's reservations whose outcome is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpenReservations {
    /// What open operations would take out.
    pub debits: u128,
    /// What open operations would put in.
    pub credits: u128,
}

/// What a wallet says to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Valid under every outcome of what is open.
    Accept,
    /// It depends on what is open.
    Wait,
    /// Invalid under every outcome of what is open.
    Refuse(Refusal),
}

/// Decides on taking the transfer's amount out of `wallet` (`None`: there is no such wallet).
pub fn decide_debit(wallet: Option<&Wallet>, open: OpenReservations, transfer: &Transfer) -> Decision {
    let Some(wallet) = wallet else { return Decision::Refuse(Status::DebitWalletNotFound.into()) };
    let terms = &wallet.terms;
    if terms.asset != transfer.asset {
        return Decision::Refuse(Status::DebitWalletAssetMismatch.into());
    }
    if terms.flags.contains(WalletFlags::CLOSED) {
        return Decision::Refuse(Status::DebitWalletClosed.into());
    }
    if terms.flags.contains(WalletFlags::DEBIT_FROZEN) {
        return Decision::Refuse(Status::DebitWalletFrozen.into());
    }
    // The two bounds of what the wallet may owe, each with everything open for it and against it.
    let position = &wallet.position;
    let in_use = sum(&[position.debits_posted, position.debits_pending]);
    let overflow = Bound {
        at_best: sum(&[in_use, transfer.amount]) <= AMOUNT_MAX,
        at_worst: sum(&[in_use, open.debits, transfer.amount]) <= AMOUNT_MAX,
        refusal: Status::DebitWalletOverflow.into(),
    };
    let funds = match wallet.overdraft_limit() {
        OverdraftLimit::Unlimited => Bound::met(),
        OverdraftLimit::Limited(limit) => {
            let funds_at_worst = sum(&[position.credits_posted, limit]);
            let funds_at_best = sum(&[funds_at_worst, open.credits]);
            Bound {
                at_best: sum(&[in_use, transfer.amount]) <= funds_at_best,
                at_worst: sum(&[in_use, open.debits, transfer.amount]) <= funds_at_worst,
                refusal: Refusal {
                    status: Status::InsufficientFunds,
                    detail: RefusalDetail::InsufficientFunds {
                        available: funds_at_worst.saturating_sub(in_use),
                        required: transfer.amount,
                    },
                },
            }
        }
    };
    weigh([overflow, funds])
}

/// Decides on putting the transfer's amount into `wallet` (`None`: there is no such wallet).
pub fn decide_credit(wallet: Option<&Wallet>, open: OpenReservations, transfer: &Transfer) -> Decision {
    let Some(wallet) = wallet else { return Decision::Refuse(Status::CreditWalletNotFound.into()) };
    let terms = &wallet.terms;
    if terms.asset != transfer.asset {
        return Decision::Refuse(Status::CreditWalletAssetMismatch.into());
    }
    if terms.flags.contains(WalletFlags::CLOSED) {
        return Decision::Refuse(Status::CreditWalletClosed.into());
    }
    if terms.flags.contains(WalletFlags::CREDIT_FROZEN) {
        return Decision::Refuse(Status::CreditWalletFrozen.into());
    }
    let position = &wallet.position;
    let held = sum(&[position.credits_posted, position.credits_pending]);
    let overflow = Bound {
        at_best: sum(&[held, transfer.amount]) <= AMOUNT_MAX,
        at_worst: sum(&[held, open.credits, transfer.amount]) <= AMOUNT_MAX,
        refusal: Status::CreditWalletOverflow.into(),
    };
    let limit = if terms.balance_max == 0 {
        Bound::met()
    } else {
        let room_at_worst = sum(&[position.debits_posted, terms.balance_max]);
        let room_at_best = sum(&[room_at_worst, open.debits]);
        Bound {
            at_best: sum(&[held, transfer.amount]) <= room_at_best,
            at_worst: sum(&[held, open.credits, transfer.amount]) <= room_at_worst,
            refusal: Refusal {
                status: Status::LimitExceeded,
                detail: RefusalDetail::LimitExceeded { limit: terms.balance_max },
            },
        }
    };
    weigh([overflow, limit])
}

/// One bound, evaluated with everything open speaking for it and against it.
struct Bound {
    at_best: bool,
    at_worst: bool,
    refusal: Refusal,
}

impl Bound {
    /// A bound that is not there is always met.
    fn met() -> Self {
        Self { at_best: true, at_worst: true, refusal: Status::InternalError.into() }
    }
}

/// The first bound, in order, that is not surely met decides: broken under every outcome it refuses, else it waits.
fn weigh(bounds: [Bound; 2]) -> Decision {
    for bound in bounds {
        if bound.at_worst {
            continue;
        }
        let may_be_met = bound.at_best && !cfg!(bursar_broken = "hasty_refusal");
        return if may_be_met { Decision::Wait } else { Decision::Refuse(bound.refusal) };
    }
    Decision::Accept
}

/// A sum for comparison with a bound. It saturates, which keeps the comparison right: every bound that a sum
/// of amounts is compared with is itself below `u128::MAX` or saturated from more.
fn sum(amounts: &[u128]) -> u128 {
    amounts.iter().fold(0, |total: u128, &amount| total.saturating_add(amount))
}
