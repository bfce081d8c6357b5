//! Assets, wallets and transfers at their border: what shape each may have, to the byte and to the unit, and what the
//! second creation of the same id is answered, field by field.

use crate::samples::{
    asset, bytes, code, credit, debit, hold, pending, post, reversal, transaction, transfer, void, wallet,
};
use ledger::asset::{ASSET_CODE_LENGTH_MAX, ASSET_SCALE_MAX};
use ledger::transfer::TRANSFER_METADATA_MAX;
use ledger::wallet::{OWNER_LENGTH_MAX, WALLET_METADATA_MAX};
use ledger::{
    AMOUNT_MAX, Asset, AssetCode, AssetId, Effect, Entry, Facts, ImportId, NewWallet, Order, OrderKind,
    OverdraftLimit, Owner, Position, Refusal, ReversedFacts, Setting, Side, Status, Transfer, TransferId,
    Wallet, WalletChange, WalletFlags, WalletId,
};

/// Another value in one field, and what a repetition with it is answered.
type Change<T> = (fn(&mut T), Status);

/// A record with one field changed.
fn with<T>(mut record: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut record);
    record
}

fn status(shape: Result<(), Refusal>) -> Option<Status> {
    shape.err().map(|refusal| refusal.status)
}

#[test]
fn an_asset_has_an_id_and_at_most_38_digits() {
    let check = |change: fn(&mut Asset), expected| {
        let asset = with(asset(1), change);
        assert_eq!(status(asset.check_shape()), expected, "{asset:?}");
    };
    check(|_| {}, None);
    check(|asset| asset.id = AssetId(0), Some(Status::IdMustNotBeZero));
    check(|asset| asset.id = AssetId(u32::MAX), None);
    check(|asset| asset.scale = 0, None);
    check(|asset| asset.scale = ASSET_SCALE_MAX - 1, None);
    check(|asset| asset.scale = ASSET_SCALE_MAX, None);
    check(|asset| asset.scale = ASSET_SCALE_MAX + 1, Some(Status::AssetScaleTooLarge));
    check(|asset| asset.scale = u8::MAX, Some(Status::AssetScaleTooLarge));
    assert_eq!(ASSET_SCALE_MAX, 38);
}

#[test]
fn an_asset_code_is_short_upper_case_and_written_as_it_was_read() {
    let check = |text: &str, is_code: bool| {
        let code = AssetCode::new(text);
        assert_eq!(code.is_some(), is_code, "{text:?}");
        if let Some(code) = code {
            assert_eq!(code.as_str(), text);
            assert_eq!(code.to_string(), text);
            assert_eq!(format!("{code:?}"), format!("{text:?}"));
            assert_eq!(format!("{code:>18}"), format!("{text:>18}"), "a table's width is respected");
        }
    };
    check("U", true);
    check("USD", true);
    check("GEMS_2.X-9", true);
    check("ABCDEFGHIJKLMNOP", true);
    check("ABCDEFGHIJKLMNOPQ", false);
    check("", false);
    check("usd", false);
    check("US D", false);
    check("US/D", false);
    check("ÄÖÜ", false);
    check("A\0", false);
    assert_eq!(ASSET_CODE_LENGTH_MAX, 16);
    assert_ne!(code("US"), code("USD"));
}

