//! What must have become of an order by all that was done about it: a hold is open until it was captured, released or has
//! expired; of what was moved, so much was moved back.

use crate::planned_order::{Asked, PlannedOrder};
use crate::workload::Workload;
use client::ledger::{HoldState, HoldTerms, Order, Outcome, Pending, Status};
use client::{Progress, TransferView};

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// What is wrong with what has become of the order with this number, if anything. `is_done` says of the later orders of its
/// script whether they were done; holds that are left to expire have expired.
pub(crate) fn difference(
    workload: &Workload,
    number: u64,
    view: &TransferView,
    is_done: impl Fn(u64) -> bool,
) -> Option<String> {
    let expected = expected(workload, number, view, is_done);
    (view.progress != expected).then(|| {
        format!("what became of {} is {:?}, it must be {expected:?}", workload.id(number), view.progress)
    })
}

fn expected(
    workload: &Workload,
    number: u64,
    view: &TransferView,
    is_done: impl Fn(u64) -> bool,
) -> Progress {
    if view.outcome.status != Status::Created {
        return Progress::None;
    }
    let plan = workload.plan(number);
    let last = number / workload.steps() * workload.steps() + workload.steps();
    let later: Vec<PlannedOrder> =
        (number + 1..last).filter(|&later| is_done(later)).map(|later| workload.plan(later)).collect();
    match plan.asked {
        Asked::Void { .. } | Asked::Reversal { .. } => Progress::None,
        Asked::Pending { transfer, .. } => {
            let end = later.iter().find_map(|later| match later.asked {
                Asked::Post { hold, .. } if hold == number => Some(HoldState::Posted),
                Asked::Void { hold } if hold == number => Some(HoldState::Voided),
                _ => None,
            });
            let expired = plan.is_left_to_expire().then_some(HoldState::Expired);
            let state = end.or(expired).unwrap_or(HoldState::Open);
            let order = workload.order(number, &plan.asked);
            Progress::Hold { terms: terms(&order, transfer.amount, &view.outcome), state }
        }
        Asked::Transfer(transfer) => moved(transfer.amount, number, &later),
        Asked::Post { hold, amount } => {
            let held = match workload.plan(hold).asked {
                Asked::Pending { transfer, .. } => transfer.amount,
                _ => 0,
            };
            moved(if amount == 0 { held } else { amount }, number, &later)
        }
        // All of it, or nothing.
        Asked::Transaction(_) => moved(1, number, &later),
    }
}

fn moved(amount: u64, number: u64, later: &[PlannedOrder]) -> Progress {
    let reversed = later.iter().fold(0, |reversed, later| match later.asked {
        Asked::Reversal { original, amount: 0 } if original == number => amount,
        Asked::Reversal { original, amount } if original == number => reversed + amount,
        _ => reversed,
    });
    Progress::Moved { amount: u128::from(amount), reversed: u128::from(reversed) }
}

fn terms(order: &Order, amount: u64, outcome: &Outcome) -> HoldTerms {
    let Order::Pending(Pending { transfer, timeout_s }) = order else { panic!("{order:?} holds nothing") };
    let expires_at_ns = match u64::from(*timeout_s) {
        0 => u64::MAX,
        seconds => outcome.timestamp_ns + seconds * NANOSECONDS_PER_SECOND,
    };
    HoldTerms {
        debit_wallet: transfer.debit_wallet,
        credit_wallet: transfer.credit_wallet,
        asset: transfer.asset,
        amount: u128::from(amount),
        expires_at_ns,
    }
}
