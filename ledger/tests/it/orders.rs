//! Orders and changes at their border: what shape each may have, to the byte and to the unit, and what the second order of
//! the same id is answered, field by field.

use crate::samples::{
    bytes, credit, debit, hold, pending, post, reversal, transaction, transfer, void, wallet,
};
use ledger::change::WalletChange;
use ledger::order::{LEGS_MAX, LEGS_MIN};
use ledger::original::ReversedFacts;
use ledger::transfer::TRANSFER_METADATA_MAX;
use ledger::wallet::WALLET_METADATA_MAX;
use ledger::{
    AMOUNT_MAX, AssetId, Effect, Entry, Facts, Leg, Memo, Order, OrderKind, OverdraftLimit, Refusal, Setting,
    Side, Status, TransferId, Wallet, WalletFlags, WalletId,
};

fn orders() -> [Order; 6] {
    [
        Order::Transfer(transfer(9, 1, 2, 5)),
        Order::Pending(pending(9, 1, 2, 5, 60)),
        Order::Post(post(9, 3, 5)),
        Order::Void(void(9, 3)),
        Order::Reversal(reversal(9, 3, 5)),
        Order::Transaction(transaction(9, &[debit(1, 1, 5), credit(2, 1, 5)])),
    ]
}

fn set_id(order: &mut Order, id: u128) {
    *match order {
        Order::Transfer(transfer) => &mut transfer.id,
        Order::Pending(pending) => &mut pending.transfer.id,
        Order::Post(post) => &mut post.id,
        Order::Void(void) => &mut void.id,
        Order::Reversal(reversal) => &mut reversal.id,
        Order::Transaction(transaction) => &mut transaction.id,
    } = TransferId(id);
}

fn set_memo(order: &mut Order, memo: Memo) {
    match order {
        Order::Transfer(transfer) | Order::Pending(ledger::Pending { transfer, .. }) => {
            transfer.group_id = memo.group_id;
            transfer.code = memo.code;
            transfer.effective_at_ns = memo.effective_at_ns;
            transfer.metadata = memo.metadata;
        }
        Order::Post(post) => post.memo = memo,
        Order::Void(void) => void.memo = memo,
        Order::Reversal(reversal) => reversal.memo = memo,
        Order::Transaction(transaction) => transaction.memo = memo,
    }
}

fn status(shape: Result<(), Refusal>) -> Option<Status> {
    shape.err().map(|refusal| refusal.status)
}

#[test]
fn every_order_has_an_id_a_kind_notes_and_bounded_metadata() {
    let kinds = [
        OrderKind::Transfer,
        OrderKind::Pending,
        OrderKind::Post,
        OrderKind::Void,
        OrderKind::Reversal,
        OrderKind::Transaction,
    ];
    for (mut order, kind) in orders().into_iter().zip(kinds) {
        assert_eq!((order.id(), order.kind()), (TransferId(9), kind));
        assert_eq!(status(order.check_shape()), None, "{order:?}");
        let refers_to = [OrderKind::Post, OrderKind::Void, OrderKind::Reversal].contains(&kind);
        assert_eq!(order.refers_to(), refers_to.then_some(TransferId(3)));
        for (length, expected) in [
            (TRANSFER_METADATA_MAX - 1, None),
            (TRANSFER_METADATA_MAX, None),
            (TRANSFER_METADATA_MAX + 1, Some(Status::MetadataTooLarge)),
            (TRANSFER_METADATA_MAX + 2, Some(Status::MetadataTooLarge)),
        ] {
            let memo = Memo { group_id: 1, code: 2, effective_at_ns: 3, metadata: bytes(length) };
            set_memo(&mut order, memo);
            assert_eq!(status(order.check_shape()), expected, "{kind} {length}");
            assert_eq!(order.notes(), (1, 2, 3, &*bytes(length)));
        }
        set_memo(&mut order, Memo::default());
        set_id(&mut order, 0);
        assert_eq!(status(order.check_shape()), Some(Status::IdMustNotBeZero));
        set_id(&mut order, u128::MAX);
        assert_eq!(status(order.check_shape()), None);
    }
}

#[test]
fn kinds_have_their_numbers_and_names() {
    let all: Vec<(u8, String)> =
        OrderKind::ALL.iter().map(|kind| (kind.number(), kind.to_string())).collect();
    let names = ["transfer", "pending", "post", "void", "expire", "reversal", "transaction"];
    assert_eq!(all, (1..).zip(names.map(str::to_owned)).collect::<Vec<_>>());
    for number in 0..=u8::MAX {
        let kind = OrderKind::from_number(number);
        assert_eq!(kind.map(OrderKind::number), (1..=7).contains(&number).then_some(number));
    }
    assert_eq!(format!("{:>6}", OrderKind::Post), "  post");
    assert_eq!((Side::Debit.opposite(), Side::Credit.opposite()), (Side::Credit, Side::Debit));
}