#[test]
fn a_wallet_has_an_id_flags_that_may_be_set_and_bounded_limits_owner_and_metadata() {
    let check = |change: &dyn Fn(&mut NewWallet), expected| {
        let wallet = with(wallet(1), change);
        assert_eq!(status(wallet.check_shape()), expected, "{wallet:?}");
    };
    check(&|_| {}, None);
    check(&|wallet| wallet.id = WalletId(0), Some(Status::IdMustNotBeZero));
    check(&|wallet| wallet.id = WalletId(u128::MAX), None);
    for bit in 0..16 {
        let settable = [0, 1, 3].contains(&bit);
        let expected = (!settable).then_some(Status::ReservedFlag);
        check(&|wallet| wallet.flags = WalletFlags::from_bits(1 << bit), expected);
    }
    check(&|wallet| wallet.flags = WalletFlags::from_bits(0b1011), None);
    check(&|wallet| wallet.flags = WalletFlags::from_bits(0b1111), Some(Status::ReservedFlag));
    for (limit, expected) in [
        (0, None),
        (AMOUNT_MAX - 1, None),
        (AMOUNT_MAX, None),
        (AMOUNT_MAX + 1, Some(Status::LimitTooLarge)),
        (u128::MAX, Some(Status::LimitTooLarge)),
    ] {
        check(&|wallet| wallet.overdraft_limit = OverdraftLimit::Limited(limit), expected);
        check(&|wallet| wallet.balance_max = limit, expected);
    }
    check(&|wallet| wallet.overdraft_limit = OverdraftLimit::Unlimited, None);
    check(&|wallet| wallet.owner = Owner::Number(u128::MAX), None);
    for (length, expected) in [
        (0, None),
        (OWNER_LENGTH_MAX - 1, None),
        (OWNER_LENGTH_MAX, None),
        (OWNER_LENGTH_MAX + 1, Some(Status::OwnerTooLarge)),
        (OWNER_LENGTH_MAX + 2, Some(Status::OwnerTooLarge)),
    ] {
        check(&|wallet| wallet.owner = Owner::Bytes(bytes(length)), expected);
    }
    for (length, expected) in [
        (WALLET_METADATA_MAX - 1, None),
        (WALLET_METADATA_MAX, None),
        (WALLET_METADATA_MAX + 1, Some(Status::MetadataTooLarge)),
        (WALLET_METADATA_MAX + 2, Some(Status::MetadataTooLarge)),
    ] {
        check(&|wallet| wallet.metadata = bytes(length), expected);
    }
    assert_eq!((OWNER_LENGTH_MAX, WALLET_METADATA_MAX), (64, 1024));
}

#[test]
fn a_transfer_has_an_id_an_amount_two_wallets_and_bounded_metadata() {
    let check = |change: &dyn Fn(&mut Transfer), expected| {
        let transfer = with(transfer(1, 1, 2, 1), change);
        assert_eq!(status(transfer.check_shape()), expected, "{transfer:?}");
    };
    check(&|_| {}, None);
    check(&|transfer| transfer.id = TransferId(0), Some(Status::IdMustNotBeZero));
    check(&|transfer| transfer.amount = 0, Some(Status::AmountMustNotBeZero));
    check(&|transfer| transfer.amount = AMOUNT_MAX, None);
    check(&|transfer| transfer.amount = AMOUNT_MAX + 1, Some(Status::AmountTooLarge));
    check(&|transfer| transfer.amount = u128::MAX, Some(Status::AmountTooLarge));
    check(&|transfer| transfer.credit_wallet = transfer.debit_wallet, Some(Status::WalletsMustDiffer));
    for (length, expected) in [
        (TRANSFER_METADATA_MAX - 1, None),
        (TRANSFER_METADATA_MAX, None),
        (TRANSFER_METADATA_MAX + 1, Some(Status::MetadataTooLarge)),
        (TRANSFER_METADATA_MAX + 2, Some(Status::MetadataTooLarge)),
    ] {
        check(&|transfer| transfer.metadata = bytes(length), expected);
    }
    assert_eq!(TRANSFER_METADATA_MAX, 256);
    assert_eq!(AMOUNT_MAX, 170_141_183_460_469_231_731_687_303_715_884_105_727, "2^127 - 1");
}

#[test]
fn of_several_faults_in_a_shape_the_first_in_the_documented_order_is_told() {
    let mut wrong = NewWallet {
        id: WalletId(0),
        owner: Owner::Bytes(bytes(65)),
        flags: WalletFlags::CLOSED,
        balance_max: u128::MAX,
        metadata: bytes(1_025),
        ..wallet(1)
    };
    let mut told = Vec::new();
    let repairs: [fn(&mut NewWallet); 5] = [
        |wallet| wallet.id = WalletId(1),
        |wallet| wallet.flags = WalletFlags::default(),
        |wallet| wallet.balance_max = 0,
        |wallet| wallet.owner = Owner::Number(0),
        |wallet| wallet.metadata = Box::default(),
    ];
    for repair in repairs {
        told.extend(status(wrong.check_shape()));
        repair(&mut wrong);
    }
    assert_eq!(
        told,
        [
            Status::IdMustNotBeZero,
            Status::ReservedFlag,
            Status::LimitTooLarge,
            Status::OwnerTooLarge,
            Status::MetadataTooLarge
        ]
    );
    assert_eq!(wrong.check_shape(), Ok(()));
}

