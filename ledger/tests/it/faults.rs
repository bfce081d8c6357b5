//! What nobody can have decided on is a fault of the journal, and changes nothing.

use crate::samples::{
    asset, bytes, credit, debit, pending, post, reversal, transaction, transfer, void, wallet,
};
use ledger::route::HoldTerms;
use ledger::{
    AMOUNT_MAX, AssetId, Entry, Fold, ImportId, Leg, NewWallet, Order, OverdraftLimit, Refusal,
    RefusalDetail, ReversedFacts, Setting, Status, Transfer, TransferId, WalletChange, WalletFlags, WalletId,
};

const SECOND: u64 = 1_000_000_000;

/// When the holds were made.
const HELD_AT: u64 = 1_000;

/// A bank 1, wallets 2 and 3 in its asset; a bank 4 and a wallet 5 in another. On the way: 100 were paid to 2 (11), which
/// holds 30 for 3 until two seconds after (12), 10 for ever (13), has paid 20 of a hold of 25 (14, by 15), released one
/// (16, by 17), and let one of a second expire (18). Of 11, 60 were moved back (19). In a transaction (20), 2 has paid 5 to
/// 3, and the other bank 7 to 5; another like it (21) was moved back (22).
fn books() -> Fold {
    let mut fold = Fold::default();
    let hold = |id, amount, timeout_s| Entry::Pended(pending(id, 2, 3, amount, timeout_s));
    let entries = [
        Entry::AssetCreated(asset(1)),
        Entry::AssetCreated(asset(2)),
        Entry::WalletCreated(NewWallet { flags: WalletFlags::SYSTEM, ..wallet(1) }),
        Entry::WalletCreated(NewWallet { balance_max: 1_000, ..wallet(2) }),
        Entry::WalletCreated(wallet(3)),
        Entry::WalletCreated(NewWallet { flags: WalletFlags::SYSTEM, asset: AssetId(2), ..wallet(4) }),
        Entry::WalletCreated(NewWallet { asset: AssetId(2), ..wallet(5) }),
        Entry::Transferred(transfer(11, 1, 2, 200)),
        hold(12, 30, 2),
        hold(13, 10, 0),
        hold(14, 25, 0),
        Entry::Posted { post: post(15, 14, 20), hold: terms(25, u64::MAX) },
        hold(16, 3, 0),
        Entry::Voided { void: void(17, 16), hold: terms(3, u64::MAX) },
        hold(18, 4, 1),
        Entry::Reversed { reversal: reversal(19, 11, 60), facts: back(60, 200) },
        Entry::TransactionDone(transaction(20, &legs())),
        Entry::TransactionDone(transaction(21, &legs())),
        Entry::Reversed { reversal: reversal(22, 21, 0), facts: all_back() },
    ];
    for (seq, entry) in (1..).zip(entries) {
        let timestamp_ns = if seq < 9 { seq } else { HELD_AT + seq - 9 };
        fold.apply(seq, timestamp_ns, &entry).expect("a right history");
    }
    let expired = Entry::Expired { pending_id: TransferId(18), hold: terms(4, HELD_AT + 6 + SECOND) };
    fold.apply(20, HELD_AT + 6 + SECOND, &expired).expect("it is time");
    fold
}

/// When the first hold expires, and a time before.
const EXPIRY: u64 = HELD_AT + 2 * SECOND;
const SOON: u64 = HELD_AT + SECOND + 100;

fn terms(amount: u128, expires_at_ns: u64) -> HoldTerms {
    HoldTerms {
        debit_wallet: WalletId(2),
        credit_wallet: WalletId(3),
        ..crate::samples::hold(amount, expires_at_ns)
    }
}

fn legs() -> [Leg; 4] {
    [debit(2, 1, 5), credit(3, 1, 5), debit(4, 2, 7), credit(5, 2, 7)]
}

/// Part of transfer 11 moves back.
fn back(amount: u128, original_amount: u128) -> ReversedFacts {
    let legs = [debit(2, 1, amount), credit(1, 1, amount)].into();
    ReversedFacts { legs, of_transaction: false, amount, original_amount }
}