#[test]
fn amounts_and_references_are_checked_to_the_unit() {
    let check = |order: Order, expected| assert_eq!(status(order.check_shape()), expected, "{order:?}");
    for (amount, expected) in [
        (0, None),
        (1, None),
        (AMOUNT_MAX, None),
        (AMOUNT_MAX + 1, Some(Status::AmountTooLarge)),
        (u128::MAX, Some(Status::AmountTooLarge)),
    ] {
        check(Order::Post(post(9, 3, amount)), expected);
        check(Order::Reversal(reversal(9, 3, amount)), expected);
        let of_holds = if amount == 0 { Some(Status::AmountMustNotBeZero) } else { expected };
        check(Order::Pending(pending(9, 1, 2, amount, u32::MAX)), of_holds);
    }
    check(Order::Pending(pending(9, 2, 2, 1, 0)), Some(Status::WalletsMustDiffer));
    for (id, expected) in [
        (0, Some(Status::ReferenceMustNotBeZero)),
        (9, Some(Status::RefersToItself)),
        (8, None),
        (10, None),
        (u128::MAX, None),
    ] {
        check(Order::Post(post(9, id, 1)), expected);
        check(Order::Void(void(9, id)), expected);
        check(Order::Reversal(reversal(9, id, 1)), expected);
    }
    // The first in the documented order.
    let mut wrong = post(0, 0, u128::MAX);
    wrong.memo.metadata = bytes(257);
    check(Order::Post(wrong.clone()), Some(Status::IdMustNotBeZero));
    wrong.id = TransferId(9);
    check(Order::Post(wrong.clone()), Some(Status::AmountTooLarge));
    wrong.amount = 1;
    check(Order::Post(wrong.clone()), Some(Status::MetadataTooLarge));
    wrong.memo.metadata = bytes(256);
    check(Order::Post(wrong), Some(Status::ReferenceMustNotBeZero));
}