#[test]
fn the_second_creation_of_an_asset_is_answered_field_by_field() {
    let check = |change: fn(&mut Asset), expected| {
        let again = with(asset(1), change);
        assert_eq!((asset(1).compare(&again), again.compare(&asset(1))), (expected, expected), "{again:?}");
    };
    check(|_| {}, Status::Exists);
    check(|asset| asset.code = code("EUR"), Status::ExistsWithDifferentCode);
    check(|asset| asset.scale = 3, Status::ExistsWithDifferentScale);
}

#[test]
fn the_second_creation_of_a_wallet_is_answered_with_the_first_field_that_differs() {
    let changes: [Change<NewWallet>; 7] = [
        (|wallet| wallet.owner = Owner::Bytes(bytes(16)), Status::ExistsWithDifferentOwner),
        (|wallet| wallet.asset = AssetId(2), Status::ExistsWithDifferentAsset),
        (|wallet| wallet.code = 1, Status::ExistsWithDifferentCode),
        (|wallet| wallet.flags = WalletFlags::SYSTEM, Status::ExistsWithDifferentFlags),
        (
            |wallet| wallet.overdraft_limit = OverdraftLimit::Unlimited,
            Status::ExistsWithDifferentOverdraftLimit,
        ),
        (|wallet| wallet.balance_max = 1, Status::ExistsWithDifferentBalanceMax),
        (|wallet| wallet.metadata = bytes(1), Status::ExistsWithDifferentMetadata),
    ];
    assert_eq!(wallet(1).compare(&wallet(1)), Status::Exists);
    for (change, expected) in changes {
        let again = with(wallet(1), change);
        assert_eq!((wallet(1).compare(&again), again.compare(&wallet(1))), (expected, expected), "{again:?}");
    }
    let mut again = wallet(1);
    for (change, expected) in changes.into_iter().rev() {
        change(&mut again);
        assert_eq!(wallet(1).compare(&again), expected, "the first of several: {again:?}");
    }
}

#[test]
fn a_second_transfer_of_an_id_is_answered_with_the_first_field_that_differs() {
    let changes: [Change<Transfer>; 8] = [
        (|transfer| transfer.debit_wallet = WalletId(3), Status::ExistsWithDifferentDebitWallet),
        (|transfer| transfer.credit_wallet = WalletId(3), Status::ExistsWithDifferentCreditWallet),
        (|transfer| transfer.asset = AssetId(2), Status::ExistsWithDifferentAsset),
        (|transfer| transfer.amount = 2, Status::ExistsWithDifferentAmount),
        (|transfer| transfer.group_id = 1, Status::ExistsWithDifferentGroupId),
        (|transfer| transfer.code = 1, Status::ExistsWithDifferentCode),
        (|transfer| transfer.effective_at_ns = 1, Status::ExistsWithDifferentEffectiveAt),
        (|transfer| transfer.metadata = bytes(1), Status::ExistsWithDifferentMetadata),
    ];
    assert_eq!(transfer(1, 1, 2, 1).compare(&transfer(1, 1, 2, 1)), Status::Exists);
    for (change, expected) in changes {
        let again = with(transfer(1, 1, 2, 1), change);
        assert_eq!(
            (transfer(1, 1, 2, 1).compare(&again), again.compare(&transfer(1, 1, 2, 1))),
            (expected, expected),
            "{again:?}"
        );
    }
    let mut again = transfer(1, 1, 2, 1);
    for (change, expected) in changes.into_iter().rev() {
        change(&mut again);
        assert_eq!(transfer(1, 1, 2, 1).compare(&again), expected, "the first of several: {again:?}");
    }
}

#[test]
fn flags_have_their_bits_and_names_and_are_told_apart() {
    let bits: Vec<(u16, &str)> = WalletFlags::ALL.iter().map(|(flag, name)| (flag.bits(), *name)).collect();
    assert_eq!(bits, [(1, "debit_frozen"), (2, "credit_frozen"), (4, "closed"), (8, "system")]);
    for bits in 0..16 {
        let flags = WalletFlags::from_bits(bits);
        assert_eq!(flags.bits(), bits);
        assert_eq!(flags.is_empty(), bits == 0);
        let expected: Vec<&str> = WalletFlags::ALL
            .iter()
            .filter(|(flag, _)| bits & flag.bits() != 0)
            .map(|(_, name)| *name)
            .collect();
        assert_eq!(flags.names().collect::<Vec<_>>(), expected, "{bits:04b}");
        for others in 0..16 {
            let other = WalletFlags::from_bits(others);
            assert_eq!(flags.with(other).bits(), bits | others);
            assert_eq!(flags.without(other).bits(), bits & !others);
            assert_eq!(flags.contains(other), bits & others == others, "{bits:04b} {others:04b}");
        }
    }
    // With more than was asked for set, the answer is still whether that is set.
    let both = WalletFlags::DEBIT_FROZEN.with(WalletFlags::SYSTEM);
    assert!(both.contains(WalletFlags::SYSTEM) && !both.contains(WalletFlags::CLOSED));
}