fn all_back() -> ReversedFacts {
    let legs = legs().map(|leg| Leg { side: leg.side.opposite(), ..leg }).into();
    ReversedFacts { legs, of_transaction: true, amount: 1, original_amount: 1 }
}

/// Each entry as the next one at a time: a fault that says so, or none.
fn check(cases: &[(u64, Entry, Result<(), &str>)]) {
    let fold = books();
    for (timestamp_ns, entry, expected) in cases {
        let mut next = fold.clone();
        match (next.apply(21, *timestamp_ns, entry).map_err(|fault| fault.to_string()), expected) {
            (Ok(()), Ok(())) => assert_eq!((next.last_seq, next.last_timestamp_ns), (21, *timestamp_ns)),
            (Err(fault), Err(expected)) => {
                assert!(fault.starts_with("entry 21: "), "{fault}");
                assert!(fault.contains(expected), "{fault} does not say {expected}: {entry:?}");
                assert_eq!(next, fold, "a fault changes nothing");
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}: {entry:?}"),
        }
    }
}

#[test]
fn entries_are_contiguous_later_and_make_what_is_new() {
    let fold = books();
    for (seq, timestamp_ns, expected) in [
        (20, SOON, "entry 20: follows entry 20"),
        (22, SOON, "entry 22: follows entry 20"),
        (21, fold.last_timestamp_ns, "entry 21: is not later than the entry before it"),
        (21, 1, "entry 21: is not later than the entry before it"),
    ] {
        let mut next = fold.clone();
        let fault = next.apply(seq, timestamp_ns, &Entry::WalletCreated(wallet(6))).expect_err("a fault");
        assert_eq!(fault.to_string(), expected);
        assert_eq!(next, fold);
    }
    check(&[
        (SOON, Entry::WalletCreated(wallet(6)), Ok(())),
        (
            SOON,
            Entry::WalletCreated(wallet(2)),
            Err("creates wallet 00000000-0000-0000-0000-000000000002 again"),
        ),
        (SOON, Entry::WalletCreated(NewWallet { asset: AssetId(9), ..wallet(6) }), Err("in unknown asset 9")),
        (SOON, Entry::AssetCreated(asset(3)), Ok(())),
        (SOON, Entry::AssetCreated(asset(2)), Err("creates asset 2 again")),
    ]);
}

#[test]
fn a_shape_that_is_refused_is_in_no_journal() {
    let refusal = Refusal::from(Status::PendingNotFound);
    let of_shape = |status: Status| -> Result<(), &'static str> { Err(status.name()) };
    let change = WalletChange { wallet: WalletId(0), setting: Setting::Metadata(bytes(1)) };
    let mut long = post(30, 12, 1);
    long.memo.metadata = bytes(257);
    let many: Vec<Leg> = (0..300).flat_map(|_| [debit(1, 1, 1), credit(2, 1, 1)]).collect();
    check(&[
        (SOON, Entry::AssetCreated(asset(0)), of_shape(Status::IdMustNotBeZero)),
        (
            SOON,
            Entry::WalletCreated(NewWallet { flags: WalletFlags::CLOSED, ..wallet(6) }),
            of_shape(Status::ReservedFlag),
        ),
        (SOON, Entry::WalletChanged(change), of_shape(Status::IdMustNotBeZero)),
        (SOON, Entry::Transferred(transfer(30, 1, 2, 0)), of_shape(Status::AmountMustNotBeZero)),
        (SOON, Entry::Transferred(transfer(30, 1, 1, 5)), of_shape(Status::WalletsMustDiffer)),
        (
            SOON,
            Entry::TransferRefused {
                transfer: transfer(0, 1, 9, 1),
                refusal: Status::CreditWalletNotFound.into(),
            },
            of_shape(Status::IdMustNotBeZero),
        ),
        (SOON, Entry::Pended(pending(30, 1, 1, 5, 0)), of_shape(Status::WalletsMustDiffer)),
        (SOON, Entry::Posted { post: long, hold: terms(30, EXPIRY) }, of_shape(Status::MetadataTooLarge)),
        (
            SOON,
            Entry::Voided { void: void(12, 12), hold: terms(30, EXPIRY) },
            of_shape(Status::RefersToItself),
        ),
        (
            SOON,
            Entry::Reversed { reversal: reversal(0, 11, 5), facts: back(5, 200) },
            of_shape(Status::IdMustNotBeZero),
        ),
        (
            SOON,
            Entry::TransactionDone(transaction(30, &[debit(1, 1, 5), credit(2, 1, 4)])),
            of_shape(Status::LegsDoNotBalance),
        ),
        (SOON, Entry::TransactionDone(transaction(30, &many)), of_shape(Status::TooManyLegs)),
        (
            SOON,
            Entry::OrderRefused { order: Order::Post(post(30, 0, 1)), refusal },
            of_shape(Status::ReferenceMustNotBeZero),
        ),
    ]);
}