#[test]
fn a_transaction_has_2_to_64_legs_that_balance_in_each_asset() {
    let check = |legs: &[Leg], expected| {
        assert_eq!(status(Order::Transaction(transaction(9, legs)).check_shape()), expected, "{legs:?}");
    };
    let pairs = |pairs: u128| -> Vec<Leg> {
        (0..pairs).flat_map(|pair| [debit(1 + pair, 1, 5), credit(1_000 + pair, 1, 5)]).collect()
    };
    assert_eq!((LEGS_MIN, LEGS_MAX), (2, 64));
    check(&[], Some(Status::TooFewLegs));
    check(&pairs(1)[..1], Some(Status::TooFewLegs));
    check(&pairs(1), None);
    check(&pairs(31), None);
    check(&pairs(32), None);
    let mut odd = pairs(31);
    odd.extend([debit(1, 1, 2), credit(2, 1, 2), credit(3, 1, 1)]);
    check(&odd, Some(Status::TooManyLegs));
    odd.truncate(64);
    odd[62] = debit(1, 1, 2);
    odd.truncate(63);
    check(&odd, Some(Status::LegsDoNotBalance));
    odd.push(credit(77, 1, 2));
    check(&odd, None);
    check(&pairs(33), Some(Status::TooManyLegs));
    check(&pairs(300), Some(Status::TooManyLegs));

    check(&[debit(1, 1, 0), credit(2, 1, 0)], Some(Status::AmountMustNotBeZero));
    check(&[debit(1, 1, 1), credit(2, 1, 1), credit(3, 1, 0)], Some(Status::AmountMustNotBeZero));
    check(&[debit(1, 1, AMOUNT_MAX), credit(2, 1, AMOUNT_MAX)], None);
    check(&[debit(1, 1, AMOUNT_MAX + 1), credit(2, 1, AMOUNT_MAX + 1)], Some(Status::AmountTooLarge));
    check(&[debit(1, 1, u128::MAX), credit(2, 1, u128::MAX)], Some(Status::AmountTooLarge));
    // Not only each amount: the sum of a side, in each asset apart.
    let halves = [debit(1, 1, AMOUNT_MAX - 1), debit(2, 1, 1), credit(3, 1, AMOUNT_MAX)];
    check(&halves, None);
    check(&[halves[0], debit(2, 1, 2), halves[2]], Some(Status::AmountTooLarge));
    check(&[credit(1, 1, u128::MAX - 1), credit(2, 1, 2), debit(3, 1, 1)], Some(Status::AmountTooLarge));
    check(
        &[
            debit(1, 1, AMOUNT_MAX),
            credit(2, 1, AMOUNT_MAX),
            debit(3, 2, AMOUNT_MAX),
            credit(4, 2, AMOUNT_MAX),
        ],
        None,
    );
    check(&[debit(1, 1, 5), credit(1, 2, 5)], Some(Status::WalletInTwoAssets));
    check(&[debit(1, 1, 5), credit(1, 1, 5)], Some(Status::WalletsMustDiffer));
    check(&[debit(1, 1, 5), credit(2, 1, 4)], Some(Status::LegsDoNotBalance));
    check(&[debit(1, 1, 5), credit(2, 1, 6)], Some(Status::LegsDoNotBalance));
    check(&[debit(1, 1, 5), credit(2, 2, 5)], Some(Status::LegsDoNotBalance));
    check(&[debit(1, 1, 5), debit(2, 1, 5)], Some(Status::LegsDoNotBalance));
    check(
        &[debit(1, 1, 5), credit(2, 1, 5), debit(3, 2, 5), credit(4, 2, 4)],
        Some(Status::LegsDoNotBalance),
    );
    check(&[debit(1, 1, 5), credit(2, 1, 2), credit(1, 1, 1), credit(3, 1, 2)], None);
    check(&[debit(1, 1, 5), credit(2, 1, 5), debit(3, 2, 7), credit(4, 2, 7)], None);
    // Of several faults, the one of the first leg; those of the whole come after.
    check(&[debit(1, 1, 5), credit(1, 2, 5), credit(2, 1, 0)], Some(Status::WalletInTwoAssets));
    check(&[debit(1, 1, 0), credit(1, 2, 5)], Some(Status::AmountMustNotBeZero));
    let mut wrong = transaction(9, &[debit(1, 1, 5), credit(2, 1, 4)]);
    wrong.memo.metadata = bytes(257);
    assert_eq!(status(Order::Transaction(wrong).check_shape()), Some(Status::LegsDoNotBalance));
}

/// Another value in one field of an order, and what a repetition with it is answered.
type Change = (fn(&mut Order), Status);

/// Each change alone, and the first of them when there are several.
fn check_changes(first: &Order, changes: &[Change]) {
    assert_eq!(first.compare(&first.clone()), Status::Exists);
    for (change, expected) in changes {
        let mut again = first.clone();
        change(&mut again);
        assert_eq!((first.compare(&again), again.compare(first)), (*expected, *expected), "{again:?}");
    }
    let mut again = first.clone();
    for (change, expected) in changes.iter().rev() {
        change(&mut again);
        assert_eq!(first.compare(&again), *expected, "the first of several: {again:?}");
    }
}

fn notes_of(order: &Order) -> Memo {
    let (group_id, code, effective_at_ns, metadata) = order.notes();
    Memo { group_id, code, effective_at_ns, metadata: metadata.into() }
}

const NOTES: [Change; 4] = [
    (|order| set_memo(order, Memo { group_id: 1, ..notes_of(order) }), Status::ExistsWithDifferentGroupId),
    (|order| set_memo(order, Memo { code: 1, ..notes_of(order) }), Status::ExistsWithDifferentCode),
    (
        |order| set_memo(order, Memo { effective_at_ns: 1, ..notes_of(order) }),
        Status::ExistsWithDifferentEffectiveAt,
    ),
    (
        |order| set_memo(order, Memo { metadata: bytes(1), ..notes_of(order) }),
        Status::ExistsWithDifferentMetadata,
    ),
];