#[test]
fn only_what_is_done_is_a_success() {
    for &status in Status::ALL {
        let done = [Status::Created, Status::Exists].contains(&status);
        assert_eq!(status.is_success(), done, "{status}");
    }
}

/// One entry of each kind, with what is to be said of it.
struct Expected {
    wallets: &'static [u128],
    order_id: Option<u128>,
    kind: Option<OrderKind>,
    resolves: Option<(u128, OrderKind)>,
}

#[test]
fn an_entry_names_its_wallets_its_id_its_kind_and_what_it_is_about() {
    let nothing = Expected { wallets: &[], order_id: None, kind: None, resolves: None };
    let done = |wallets, id, kind| Expected { wallets, order_id: Some(id), kind: Some(kind), resolves: None };
    let refusal = Refusal::from(Status::InsufficientFunds);
    let terms = hold(9, 77);
    let back = [debit(2, 1, 4), credit(1, 1, 4)];
    let facts = ReversedFacts { legs: back.into(), of_transaction: false, amount: 4, original_amount: 9 };
    let several = [credit(1, 1, 5), debit(8, 1, 5), credit(8, 1, 2), debit(3, 1, 2)];
    let change = WalletChange { wallet: WalletId(6), setting: Setting::Metadata(bytes(1)) };
    let cases = [
        (Entry::AssetCreated(asset(1)), nothing),
        (
            Entry::WalletCreated(wallet(9)),
            Expected { wallets: &[9], order_id: None, kind: None, resolves: None },
        ),
        (Entry::Transferred(transfer(11, 5, 2, 1)), done(&[5, 2], 11, OrderKind::Transfer)),
        (
            Entry::TransferRefused { transfer: transfer(12, 1, 2, 1), refusal },
            Expected { wallets: &[], order_id: Some(12), kind: None, resolves: None },
        ),
        (Entry::Pended(pending(13, 5, 2, 1, 3)), done(&[5, 2], 13, OrderKind::Pending)),
        (
            Entry::Posted { post: post(14, 13, 4), hold: terms },
            Expected { resolves: Some((13, OrderKind::Post)), ..done(&[1, 2], 14, OrderKind::Post) },
        ),
        (
            Entry::Voided { void: void(15, 13), hold: terms },
            Expected { resolves: Some((13, OrderKind::Void)), ..done(&[1, 2], 15, OrderKind::Void) },
        ),
        (
            Entry::Expired { pending_id: TransferId(13), hold: terms },
            Expected {
                wallets: &[1, 2],
                order_id: None,
                kind: Some(OrderKind::Expire),
                resolves: Some((13, OrderKind::Expire)),
            },
        ),
        (
            Entry::Reversed { reversal: reversal(16, 11, 4), facts: facts.clone() },
            Expected { resolves: Some((11, OrderKind::Reversal)), ..done(&[2, 1], 16, OrderKind::Reversal) },
        ),
        (Entry::TransactionDone(transaction(17, &several)), done(&[3, 8, 1], 17, OrderKind::Transaction)),
        (
            Entry::OrderRefused { order: Order::Void(void(18, 13)), refusal },
            Expected { wallets: &[], order_id: Some(18), kind: None, resolves: None },
        ),
        (
            Entry::WalletChanged(change),
            Expected { wallets: &[6], order_id: None, kind: None, resolves: None },
        ),
        (
            Entry::ImportClosed(ImportId(6)),
            Expected { wallets: &[], order_id: None, kind: None, resolves: None },
        ),
    ];
    for (entry, expected) in cases {
        let named: Vec<u128> = entry.wallets().map(|wallet| wallet.0).collect();
        assert_eq!(named, expected.wallets, "{entry:?}");
        assert_eq!(entry.order_id(), expected.order_id.map(TransferId), "{entry:?}");
        assert_eq!(entry.kind(), expected.kind, "{entry:?}");
        let resolves = entry.resolves();
        let about = resolves.as_ref().map(|(id, kind, _)| (id.0, *kind));
        assert_eq!(about, expected.resolves, "{entry:?}");
        let expected_facts = match &entry {
            Entry::Reversed { .. } => Some(Facts::Reversed(facts.clone())),
            Entry::Posted { .. } | Entry::Voided { .. } | Entry::Expired { .. } => Some(Facts::Hold(terms)),
            _ => None,
        };
        assert_eq!(resolves.clone().map(|(_, _, facts)| facts), expected_facts);
        // Taken apart and put together again, it is the same.
        let order = entry.clone().into_order();
        assert_eq!(order.as_ref().map(|(order, _)| order.id()), entry.order_id());
        let again = order.map(|(order, refused)| match refused {
            None => Entry::done(order, resolves.map(|(_, _, facts)| facts)),
            Some(refusal) => Entry::refused(order, refusal),
        });
        assert_eq!(again, entry.order_id().map(|_| entry.clone()));
    }
}