#[test]
fn what_the_rules_refuse_is_not_done() {
    let closed = WalletChange {
        wallet: WalletId(2),
        setting: Setting::Flags { set: WalletFlags::CLOSED, clear: WalletFlags::default() },
    };
    let same = WalletChange { wallet: WalletId(3), setting: Setting::Metadata(bytes(0)) };
    let other = WalletChange { wallet: WalletId(3), setting: Setting::Metadata(bytes(1)) };
    let nobody = WalletChange { wallet: WalletId(9), setting: Setting::Metadata(bytes(1)) };
    let exchange = |amount| {
        transaction(30, &[debit(3, 1, amount), credit(1, 1, amount), debit(4, 2, 7), credit(5, 2, 7)])
    };
    check(&[
        // 3 has 25, and 40 are held for it.
        (SOON, Entry::Transferred(transfer(30, 3, 1, 25)), Ok(())),
        (
            SOON,
            Entry::Transferred(transfer(30, 3, 1, 26)),
            Err("does what is to be refused: insufficient_funds"),
        ),
        (SOON, Entry::Transferred(transfer(30, 9, 1, 1)), Err("debit_wallet_not_found")),
        (SOON, Entry::Transferred(transfer(30, 1, 9, 1)), Err("credit_wallet_not_found")),
        (SOON, Entry::Transferred(transfer(30, 1, 2, 886)), Err("limit_exceeded")),
        (SOON, Entry::Transferred(transfer(30, 1, 2, 885)), Ok(())),
        // 2 has 115, of which 40 are held, or 10 once the first hold has expired.
        (SOON, Entry::Transferred(transfer(30, 2, 1, 76)), Err("insufficient_funds")),
        (EXPIRY - 1, Entry::Transferred(transfer(30, 2, 1, 76)), Err("insufficient_funds")),
        (EXPIRY, Entry::Transferred(transfer(30, 2, 1, 105)), Ok(())),
        (EXPIRY, Entry::Transferred(transfer(30, 2, 1, 106)), Err("insufficient_funds")),
        (SOON, Entry::Pended(pending(30, 2, 3, 75, 1)), Ok(())),
        (SOON, Entry::Pended(pending(30, 2, 3, 76, 1)), Err("insufficient_funds")),
        (
            SOON,
            Entry::Pended(pending(13, 2, 3, 1, 1)),
            Err("makes the hold 00000000-0000-0000-0000-00000000000d again"),
        ),
        (SOON, Entry::Pended(pending(16, 2, 3, 1, 1)), Err("makes the hold")),
        (SOON, Entry::TransactionDone(exchange(25)), Ok(())),
        (SOON, Entry::TransactionDone(exchange(26)), Err("leg_refused")),
        (SOON, Entry::WalletChanged(other), Ok(())),
        (SOON, Entry::WalletChanged(same), Err("changes a wallet that is not to be changed: Ok(Exists)")),
        (SOON, Entry::WalletChanged(nobody), Err("WalletNotFound")),
        (SOON, Entry::WalletChanged(closed), Err("BalanceNotZero")),
    ]);
}

