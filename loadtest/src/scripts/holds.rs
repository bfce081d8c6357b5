//! Holds and their ends: captured in full or in part, released, or left to expire.

use crate::planned_order::{Asked, Effect, PlannedOrder, PlannedTransfer};
use crate::scripts::{Casting, Script};
use rand::Rng;

/// How holds end, of all; the rest is left to expire.
const CAPTURED_SHARE: f64 = 0.45;
const CAPTURED_IN_PART_SHARE: f64 = 0.25;
const RELEASED_SHARE: f64 = 0.22;

/// How many of those that are captured in full have the amount written out.
const AMOUNT_WRITTEN_SHARE: f64 = 0.5;

/// When holds expire that are left to expire. All others never do: what expires long after a run would change wallets
/// under a later one.
pub(crate) const TIMEOUT_S_MAX: u32 = 2;

/// A hold and its end.
pub(crate) fn script(mut cast: Casting<'_>) -> Script {
    let transfer = cast.transfer();
    let chance = cast.chance();
    if chance >= CAPTURED_SHARE + CAPTURED_IN_PART_SHARE + RELEASED_SHARE {
        let timeout_s = cast.random.random_range(1..=TIMEOUT_S_MAX);
        let asked = Asked::Pending { transfer, timeout_s };
        return Script::of(PlannedOrder::may_be_refused(asked, Effect::HoldForNow));
    }
    let held = Script::of(hold(transfer));
    let number = cast.number(0);
    if chance < CAPTURED_SHARE {
        let written = cast.chance() < AMOUNT_WRITTEN_SHARE;
        held.then(capture(number, transfer, if written { transfer.amount } else { 0 }))
    } else if chance < CAPTURED_SHARE + CAPTURED_IN_PART_SHARE {
        let amount = cast.random.random_range(1..=transfer.amount);
        held.then(capture(number, transfer, amount))
    } else {
        held.then(release(number, transfer))
    }
}

/// A hold that does not expire.
pub(crate) fn hold(transfer: PlannedTransfer) -> PlannedOrder {
    PlannedOrder::may_be_refused(Asked::Pending { transfer, timeout_s: 0 }, Effect::Hold(transfer))
}

/// The capture of an open hold; an amount of 0 is all of it.
pub(crate) fn capture(number: u64, hold: PlannedTransfer, amount: u64) -> PlannedOrder {
    let captured = if amount == 0 { hold.amount } else { amount };
    PlannedOrder::done(Asked::Post { hold: number, amount }, Effect::Resolve { hold, captured })
}

/// The release of an open hold.
pub(crate) fn release(number: u64, hold: PlannedTransfer) -> PlannedOrder {
    PlannedOrder::done(Asked::Void { hold: number }, Effect::Resolve { hold, captured: 0 })
}