#[test]
fn a_wallet_counts_its_entries_and_knows_the_newest_in_whatever_order_they_come() {
    let mut wallet = Wallet::create(wallet(1), 4, 400);
    assert_eq!((wallet.version, wallet.last_seq, wallet.created_seq, wallet.created_at_ns), (1, 4, 4, 400));
    wallet.apply(&Effect::Move { debits: 0, credits: 10 }, 9, 900);
    assert_eq!((wallet.version, wallet.last_seq), (2, 9));
    wallet.apply(&Effect::Move { debits: 3, credits: 0 }, 7, 700);
    assert_eq!((wallet.version, wallet.last_seq), (3, 9), "an older entry is not the newest");
    wallet.apply(&Effect::Move { debits: 2, credits: 0 }, 12, 1_200);
    assert_eq!((wallet.version, wallet.last_seq, wallet.created_seq), (4, 12, 4));
    let expected = Position { debits_posted: 5, credits_posted: 10, ..Position::default() };
    assert_eq!(wallet.position, expected);
    assert_eq!(wallet.position.balance(), 5);
}

#[test]
fn what_can_be_spent_is_shown_with_limits_and_holds_and_without_overflow() {
    let check = |limit: OverdraftLimit, flags: WalletFlags, position: Position, expected: Option<i128>| {
        let mut wallet = Wallet::create(NewWallet { overdraft_limit: limit, flags, ..wallet(1) }, 1, 1);
        wallet.position = position;
        assert_eq!(wallet.available(1), expected, "{wallet:?}");
    };
    let none = WalletFlags::default();
    let position =
        Position { debits_posted: 20, credits_posted: 70, debits_pending: 8, credits_pending: 900 };
    check(OverdraftLimit::Limited(0), none, position, Some(42));
    check(OverdraftLimit::Limited(100), none, position, Some(142));
    check(OverdraftLimit::Unlimited, none, position, None);
    check(OverdraftLimit::Limited(0), WalletFlags::SYSTEM, position, None);
    let below = Position { debits_posted: 20, ..Position::default() };
    check(OverdraftLimit::Limited(5), none, below, Some(-15));
    let full = Position { credits_posted: AMOUNT_MAX, ..Position::default() };
    check(OverdraftLimit::Limited(AMOUNT_MAX), none, full, Some(i128::MAX));
    check(OverdraftLimit::Limited(0), none, full, Some(i128::MAX));
    let spent = Position { debits_posted: AMOUNT_MAX, debits_pending: AMOUNT_MAX, ..Position::default() };
    check(OverdraftLimit::Limited(0), none, spent, Some(i128::MIN));
}