#[test]
fn a_hold_ends_once_as_it_was_made_and_in_its_time() {
    let posted = |id, amount, hold| Entry::Posted { post: post(30, id, amount), hold };
    let voided = |id, hold| Entry::Voided { void: void(30, id), hold };
    let expired = |id, hold| Entry::Expired { pending_id: TransferId(id), hold };
    let (first, for_ever) = (terms(30, EXPIRY), terms(10, u64::MAX));
    let to_another = HoldTerms { credit_wallet: WalletId(1), ..first };
    let from_another = HoldTerms { debit_wallet: WalletId(1), ..first };
    let in_another = HoldTerms { asset: AssetId(2), ..first };
    check(&[
        (SOON, posted(12, 0, first), Ok(())),
        (EXPIRY - 1, posted(12, 30, first), Ok(())),
        (EXPIRY, posted(12, 30, first), Err("does what is to be refused: pending_expired")),
        (SOON, posted(12, 31, first), Err("exceeds_pending_amount")),
        (SOON, posted(14, 1, terms(25, u64::MAX)), Err("pending_already_posted")),
        (SOON, posted(16, 1, terms(3, u64::MAX)), Err("pending_already_voided")),
        (SOON, posted(18, 1, terms(4, HELD_AT + 6 + SECOND)), Err("pending_expired")),
        (SOON, posted(99, 1, first), Err("pending_not_found")),
        (SOON, posted(11, 1, first), Err("not_pending")),
        (SOON, posted(12, 0, terms(29, EXPIRY)), Err("and it was")),
        (SOON, posted(12, 0, terms(30, EXPIRY + 1)), Err("and it was")),
        (SOON, posted(12, 0, to_another), Err("and it was")),
        (SOON, posted(12, 0, from_another), Err("and it was")),
        (SOON, posted(12, 0, in_another), Err("and it was")),
        (SOON, voided(12, first), Ok(())),
        (EXPIRY, voided(12, first), Err("pending_expired")),
        (u64::MAX, voided(13, for_ever), Ok(())),
        (SOON, voided(13, terms(11, u64::MAX)), Err("and it was")),
        (SOON, voided(14, terms(25, u64::MAX)), Err("pending_already_posted")),
        (SOON, voided(99, first), Err("pending_not_found")),
        (EXPIRY, expired(12, first), Ok(())),
        (EXPIRY - 1, expired(12, first), Err("which is no hold that has expired")),
        (EXPIRY, expired(12, terms(29, EXPIRY)), Err("and it was")),
        (u64::MAX, expired(13, for_ever), Err("which is no hold that has expired")),
        (EXPIRY, expired(18, terms(4, HELD_AT + 6 + SECOND)), Err("which is no hold that has expired")),
        (EXPIRY, expired(99, first), Err("which is no hold that has expired")),
        (EXPIRY, expired(11, first), Err("which is no hold that has expired")),
    ]);
}

