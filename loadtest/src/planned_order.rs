//! An order by the numbers of its wallets and of the orders that it is about: what is asked, how it must be answered, and
//! what it does to wallets. The harness's own account of it, which uses no rule of the ledger.

use client::ledger::{OrderKind, Refusal, Side, Status};
use std::sync::Arc;

/// The order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedOrder {
    pub(crate) asked: Asked,
    pub(crate) expected: Expected,
    /// If it is done.
    pub(crate) effect: Effect,
}

/// A transfer by the numbers of its wallets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct PlannedTransfer {
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) amount: u64,
}

/// A leg of a transaction by the number of its wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedLeg {
    pub(crate) wallet: u32,
    pub(crate) side: Side,
    pub(crate) amount: u64,
}

/// What is sent. Other orders are named by their numbers; an amount of 0 is all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Transfer(PlannedTransfer),
    Pending { transfer: PlannedTransfer, timeout_s: u32 },
    Post { hold: u64, amount: u64 },
    Void { hold: u64 },
    Reversal { original: u64, amount: u64 },
    Transaction(Arc<[PlannedLeg]>),
}

/// How it must be answered. Any order may also be answered that it is to be sent again ([`is_for_now`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Done, or refused for good by what others have left of a wallet.
    DoneOrRefused,
    /// Done: nothing that others do can stand against it.
    Done,
    /// Refused with exactly this.
    Refused(Refusal),
}

/// What it does to wallets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Move(PlannedTransfer),
    /// Held until it ends by another order.
    Hold(PlannedTransfer),
    /// Held until it has expired, which nothing prevents: then it is as if it had not been.
    HoldForNow,
    /// A hold ends: so much of it moves.
    Resolve {
        hold: PlannedTransfer,
        captured: u64,
    },
    MoveLegs(Arc<[PlannedLeg]>),
}

/// Whether a refusal holds for now only: the same id is to be sent again.
pub(crate) fn is_for_now(status: Status) -> bool {
    status == Status::DeadlineExceeded || status.number() >= Status::Contended.number()
}

impl Expected {
    /// Whether an order may be answered so.
    pub(crate) fn allows(self, answer: Refusal) -> bool {
        let Refusal { status, .. } = answer;
        if is_for_now(status) {
            return true;
        }
        match self {
            Self::Done => status == Status::Created,
            Self::DoneOrRefused => status == Status::Created || status.is_final(),
            Self::Refused(refusal) => answer == refusal,
        }
    }

    /// The same, of an answer of which only the status is known.
    pub(crate) fn allows_status(self, status: Status) -> bool {
        match self {
            Self::Refused(refusal) => status == refusal.status || is_for_now(status),
            Self::Done | Self::DoneOrRefused => self.allows(status.into()),
        }
    }

    /// Whether what follows on an order in its script may be sent once it was answered so: what is about a hold must not
    /// be sent if others stood against the hold.
    pub(crate) fn is_met_by(self, status: Status) -> bool {
        match self {
            Self::Done | Self::DoneOrRefused => status == Status::Created,
            Self::Refused(refusal) => status == refusal.status && status.is_final(),
        }
    }
}

impl PlannedOrder {
    /// One that others may stand against.
    pub(crate) fn may_be_refused(asked: Asked, effect: Effect) -> Self {
        Self { asked, expected: Expected::DoneOrRefused, effect }
    }

    /// One that is surely done.
    pub(crate) fn done(asked: Asked, effect: Effect) -> Self {
        Self { asked, expected: Expected::Done, effect }
    }

    /// One that is surely refused, with this.
    pub(crate) fn refused(asked: Asked, refusal: impl Into<Refusal>) -> Self {
        Self { asked, expected: Expected::Refused(refusal.into()), effect: Effect::Nothing }
    }

    /// A transfer that others may stand against.
    pub(crate) fn transfer(transfer: PlannedTransfer) -> Self {
        Self::may_be_refused(Asked::Transfer(transfer), Effect::Move(transfer))
    }

