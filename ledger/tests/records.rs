//! Assets, wallets and transfers at their border: what shape each may have, to the byte and to the unit, and what the
//! second creation of the same id is answered, field by field.

use ledger::asset::{ASSET_CODE_LENGTH_MAX, ASSET_SCALE_MAX};
use ledger::transfer::TRANSFER_METADATA_MAX;
use ledger::wallet::{OWNER_LENGTH_MAX, WALLET_METADATA_MAX};
use ledger::{
    AMOUNT_MAX, Asset, AssetCode, AssetId, Entry, NewWallet, OverdraftLimit, Owner, Position, Refusal,
    Status, Transfer, TransferId, Wallet, WalletFlags, WalletId,
};

fn code(text: &str) -> AssetCode {
    AssetCode::new(text).expect("a valid code")
}

fn asset() -> Asset {
    Asset { id: AssetId(1), code: code("USD"), scale: 2 }
}

fn wallet() -> NewWallet {
    NewWallet {
        id: WalletId(1),
        owner: Owner::Number(0),
        asset: AssetId(1),
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit: OverdraftLimit::Limited(0),
        balance_max: 0,
        metadata: Box::default(),
    }
}

fn transfer() -> Transfer {
    Transfer {
        id: TransferId(1),
        debit_wallet: WalletId(1),
        credit_wallet: WalletId(2),
        asset: AssetId(1),
        amount: 1,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

fn bytes(length: usize) -> Box<[u8]> {
    vec![7; length].into()
}

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
        let asset = with(asset(), change);
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
        let wallet = with(wallet(), change);
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
        let transfer = with(transfer(), change);
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
        ..wallet()
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
        let again = with(asset(), change);
        assert_eq!((asset().compare(&again), again.compare(&asset())), (expected, expected), "{again:?}");
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
    assert_eq!(wallet().compare(&wallet()), Status::Exists);
    for (change, expected) in changes {
        let again = with(wallet(), change);
        assert_eq!((wallet().compare(&again), again.compare(&wallet())), (expected, expected), "{again:?}");
    }
    let mut again = wallet();
    for (change, expected) in changes.into_iter().rev() {
        change(&mut again);
        assert_eq!(wallet().compare(&again), expected, "the first of several: {again:?}");
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
    assert_eq!(transfer().compare(&transfer()), Status::Exists);
    for (change, expected) in changes {
        let again = with(transfer(), change);
        assert_eq!(
            (transfer().compare(&again), again.compare(&transfer())),
            (expected, expected),
            "{again:?}"
        );
    }
    let mut again = transfer();
    for (change, expected) in changes.into_iter().rev() {
        change(&mut again);
        assert_eq!(transfer().compare(&again), expected, "the first of several: {again:?}");
    }
}

#[test]
fn flags_have_their_bits_and_names_and_are_told_apart() {
    let bits: Vec<(u16, &str)> = WalletFlags::ALL.iter().map(|(flag, name)| (flag.bits(), *name)).collect();
    assert_eq!(bits, [(1, "debit_frozen"), (2, "credit_frozen"), (4, "closed"), (8, "system")]);
    for bits in 0..16 {
        let flags = WalletFlags::from_bits(bits);
        assert_eq!(flags.bits(), bits);
        let expected: Vec<&str> = WalletFlags::ALL
            .iter()
            .filter(|(flag, _)| bits & flag.bits() != 0)
            .map(|(_, name)| *name)
            .collect();
        assert_eq!(flags.names().collect::<Vec<_>>(), expected, "{bits:04b}");
        for others in 0..16 {
            let other = WalletFlags::from_bits(others);
            assert_eq!(flags.with(other).bits(), bits | others);
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

#[test]
fn an_entry_names_the_wallets_that_it_changes_debits_first() {
    let check = |entry: Entry, expected: &[u128]| {
        let named: Vec<u128> = entry.wallets().map(|wallet| wallet.0).collect();
        assert_eq!(named, expected, "{entry:?}");
    };
    check(Entry::AssetCreated(asset()), &[]);
    check(Entry::WalletCreated(with(wallet(), |wallet| wallet.id = WalletId(9))), &[9]);
    check(Entry::Transferred(with(transfer(), |transfer| transfer.debit_wallet = WalletId(5))), &[5, 2]);
    let refusal = Status::InsufficientFunds.into();
    check(Entry::TransferRefused { transfer: transfer(), refusal }, &[]);
}

#[test]
fn a_wallet_counts_its_entries_and_knows_the_newest_in_whatever_order_they_come() {
    let mut wallet = Wallet::create(wallet(), 4, 400);
    assert_eq!((wallet.version, wallet.last_seq, wallet.created_seq, wallet.created_at_ns), (1, 4, 4, 400));
    wallet.credit(10, 9);
    assert_eq!((wallet.version, wallet.last_seq), (2, 9));
    wallet.debit(3, 7);
    assert_eq!((wallet.version, wallet.last_seq), (3, 9), "an older entry is not the newest");
    wallet.debit(2, 12);
    assert_eq!((wallet.version, wallet.last_seq, wallet.created_seq), (4, 12, 4));
    let expected = Position { debits_posted: 5, credits_posted: 10, ..Position::default() };
    assert_eq!(wallet.position, expected);
    assert_eq!(wallet.position.balance(), 5);
}

#[test]
fn what_can_be_spent_is_shown_with_limits_and_holds_and_without_overflow() {
    let check = |limit: OverdraftLimit, flags: WalletFlags, position: Position, expected: Option<i128>| {
        let mut wallet = Wallet::create(NewWallet { overdraft_limit: limit, flags, ..wallet() }, 1, 1);
        wallet.position = position;
        assert_eq!(wallet.available(), expected, "{wallet:?}");
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