#[test]
fn what_moves_back_was_moved_and_never_more_of_it() {
    let reversed = |id, amount, facts| Entry::Reversed { reversal: reversal(30, id, amount), facts };
    let changed = |facts: ReversedFacts, change: fn(&mut ReversedFacts)| {
        let mut facts = facts;
        change(&mut facts);
        facts
    };
    // Of the capture 15, of which nothing was moved back yet.
    let capture = |amount, original_amount| ReversedFacts {
        legs: [debit(3, 1, amount), credit(2, 1, amount)].into(),
        ..back(amount, original_amount)
    };
    check(&[
        (SOON, reversed(11, 15, back(15, 200)), Ok(())),
        (SOON, reversed(11, 0, back(75, 200)), Err("and it was")),
        (SOON, reversed(11, 0, back(140, 200)), Err("insufficient_funds")),
        (SOON, reversed(11, 141, back(141, 200)), Err("exceeds_original_amount")),
        (SOON, reversed(11, 15, back(16, 200)), Err("and it was")),
        (SOON, reversed(11, 15, back(15, 201)), Err("and it was")),
        (
            SOON,
            reversed(11, 15, changed(back(15, 200), |facts| facts.legs[0].wallet = WalletId(3))),
            Err("and it was"),
        ),
        (
            SOON,
            reversed(11, 15, changed(back(15, 200), |facts| facts.of_transaction = true)),
            Err("and it was"),
        ),
        (SOON, reversed(12, 1, back(1, 30)), Err("original_not_reversible")),
        (SOON, reversed(14, 1, capture(1, 20)), Err("original_not_reversible")),
        (SOON, reversed(15, 1, capture(1, 20)), Ok(())),
        (SOON, reversed(15, 20, capture(20, 20)), Ok(())),
        (SOON, reversed(15, 0, capture(20, 20)), Ok(())),
        (SOON, reversed(15, 0, capture(19, 20)), Err("and it was")),
        (SOON, reversed(15, 21, capture(21, 20)), Err("exceeds_original_amount")),
        (SOON, reversed(15, 5, capture(4, 20)), Err("and it was")),
        (SOON, reversed(15, 5, changed(capture(5, 20), |facts| facts.legs[1].amount = 4)), Err("and it was")),
        (
            SOON,
            reversed(15, 5, changed(capture(5, 20), |facts| facts.legs.reverse())),
            Err("moves back legs that none has"),
        ),
        (
            SOON,
            reversed(15, 5, changed(capture(5, 20), |facts| facts.legs = [credit(2, 1, 5)].into())),
            Err("moves back legs that none has"),
        ),
        (
            SOON,
            reversed(15, 5, changed(capture(5, 20), |facts| facts.legs[1].wallet = WalletId(3))),
            Err("moves back legs that none has"),
        ),
        (
            SOON,
            reversed(15, 5, changed(capture(5, 20), |facts| facts.legs[1].asset = AssetId(2))),
            Err("moves back legs that none has"),
        ),
        (SOON, reversed(15, 1, capture(1, 0)), Err("moves back legs that none has")),
        (SOON, reversed(15, 1, capture(1, AMOUNT_MAX + 1)), Err("moves back legs that none has")),
        // 3 has 25.
        (SOON, reversed(15, 26, capture(26, 30)), Err("insufficient_funds")),
        (SOON, reversed(20, 0, all_back()), Ok(())),
        (SOON, reversed(20, 1, all_back()), Err("transaction_reversed_in_full_only")),
        (SOON, reversed(20, 0, changed(all_back(), |facts| facts.amount = 2)), Err("and it was")),
        (
            SOON,
            reversed(20, 0, changed(all_back(), |facts| facts.original_amount = 2)),
            Err("moves back legs that none has"),
        ),
        (
            SOON,
            reversed(20, 0, changed(all_back(), |facts| facts.legs[0].amount = 4)),
            Err("moves back legs that none has"),
        ),
        (SOON, reversed(21, 0, all_back()), Err("original_already_reversed")),
        // What was reversed is no hold.
        (SOON, Entry::Voided { void: void(30, 11), hold: terms(30, EXPIRY) }, Err("not_pending")),
    ]);
}

