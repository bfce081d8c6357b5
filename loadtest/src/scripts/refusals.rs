//! Orders that must be refused, each with exactly one status, and what has to be done before so that they are.

use crate::planned_order::{Asked, Effect, Expected, PlannedLeg, PlannedOrder, PlannedTransfer, legs_back};
use crate::refusing_wallets::{FULL_AT, RefusingWallet};
use crate::scripts::holds::{capture, hold, release};
use crate::scripts::transactions::{legs, transaction};
use crate::scripts::{Casting, STEPS_MAX, Script};
use client::ledger::{Refusal, RefusalDetail, Side, Status};
use std::time::Duration;

/// The timeout of a hold that is captured too late, and when that is: after its time by any clock that goes right.
const TIMEOUT_S: u32 = 1;
const TOO_LATE: Duration = Duration::from_millis(1_200);

/// Writes one kind of script.
type Write = fn(&mut Casting<'_>) -> Script;

/// All kinds; they take turns.
pub(crate) const KINDS: [Write; 28] = [
    // Funds.
    |cast| Script::of(without_funds(paid(cast.transfer(), RefusingWallet::Empty))),
    |cast| {
        let transfer = paid(cast.transfer(), RefusingWallet::Empty);
        let asked = Asked::Pending { transfer, timeout_s: 0 };
        Script::of(PlannedOrder::refused(asked, insufficient_funds(transfer)))
    },
    leg_without_funds,
    |cast| {
        let transfer = PlannedTransfer { amount: FULL_AT + 1, ..cast.transfer() };
        let detail = RefusalDetail::LimitExceeded { limit: u128::from(FULL_AT) };
        let refusal = Refusal { status: Status::LimitExceeded, detail };
        Script::of(PlannedOrder::refused(Asked::Transfer(to(transfer, RefusingWallet::Full)), refusal))
    },
    // Frozen and closed.
    |cast| from_wallet(cast, RefusingWallet::DebitFrozen, Status::DebitWalletFrozen),
    |cast| to_wallet(cast, RefusingWallet::CreditFrozen, Status::CreditWalletFrozen),
    |cast| from_wallet(cast, RefusingWallet::Closed, Status::DebitWalletClosed),
    |cast| to_wallet(cast, RefusingWallet::Closed, Status::CreditWalletClosed),
    |cast| {
        let transfer = to(cast.transfer(), RefusingWallet::CreditFrozen);
        let asked = Asked::Pending { transfer, timeout_s: 0 };
        Script::of(PlannedOrder::refused(asked, Status::CreditWalletFrozen))
    },
    // Not there, or in another asset.
    |cast| from_wallet(cast, RefusingWallet::Absent, Status::DebitWalletNotFound),
    |cast| to_wallet(cast, RefusingWallet::Absent, Status::CreditWalletNotFound),
    |cast| from_wallet(cast, RefusingWallet::Foreign, Status::DebitWalletAssetMismatch),
    |cast| to_wallet(cast, RefusingWallet::Foreign, Status::CreditWalletAssetMismatch),
    |cast| Script::of(refused_post(cast.number(STEPS_MAX - 1), Status::PendingNotFound)),
    |cast| Script::of(refused_void(cast.number(STEPS_MAX - 1), Status::PendingNotFound)),
    |cast| Script::of(refused_reversal(cast.number(STEPS_MAX - 1), 0, Status::OriginalNotFound)),
    // States of holds.
    |cast| {
        let original = cast.number(0);
        Script::of(PlannedOrder::transfer(cast.transfer()))
            .then(refused_post(original, Status::NotPending))
            .then(refused_void(original, Status::NotPending))
    },
    |cast| {
        let (number, transfer) = (cast.number(0), cast.transfer());
        Script::of(hold(transfer))
            .then(capture(number, transfer, 0))
            .then(refused_post(number, Status::PendingAlreadyPosted))
            .then(refused_void(number, Status::PendingAlreadyPosted))
    },
    |cast| {
        let (number, transfer) = (cast.number(0), cast.transfer());
        Script::of(hold(transfer))
            .then(release(number, transfer))
            .then(refused_post(number, Status::PendingAlreadyVoided))
            .then(refused_void(number, Status::PendingAlreadyVoided))
    },
    too_late,
    |cast| {
        let (number, transfer) = (cast.number(0), cast.transfer());
        let asked = Asked::Post { hold: number, amount: transfer.amount + 1 };
        let refusal = exceeded(Status::ExceedsPendingAmount, transfer.amount);
        Script::of(hold(transfer)).then(PlannedOrder::refused(asked, refusal)).then(release(number, transfer))
    },
    // Reversals.
    |cast| {
        let (number, transfer) = (cast.number(0), cast.transfer());
        Script::of(hold(transfer))
            .then(refused_reversal(number, 0, Status::OriginalNotReversible))
            .then(release(number, transfer))
            .then(refused_reversal(cast.number(2), 0, Status::OriginalNotReversible))
    },
    |cast| {
        let (number, transfer) = (cast.number(0), cast.transfer());
        Script::of(PlannedOrder::transfer(transfer))
            .then(reversal(number, transfer, 0))
            .then(refused_reversal(number, 1, Status::OriginalAlreadyReversed))
            .then(refused_reversal(cast.number(1), 0, Status::OriginalNotReversible))
    },
    beyond_the_original,
    beyond_the_capture,
    in_part,
    // Of a shape that is refused at once, and leaves nothing behind.
    |cast| {
        let transfer = PlannedTransfer { amount: 0, ..cast.transfer() };
        Script::of(PlannedOrder::refused(Asked::Transfer(transfer), Status::AmountMustNotBeZero))
    },
    |cast| {
        let mut legs = legs(cast).to_vec();
        legs[0].amount += 1;
        Script::of(PlannedOrder::refused(Asked::Transaction(legs.into()), Status::LegsDoNotBalance))
    },
];

/// The next kind in turn.
pub(crate) fn script(mut cast: Casting<'_>, story: u64) -> Script {
    let write = KINDS[(story % KINDS.len() as u64) as usize];
    write(&mut cast)
}

/// A transfer from a wallet that has nothing.
pub(crate) fn without_funds(transfer: PlannedTransfer) -> PlannedOrder {
    PlannedOrder::refused(Asked::Transfer(transfer), insufficient_funds(transfer))
}

/// The same transfer from this wallet.
pub(crate) fn paid(transfer: PlannedTransfer, by: RefusingWallet) -> PlannedTransfer {
    PlannedTransfer { debit: by.number(), ..transfer }
}

/// The same transfer to this wallet.
fn to(transfer: PlannedTransfer, wallet: RefusingWallet) -> PlannedTransfer {
    PlannedTransfer { credit: wallet.number(), ..transfer }
}

fn from_wallet(cast: &mut Casting<'_>, wallet: RefusingWallet, status: Status) -> Script {
    Script::of(PlannedOrder::refused(Asked::Transfer(paid(cast.transfer(), wallet)), status))
}

fn to_wallet(cast: &mut Casting<'_>, wallet: RefusingWallet, status: Status) -> Script {
    Script::of(PlannedOrder::refused(Asked::Transfer(to(cast.transfer(), wallet)), status))
}

fn refused_post(hold: u64, status: Status) -> PlannedOrder {
    PlannedOrder::refused(Asked::Post { hold, amount: 0 }, status)
}

fn refused_void(hold: u64, status: Status) -> PlannedOrder {
    PlannedOrder::refused(Asked::Void { hold }, status)
}

fn refused_reversal(original: u64, amount: u64, refusal: impl Into<Refusal>) -> PlannedOrder {
    PlannedOrder::refused(Asked::Reversal { original, amount }, refusal)
}

/// A reversal that others may stand against; an amount of 0 is all of it.
pub(crate) fn reversal(original: u64, transfer: PlannedTransfer, amount: u64) -> PlannedOrder {
    let back = transfer.back(if amount == 0 { transfer.amount } else { amount });
    PlannedOrder::may_be_refused(Asked::Reversal { original, amount }, Effect::Move(back))
}

fn insufficient_funds(transfer: PlannedTransfer) -> Refusal {
    let detail = RefusalDetail::InsufficientFunds { available: 0, required: u128::from(transfer.amount) };
    Refusal { status: Status::InsufficientFunds, detail }
}

fn exceeded(status: Status, left: u64) -> Refusal {
    Refusal { status, detail: RefusalDetail::AmountExceeded { left: u128::from(left) } }
}

/// All but one wallet of a transaction could.
fn leg_without_funds(cast: &mut Casting<'_>) -> Script {
    let PlannedTransfer { debit, credit, amount } = cast.transfer();
    let leg = |wallet, side, amount| PlannedLeg { wallet, side, amount };
    let legs = [
        leg(debit, Side::Debit, amount),
        leg(credit, Side::Credit, 2 * amount),
        leg(RefusingWallet::Empty.number(), Side::Debit, amount),
    ];
    let detail = RefusalDetail::LegRefused { index: 2, status: Status::InsufficientFunds };
    let refusal = Refusal { status: Status::LegRefused, detail };
    Script::of(PlannedOrder::refused(Asked::Transaction(legs.into()), refusal))
}

/// A hold is captured and released after it has expired.
fn too_late(cast: &mut Casting<'_>) -> Script {
    let asked = Asked::Pending { transfer: cast.transfer(), timeout_s: TIMEOUT_S };
    let number = cast.number(0);
    Script::of(PlannedOrder::may_be_refused(asked, Effect::HoldForNow))
        .then_after(TOO_LATE, refused_post(number, Status::PendingExpired))
        .then(refused_void(number, Status::PendingExpired))
}

/// More is moved back than was moved, at once and in sum.
fn beyond_the_original(cast: &mut Casting<'_>) -> Script {
    let number = cast.number(0);
    let transfer = PlannedTransfer { amount: cast.transfer().amount + 1, ..cast.transfer() };
    let amount = transfer.amount;
    let beyond =
        |amount, left| refused_reversal(number, amount, exceeded(Status::ExceedsOriginalAmount, left));
    Script::of(PlannedOrder::transfer(transfer))
        .then(beyond(amount + 1, amount))
        .then(reversal(number, transfer, 1))
        .then(beyond(amount, amount - 1))
}

/// More is moved back of a capture than it has moved, though not more than was held.
fn beyond_the_capture(cast: &mut Casting<'_>) -> Script {
    let transfer = PlannedTransfer { amount: cast.transfer().amount + 1, ..cast.transfer() };
    let captured = transfer.amount - 1;
    let beyond = exceeded(Status::ExceedsOriginalAmount, captured);
    Script::of(hold(transfer))
        .then(capture(cast.number(0), transfer, captured))
        .then(refused_reversal(cast.number(1), transfer.amount, beyond))
        .then(reversal(cast.number(1), PlannedTransfer { amount: captured, ..transfer }, 0))
}

/// A transaction is reversed in part, then in full.
fn in_part(cast: &mut Casting<'_>) -> Script {
    let legs = legs(cast);
    let number = cast.number(0);
    let all = Asked::Reversal { original: number, amount: 0 };
    let back = Effect::MoveLegs(legs_back(&legs));
    Script::of(transaction(legs))
        .then(refused_reversal(number, 1, Status::TransactionReversedInFullOnly))
        .then(PlannedOrder { asked: all, expected: Expected::DoneOrRefused, effect: back })
        .then(refused_reversal(number, 0, Status::OriginalAlreadyReversed))
}