    pub(crate) fn kind(&self) -> OrderKind {
        match self.asked {
            Asked::Transfer(_) => OrderKind::Transfer,
            Asked::Pending { .. } => OrderKind::Pending,
            Asked::Post { .. } => OrderKind::Post,
            Asked::Void { .. } => OrderKind::Void,
            Asked::Reversal { .. } => OrderKind::Reversal,
            Asked::Transaction(_) => OrderKind::Transaction,
        }
    }

    /// Whether it is a hold that is left to expire.
    pub(crate) fn is_left_to_expire(&self) -> bool {
        self.effect == Effect::HoldForNow
    }

    /// The numbers of the wallets that it names itself.
    pub(crate) fn wallets(&self) -> Vec<u32> {
        match &self.asked {
            Asked::Transfer(transfer) | Asked::Pending { transfer, .. } => {
                vec![transfer.debit, transfer.credit]
            }
            Asked::Transaction(legs) => legs.iter().map(|leg| leg.wallet).collect(),
            Asked::Post { .. } | Asked::Void { .. } | Asked::Reversal { .. } => Vec::new(),
        }
    }
}

impl PlannedTransfer {
    /// The same the other way round.
    pub(crate) fn back(self, amount: u64) -> Self {
        Self { debit: self.credit, credit: self.debit, amount }
    }
}

/// The same legs the other way round.
pub(crate) fn legs_back(legs: &[PlannedLeg]) -> Arc<[PlannedLeg]> {
    legs.iter().map(|leg| PlannedLeg { side: leg.side.opposite(), ..*leg }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::ledger::RefusalDetail;

    #[test]
    fn an_order_may_be_answered_as_it_must_be_or_that_it_is_to_be_sent_again() {
        let refused = |available| Refusal {
            status: Status::InsufficientFunds,
            detail: RefusalDetail::InsufficientFunds { available, required: 7 },
        };
        let check = |expected: Expected, answer: Refusal, allowed: bool| {
            assert_eq!(expected.allows(answer), allowed, "{expected:?} {answer:?}");
        };
        for expected in [Expected::Done, Expected::DoneOrRefused, Expected::Refused(refused(0))] {
            check(expected, Status::Contended.into(), true);
            check(expected, Status::Unavailable.into(), true);
            check(expected, Status::DeadlineExceeded.into(), true);
            check(expected, Status::AmountMustNotBeZero.into(), false);
            check(expected, Status::ExistsWithDifferentAmount.into(), false);
        }
        check(Expected::Done, Status::Created.into(), true);
        check(Expected::Done, refused(0), false);
        check(Expected::DoneOrRefused, Status::Created.into(), true);
        check(Expected::DoneOrRefused, refused(3), true);
        check(Expected::Refused(refused(0)), refused(0), true);
        check(Expected::Refused(refused(0)), refused(1), false);
        check(Expected::Refused(refused(0)), Status::Created.into(), false);
        check(Expected::Refused(refused(0)), Status::DebitWalletFrozen.into(), false);
    }

    #[test]
    fn a_script_goes_on_only_after_what_its_next_order_is_about() {
        let refused = Expected::Refused(Status::PendingExpired.into());
        for (expected, status, goes_on) in [
            (Expected::Done, Status::Created, true),
            (Expected::DoneOrRefused, Status::Created, true),
            (Expected::DoneOrRefused, Status::InsufficientFunds, false),
            (Expected::DoneOrRefused, Status::Contended, false),
            (refused, Status::PendingExpired, true),
            (refused, Status::Contended, false),
            (refused, Status::Created, false),
            (Expected::Refused(Status::LegsDoNotBalance.into()), Status::LegsDoNotBalance, false),
        ] {
            assert_eq!(expected.is_met_by(status), goes_on, "{expected:?} {status}");
        }
    }
}