#[test]
fn what_is_refused_was_to_be_refused_and_so() {
    let refused = |order, status, detail| Entry::OrderRefused { order, refusal: Refusal { status, detail } };
    let plain = |order, status| refused(order, status, RefusalDetail::None);
    let funds = |available, required| RefusalDetail::InsufficientFunds { available, required };
    let left = |left| RefusalDetail::AmountExceeded { left };
    let transfer_refused =
        |transfer, status, detail| Entry::TransferRefused { transfer, refusal: Refusal { status, detail } };
    let hold = |amount| Order::Pending(pending(30, 2, 3, amount, 1));
    let posted = |id, amount| Order::Post(post(30, id, amount));
    let voided = |id| Order::Void(void(30, id));
    let exchange = Order::Transaction(transaction(
        30,
        &[credit(1, 1, 26), debit(3, 1, 26), debit(4, 2, 7), credit(5, 2, 7)],
    ));
    let leg = |index, status| RefusalDetail::LegRefused { index, status };
    check(&[
        (SOON, transfer_refused(transfer(30, 3, 1, 26), Status::InsufficientFunds, funds(25, 26)), Ok(())),
        // Decided with others open, whose end the wallet did not know yet.
        (SOON, transfer_refused(transfer(30, 3, 1, 26), Status::InsufficientFunds, funds(3, 26)), Ok(())),
        (
            SOON,
            transfer_refused(transfer(30, 3, 1, 26), Status::InsufficientFunds, funds(26, 26)),
            Err("with"),
        ),
        (
            SOON,
            transfer_refused(transfer(30, 3, 1, 26), Status::InsufficientFunds, funds(25, 27)),
            Err("with"),
        ),
        (
            SOON,
            transfer_refused(transfer(30, 3, 1, 26), Status::InsufficientFunds, RefusalDetail::None),
            Err("refuses an order with None, and not with InsufficientFunds"),
        ),
        (
            SOON,
            transfer_refused(transfer(30, 3, 1, 25), Status::InsufficientFunds, funds(24, 25)),
            Err("refuses an order that is to be done, as insufficient_funds"),
        ),
        (
            SOON,
            transfer_refused(transfer(30, 3, 1, 26), Status::DebitWalletFrozen, RefusalDetail::None),
            Err("refuses an order as debit_wallet_frozen, and not as insufficient_funds"),
        ),
        (
            SOON,
            transfer_refused(
                transfer(30, 1, 2, 886),
                Status::LimitExceeded,
                RefusalDetail::LimitExceeded { limit: 1_000 },
            ),
            Ok(()),
        ),
        (
            SOON,
            transfer_refused(
                transfer(30, 1, 2, 886),
                Status::LimitExceeded,
                RefusalDetail::LimitExceeded { limit: 999 },
            ),
            Err("and not with"),
        ),
        (SOON, refused(hold(76), Status::InsufficientFunds, funds(75, 76)), Ok(())),
        (SOON, refused(hold(75), Status::InsufficientFunds, funds(74, 75)), Err("that is to be done")),
        (
            SOON,
            refused(Order::Transfer(transfer(30, 3, 1, 26)), Status::InsufficientFunds, funds(25, 26)),
            Err("refuses a transfer as if it were an order of another kind"),
        ),
        (SOON, refused(exchange.clone(), Status::LegRefused, leg(1, Status::InsufficientFunds)), Ok(())),
        (SOON, refused(exchange.clone(), Status::LegRefused, leg(0, Status::InsufficientFunds)), Err("with")),
        (SOON, refused(exchange.clone(), Status::LegRefused, leg(1, Status::DebitWalletFrozen)), Err("with")),
        (SOON, refused(exchange, Status::InsufficientFunds, funds(25, 26)), Err("and not as leg_refused")),
        (SOON, plain(posted(99, 1), Status::PendingNotFound), Ok(())),
        // There may be an order of this id, which is no hold.
        (SOON, plain(posted(99, 1), Status::NotPending), Ok(())),
        (SOON, refused(posted(99, 1), Status::NotPending, left(3)), Err("and not as pending_not_found")),
        (SOON, plain(posted(99, 1), Status::PendingExpired), Err("and not as pending_not_found")),
        (SOON, plain(posted(11, 1), Status::NotPending), Ok(())),
        (SOON, plain(posted(11, 1), Status::PendingNotFound), Err("and not as not_pending")),
        (SOON, plain(posted(12, 1), Status::PendingNotFound), Err("that is to be done")),
        (SOON, plain(posted(12, 1), Status::NotPending), Err("that is to be done")),
        (SOON, plain(posted(12, 1), Status::PendingExpired), Err("that is to be done")),
        (EXPIRY, plain(posted(12, 1), Status::PendingExpired), Ok(())),
        (SOON, refused(posted(12, 31), Status::ExceedsPendingAmount, left(30)), Ok(())),
        (SOON, refused(posted(12, 31), Status::ExceedsPendingAmount, left(29)), Err("and not with")),
        (
            EXPIRY,
            refused(posted(12, 31), Status::ExceedsPendingAmount, left(30)),
            Err("and not as pending_expired"),
        ),
        (SOON, plain(voided(14), Status::PendingAlreadyPosted), Ok(())),
        (SOON, plain(voided(14), Status::NotPending), Err("and not as pending_already_posted")),
        (SOON, plain(voided(16), Status::PendingAlreadyVoided), Ok(())),
        (SOON, plain(voided(18), Status::PendingExpired), Ok(())),
        (SOON, plain(voided(13), Status::PendingExpired), Err("that is to be done")),
    ]);
}