macro_rules! change {
    ($variant:ident, $order:ident, $change:expr) => {
        |order| match order {
            Order::$variant($order) => $change,
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn a_second_order_of_an_id_is_answered_with_the_first_field_that_differs() {
    let with_notes = |changes: &[Change]| [changes, &NOTES].concat();
    let pending: [Change; 5] = [
        (change!(Pending, order, order.timeout_s = 61), Status::ExistsWithDifferentTimeout),
        (
            change!(Pending, order, order.transfer.debit_wallet = WalletId(3)),
            Status::ExistsWithDifferentDebitWallet,
        ),
        (
            change!(Pending, order, order.transfer.credit_wallet = WalletId(3)),
            Status::ExistsWithDifferentCreditWallet,
        ),
        (change!(Pending, order, order.transfer.asset = AssetId(2)), Status::ExistsWithDifferentAsset),
        (change!(Pending, order, order.transfer.amount = 2), Status::ExistsWithDifferentAmount),
    ];
    let post: [Change; 2] = [
        (change!(Post, order, order.pending_id = TransferId(4)), Status::ExistsWithDifferentPendingId),
        (change!(Post, order, order.amount = 0), Status::ExistsWithDifferentAmount),
    ];
    let void: [Change; 1] =
        [(change!(Void, order, order.pending_id = TransferId(4)), Status::ExistsWithDifferentPendingId)];
    let reversal: [Change; 2] = [
        (change!(Reversal, order, order.reverses_id = TransferId(4)), Status::ExistsWithDifferentReversesId),
        (change!(Reversal, order, order.amount = 0), Status::ExistsWithDifferentAmount),
    ];
    let legs: [Change; 1] =
        [(change!(Transaction, order, order.legs.reverse()), Status::ExistsWithDifferentLegs)];
    let transfer: [Change; 1] =
        [(change!(Transfer, order, order.amount = 2), Status::ExistsWithDifferentAmount)];
    let changes = [&transfer[..], &pending, &post, &void, &reversal, &legs];
    let all = orders();
    for (order, changes) in all.iter().zip(changes) {
        check_changes(order, &with_notes(changes));
    }
    for (index, first) in all.iter().enumerate() {
        for (other, again) in all.iter().enumerate() {
            let expected = if index == other { Status::Exists } else { Status::ExistsWithDifferentKind };
            assert_eq!(first.compare(again), expected, "{first:?} {again:?}");
        }
    }
}

#[test]
fn an_order_is_journaled_with_the_facts_that_it_was_resolved_by_or_not_at_all() {
    for order in orders() {
        let facts = match order.kind() {
            OrderKind::Post | OrderKind::Void => Some(Facts::Hold(hold(5, 10))),
            _ => None,
        };
        let needs = order.refers_to().is_some() == facts.is_some();
        let made = std::panic::catch_unwind(|| Entry::done(order.clone(), facts.clone()));
        assert_eq!(made.is_ok(), needs, "{order:?}");
        let refused = Entry::refused(order.clone(), Status::InsufficientFunds.into());
        let is_transfer = order.kind() == OrderKind::Transfer;
        assert_eq!(matches!(refused, Entry::TransferRefused { .. }), is_transfer);
        assert_eq!(matches!(refused, Entry::OrderRefused { .. }), !is_transfer);
    }
}

#[test]
fn an_entry_has_the_group_and_the_code_of_the_order_that_was_done() {
    for mut order in orders() {
        set_memo(&mut order, Memo { group_id: 7, code: 8, ..Memo::default() });
        let facts = match order.kind() {
            OrderKind::Post | OrderKind::Void => Some(Facts::Hold(hold(5, 10))),
            OrderKind::Reversal => Some(Facts::Reversed(ReversedFacts {
                legs: [debit(2, 1, 5), credit(1, 1, 5)].into(),
                of_transaction: false,
                amount: 5,
                original_amount: 5,
            })),
            _ => None,
        };
        assert_eq!(Entry::done(order.clone(), facts).group_and_code(), (7, 8), "{order:?}");
        let refused = Entry::refused(order.clone(), Status::InsufficientFunds.into());
        assert_eq!(refused.group_and_code(), (0, 0), "{order:?}");
    }
    let expired = Entry::Expired { pending_id: TransferId(3), hold: hold(5, 10) };
    assert_eq!(expired.group_and_code(), (0, 0));
}

fn change(setting: Setting) -> WalletChange {
    WalletChange { wallet: WalletId(1), setting }
}

fn flags(set: WalletFlags, clear: WalletFlags) -> WalletChange {
    change(Setting::Flags { set, clear })
}

#[test]
fn a_change_names_a_wallet_and_keeps_to_what_may_be_changed() {
    let check = |change: &WalletChange, expected| {
        assert_eq!(status(change.check_shape()), expected, "{change:?}");
    };
    let none = WalletFlags::default();
    check(&WalletChange { wallet: WalletId(0), ..flags(none, none) }, Some(Status::IdMustNotBeZero));
    check(&WalletChange { wallet: WalletId(u128::MAX), ..flags(none, none) }, None);
    for bit in 0..16 {
        let flag = WalletFlags::from_bits(1 << bit);
        let expected = (bit > 2).then_some(Status::ReservedFlag);
        check(&flags(flag, none), expected);
        check(&flags(none, flag), expected);
        check(&flags(flag, flag), expected.or(Some(Status::FlagSetAndCleared)));
    }
    let both = WalletFlags::DEBIT_FROZEN.with(WalletFlags::CLOSED);
    check(&flags(both, WalletFlags::CREDIT_FROZEN), None);
    check(&flags(both, WalletFlags::CLOSED), Some(Status::FlagSetAndCleared));
    for (limit, expected) in [
        (0, None),
        (AMOUNT_MAX, None),
        (AMOUNT_MAX + 1, Some(Status::LimitTooLarge)),
        (u128::MAX, Some(Status::LimitTooLarge)),
    ] {
        let overdraft_limit = OverdraftLimit::Limited(limit);
        check(&change(Setting::Limits { overdraft_limit, balance_max: 0 }), expected);
        let overdraft_limit = OverdraftLimit::Unlimited;
        check(&change(Setting::Limits { overdraft_limit, balance_max: limit }), expected);
    }
    for (length, expected) in [
        (WALLET_METADATA_MAX - 1, None),
        (WALLET_METADATA_MAX, None),
        (WALLET_METADATA_MAX + 1, Some(Status::MetadataTooLarge)),
    ] {
        check(&change(Setting::Metadata(bytes(length))), expected);
    }
}

#[test]
fn a_change_says_whether_anything_is_to_change_and_closes_only_what_is_done_with() {
    const SECOND: u64 = 1_000_000_000;
    let none = WalletFlags::default();
    let mut at = Wallet::create(wallet(1), 1, 1);
    let check = |at: &Wallet, change: &WalletChange, now_ns, expected: Status| {
        let told = change.decide(Some(at), now_ns).unwrap_or_else(|refusal| refusal.status);
        assert_eq!(told, expected, "{change:?}");
    };
    let limits = |overdraft_limit, balance_max| change(Setting::Limits { overdraft_limit, balance_max });
    check(&at, &limits(OverdraftLimit::Limited(0), 0), 5, Status::Exists);
    check(&at, &limits(OverdraftLimit::Limited(1), 0), 5, Status::Created);
    check(&at, &limits(OverdraftLimit::Unlimited, 0), 5, Status::Created);
    check(&at, &limits(OverdraftLimit::Limited(0), 1), 5, Status::Created);
    check(&at, &change(Setting::Metadata(bytes(0))), 5, Status::Exists);
    check(&at, &change(Setting::Metadata(bytes(1))), 5, Status::Created);
    check(&at, &flags(none, WalletFlags::DEBIT_FROZEN), 5, Status::Exists);
    check(&at, &flags(WalletFlags::DEBIT_FROZEN, none), 5, Status::Created);
    assert_eq!(flags(none, none).decide(None, 5), Err(Status::WalletNotFound.into()));

    let close = flags(WalletFlags::CLOSED, none);
    check(&at, &close, 5, Status::Created);
    at.apply(&Effect::Move { debits: 0, credits: 1 }, 2, 2);
    check(&at, &close, 5, Status::BalanceNotZero);
    check(&at, &flags(WalletFlags::DEBIT_FROZEN, none), 5, Status::Created);
    at.apply(&Effect::Move { debits: 2, credits: 0 }, 3, 3);
    check(&at, &close, 5, Status::BalanceNotZero);
    at.apply(&Effect::Move { debits: 0, credits: 1 }, 4, 4);
    check(&at, &close, 5, Status::Created);
    // A hold on either side, until it expires.
    at.apply(&Effect::Hold { id: TransferId(7), side: Side::Credit, amount: 1, timeout_s: 1 }, 5, 5);
    check(&at, &close, 6, Status::HoldsAreOpen);
    check(&at, &close, SECOND + 4, Status::HoldsAreOpen);
    check(&at, &close, SECOND + 5, Status::Created);
    at.apply(&Effect::Hold { id: TransferId(8), side: Side::Debit, amount: 1, timeout_s: 0 }, 6, 6);
    check(&at, &close, SECOND + 5, Status::HoldsAreOpen);
    // What is closed already may be frozen, and stays closed.
    at.terms.flags = WalletFlags::CLOSED;
    check(&at, &close, 6, Status::Exists);
    check(&at, &flags(WalletFlags::CLOSED.with(WalletFlags::DEBIT_FROZEN), none), 6, Status::Created);
    check(&at, &flags(none, WalletFlags::CLOSED), 6, Status::Created);
}