/// A hold counts until the nanosecond at which it expires, whenever its end is journaled, and its end takes it away.
#[test]
fn a_wallet_holds_until_the_nanosecond_of_expiry_and_captures_or_releases() {
    const SECOND: u64 = 1_000_000_000;
    let terms = NewWallet { overdraft_limit: OverdraftLimit::Limited(100), ..wallet(1) };
    let hold = |id, side, amount, timeout_s| Effect::Hold { id: TransferId(id), side, amount, timeout_s };
    let resolve = |id, side, held, captured| Effect::Resolve { id: TransferId(id), side, held, captured };
    let mut wallet = Wallet::create(terms, 1, 1);
    wallet.apply(&hold(1, Side::Debit, 30, 2), 2, 10);
    wallet.apply(&hold(2, Side::Debit, 5, 0), 3, 20);
    wallet.apply(&hold(3, Side::Credit, 1_000, 1), 4, 30);
    wallet.apply(&hold(4, Side::Credit, 2_000, 0), 5, 40);
    let expected = Position { debits_pending: 35, credits_pending: 3_000, ..Position::default() };
    assert_eq!((wallet.position, wallet.version, wallet.last_seq), (expected, 5, 5));
    assert_eq!((wallet.position.pending(Side::Debit), wallet.position.pending(Side::Credit)), (35, 3_000));
    assert_eq!(wallet.available(2 * SECOND + 9), Some(65));
    assert_eq!(wallet.available(2 * SECOND + 10), Some(95), "what is held for it is not to be spent");
    assert_eq!(wallet.available(u64::MAX), Some(95));
    wallet.apply(&resolve(1, Side::Debit, 30, 12), 7, 50);
    let expected =
        Position { debits_pending: 5, debits_posted: 12, credits_pending: 3_000, credits_posted: 0 };
    assert_eq!((wallet.position, wallet.version, wallet.last_seq), (expected, 6, 7));
    assert_eq!(wallet.available(60), Some(83));
    wallet.apply(&resolve(4, Side::Credit, 2_000, 2_000), 6, 60);
    wallet.apply(&resolve(3, Side::Credit, 1_000, 0), 8, 70);
    wallet.apply(&resolve(2, Side::Debit, 5, 0), 9, 80);
    let expected = Position { debits_posted: 12, credits_posted: 2_000, ..Position::default() };
    assert_eq!((wallet.position, wallet.version, wallet.last_seq), (expected, 9, 9));
    assert!(wallet.holds.is_empty());
}

#[test]
fn a_hold_is_ended_as_it_was_made_or_not_at_all() {
    let made = Effect::Hold { id: TransferId(1), side: Side::Debit, amount: 30, timeout_s: 0 };
    let check = |effect: Effect| {
        let outcome = std::panic::catch_unwind(|| {
            let mut wallet = Wallet::create(wallet(1), 1, 1);
            wallet.apply(&made, 2, 2);
            wallet.apply(&effect, 3, 3);
        });
        assert!(outcome.is_err(), "{effect:?}");
    };
    check(made);
    check(Effect::Resolve { id: TransferId(2), side: Side::Debit, held: 30, captured: 30 });
    check(Effect::Resolve { id: TransferId(1), side: Side::Credit, held: 30, captured: 30 });
    check(Effect::Resolve { id: TransferId(1), side: Side::Debit, held: 29, captured: 29 });
    check(Effect::Resolve { id: TransferId(1), side: Side::Debit, held: 31, captured: 0 });
    check(Effect::Move { debits: AMOUNT_MAX + 1, credits: 0 });
    check(Effect::Move { debits: 0, credits: u128::MAX });
}

#[test]
fn a_changed_wallet_remembers_what_it_was_created_with() {
    let first = NewWallet { metadata: bytes(3), ..wallet(1) };
    let change = |setting| WalletChange { wallet: WalletId(1), setting };
    let mut changed = Wallet::create(first.clone(), 4, 400);
    assert_eq!((changed.created_terms(), changed.created_as.is_some()), (&first, false));
    let limits = Setting::Limits { overdraft_limit: OverdraftLimit::Unlimited, balance_max: 70 };
    changed.change(&change(limits), 5);
    let (set, clear) = (WalletFlags::CLOSED.with(WalletFlags::DEBIT_FROZEN), WalletFlags::DEBIT_FROZEN);
    changed.change(&change(Setting::Flags { set, clear: WalletFlags::default() }), 7);
    changed.change(&change(Setting::Flags { set: WalletFlags::default(), clear }), 6);
    changed.change(&change(Setting::Metadata(bytes(2))), 8);
    let expected = NewWallet {
        overdraft_limit: OverdraftLimit::Unlimited,
        balance_max: 70,
        flags: WalletFlags::CLOSED,
        metadata: bytes(2),
        ..first.clone()
    };
    assert_eq!((&changed.terms, changed.created_terms()), (&expected, &first));
    assert_eq!((changed.version, changed.last_seq, changed.created_seq), (5, 8, 4));
}