#[test]
fn a_refused_reversal_is_held_to_what_is_known_of_the_original() {
    let refused = |id, amount, status, detail| Entry::OrderRefused {
        order: Order::Reversal(reversal(30, id, amount)),
        refusal: Refusal { status, detail },
    };
    let plain = |id, amount, status| refused(id, amount, status, RefusalDetail::None);
    let funds = |available, required| RefusalDetail::InsufficientFunds { available, required };
    let left = |left| RefusalDetail::AmountExceeded { left };
    let leg = |index, status| RefusalDetail::LegRefused { index, status };
    let none = Err("refuses a reversal as none is refused");
    check(&[
        // Known, as some of it was reversed: 140 of 200 are left, and 2 can spend 75.
        (SOON, refused(11, 0, Status::InsufficientFunds, funds(75, 140)), Ok(())),
        (SOON, refused(11, 75, Status::InsufficientFunds, funds(74, 75)), Err("that is to be done")),
        (SOON, refused(11, 141, Status::ExceedsOriginalAmount, left(140)), Ok(())),
        (SOON, refused(11, 141, Status::ExceedsOriginalAmount, left(139)), Err("and not with")),
        (SOON, plain(11, 0, Status::OriginalAlreadyReversed), Err("and not as insufficient_funds")),
        (SOON, plain(21, 0, Status::OriginalAlreadyReversed), Ok(())),
        (SOON, plain(21, 0, Status::OriginalNotFound), Err("and not as original_already_reversed")),
        (SOON, plain(12, 1, Status::OriginalNotReversible), Ok(())),
        (SOON, plain(12, 1, Status::OriginalNotFound), Err("and not as original_not_reversible")),
        // Not known.
        (SOON, plain(99, 1, Status::OriginalNotFound), Ok(())),
        (SOON, plain(99, 1, Status::OriginalNotReversible), Ok(())),
        (SOON, refused(99, 1, Status::OriginalNotFound, left(1)), none),
        (SOON, plain(99, 1, Status::OriginalAlreadyReversed), none),
        (SOON, plain(99, 1, Status::TransactionReversedInFullOnly), Ok(())),
        (SOON, plain(99, 0, Status::TransactionReversedInFullOnly), none),
        (SOON, refused(99, 5, Status::ExceedsOriginalAmount, left(4)), Ok(())),
        (SOON, refused(99, 5, Status::ExceedsOriginalAmount, left(5)), none),
        (SOON, refused(99, 5, Status::ExceedsOriginalAmount, left(0)), none),
        (SOON, plain(99, 5, Status::ExceedsOriginalAmount), none),
        (SOON, refused(99, 5, Status::InsufficientFunds, funds(4, 5)), Ok(())),
        (SOON, refused(99, 0, Status::InsufficientFunds, funds(4, 5)), Ok(())),
        (SOON, refused(99, 5, Status::InsufficientFunds, funds(5, 5)), none),
        (SOON, refused(99, 5, Status::InsufficientFunds, funds(4, 6)), none),
        (SOON, plain(99, 5, Status::InsufficientFunds), none),
        (SOON, refused(99, 5, Status::LimitExceeded, RefusalDetail::LimitExceeded { limit: 3 }), Ok(())),
        (SOON, plain(99, 5, Status::LimitExceeded), none),
        (SOON, refused(99, 0, Status::LegRefused, leg(63, Status::InsufficientFunds)), Ok(())),
        (SOON, refused(99, 0, Status::LegRefused, leg(0, Status::LimitExceeded)), Ok(())),
        (SOON, refused(99, 0, Status::LegRefused, leg(0, Status::CreditWalletClosed)), Ok(())),
        (SOON, refused(99, 0, Status::LegRefused, leg(64, Status::InsufficientFunds)), none),
        (SOON, refused(99, 1, Status::LegRefused, leg(63, Status::InsufficientFunds)), none),
        (SOON, refused(99, 0, Status::LegRefused, leg(0, Status::Created)), none),
        (SOON, refused(99, 0, Status::LegRefused, leg(0, Status::DebitWalletNotFound)), none),
        (SOON, plain(99, 0, Status::LegRefused), none),
        (SOON, plain(99, 5, Status::DebitWalletNotFound), none),
        (SOON, plain(99, 5, Status::CreditWalletAssetMismatch), none),
        (SOON, refused(99, 5, Status::DebitWalletFrozen, left(1)), none),
        (SOON, plain(99, 5, Status::PendingNotFound), none),
        (SOON, plain(99, 5, Status::Created), none),
        (SOON, plain(99, 5, Status::Contended), none),
    ]);
    let stops = [
        Status::DebitWalletClosed,
        Status::DebitWalletFrozen,
        Status::DebitWalletOverflow,
        Status::CreditWalletClosed,
        Status::CreditWalletFrozen,
        Status::CreditWalletOverflow,
    ];
    for status in stops {
        check(&[(SOON, plain(99, 5, status), Ok(()))]);
    }
}

/// An accepted order is applied to the wallets that it names, and to no other.
#[test]
fn what_was_right_is_applied() {
    let mut fold = books();
    let balance = |fold: &Fold, id| fold.wallets[&WalletId(id)].position.balance();
    let balances = |fold: &Fold| [1, 2, 3, 4, 5].map(|id| balance(fold, id));
    assert_eq!(balances(&fold), [-140, 115, 25, -7, 7]);
    let posted = Entry::Posted { post: post(30, 12, 12), hold: terms(30, EXPIRY) };
    fold.apply(21, SOON, &posted).expect("in time");
    assert_eq!(balances(&fold), [-140, 103, 37, -7, 7]);
    assert_eq!(fold.wallets[&WalletId(2)].available(SOON), Some(93));
    let reversed = Entry::Reversed { reversal: reversal(31, 20, 0), facts: all_back() };
    fold.apply(22, SOON + 1, &reversed).expect("once");
    assert_eq!(balances(&fold), [-140, 108, 32, 0, 0]);
    let limits = Setting::Limits { overdraft_limit: OverdraftLimit::Limited(7), balance_max: 9 };
    let change = WalletChange { wallet: WalletId(3), setting: limits };
    fold.apply(23, SOON + 2, &Entry::WalletChanged(change)).expect("it changes");
    assert_eq!(fold.wallets[&WalletId(3)].terms.balance_max, 9);
    assert_eq!(fold.wallets[&WalletId(3)].available(SOON), Some(39));
    assert_eq!(fold.wallets[&WalletId(2)].terms.balance_max, 1_000);
}

#[test]
fn what_is_being_imported_moves_only_in_the_group_of_its_import() {
    let imported = |id, import| Entry::WalletCreated(NewWallet { import: ImportId(import), ..wallet(id) });
    let of_group = |group_id| Entry::Transferred(Transfer { group_id, ..transfer(30, 1, 9, 5) });
    let mut fold = books();
    let apply =
        |fold: &mut Fold, entry: &Entry| fold.apply(fold.last_seq + 1, fold.last_timestamp_ns + 1, entry);
    let check = |fold: &Fold, entry: &Entry, expected: Result<(), &str>| {
        let mut next = fold.clone();
        match (apply(&mut next, entry), expected) {
            (Ok(()), Ok(())) => {}
            (Err(fault), Err(expected)) => assert!(fault.to_string().contains(expected), "{fault}"),
            (found, _) => panic!("{entry:?}: {found:?}"),
        }
    };
    apply(&mut fold, &imported(9, 7)).expect("there is no such wallet");
    assert!(fold.is_importing(&fold.wallets[&WalletId(9)]));
    let importing =
        Err("moves money of wallet 00000000-0000-0000-0000-000000000009, which is being imported");
    check(&fold, &of_group(0), importing);
    check(&fold, &of_group(8), importing);
    check(&fold, &of_group(7), Ok(()));
    let change = WalletChange { wallet: WalletId(9), setting: Setting::Metadata(bytes(1)) };
    check(&fold, &Entry::WalletChanged(change), Ok(()));
    check(&fold, &Entry::ImportClosed(ImportId::NONE), Err("id_must_not_be_zero"));
    apply(&mut fold, &Entry::ImportClosed(ImportId(7))).expect("it is open");
    assert!(!fold.is_importing(&fold.wallets[&WalletId(9)]));
    check(&fold, &of_group(0), Ok(()));
    check(
        &fold,
        &Entry::ImportClosed(ImportId(7)),
        Err("closes import 00000000-0000-0000-0000-000000000007 again"),
    );
    check(&fold, &imported(10, 7), Err("imports wallet 00000000-0000-0000-0000-00000000000a after import"));
    check(&fold, &imported(10, 8), Ok(()));
}
