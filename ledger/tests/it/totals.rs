//! Decisions about what is held, totals over wallets, and faults in words: what random histories of one-phase transfers
//! do not reach.

use crate::samples;
use ledger::decide::decide;
use ledger::fold::AssetTotals;
use ledger::{
    AMOUNT_MAX, Asset, AssetCode, AssetId, Circumstances, Decision, Effect, Entry, Fold, NewWallet,
    OpenReservations, Position, Refusal, RefusalDetail, Route, Status, Transfer, Wallet, WalletFlags,
    WalletId,
};

fn terms(id: u128, asset: u32) -> NewWallet {
    NewWallet { asset: AssetId(asset), ..samples::wallet(id) }
}

fn transfer(id: u128, debit: u128, credit: u128, asset: u32, amount: u128) -> Transfer {
    Transfer { asset: AssetId(asset), ..samples::transfer(id, debit, credit, amount) }
}

fn position(
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
) -> Position {
    Position { debits_pending, debits_posted, credits_pending, credits_posted }
}

/// What is held counts as taken, on the debit side, and as put in, on the credit side: to the unit.
#[test]
fn what_is_held_is_neither_spent_twice_nor_makes_room() {
    let decide = |is_debit: bool, position: Position, open: OpenReservations, amount: u128| {
        let mut wallet = Wallet::create(NewWallet { balance_max: 1_000, ..terms(1, 1) }, 1, 1);
        wallet.position = position;
        let part = Route::of_transfer(&transfer(1, 1, 2, 1, amount)).parts()[usize::from(!is_debit)];
        let circumstances = Circumstances { open, ending: &[], now_ns: 1 };
        match decide(Some(&wallet), &part, &circumstances) {
            Decision::Accept => "accept",
            Decision::Wait => "wait",
            Decision::Refuse { refusal, .. } => refusal.status.name(),
        }
    };
    let none = OpenReservations::default();
    let moved = |debits, credits| OpenReservations::of(&Effect::Move { debits, credits });
    let debits = |debits| moved(debits, 0);
    let credits = |credits| moved(0, credits);
    // 500 in, 100 out, 50 held to go out, 70 held to come in: 350 to spend, room for 530.
    let held = position(50, 100, 70, 500);
    assert_eq!(decide(true, held, none, 350), "accept");
    assert_eq!(decide(true, held, none, 351), "insufficient_funds");
    assert_eq!(decide(true, held, debits(10), 340), "accept");
    assert_eq!(decide(true, held, debits(10), 341), "wait");
    assert_eq!(decide(true, held, debits(10), 351), "insufficient_funds");
    assert_eq!(decide(true, held, credits(10), 350), "accept");
    assert_eq!(decide(true, held, credits(10), 351), "wait");
    assert_eq!(decide(true, held, credits(10), 360), "wait");
    assert_eq!(decide(true, held, credits(10), 361), "insufficient_funds");
    assert_eq!(decide(false, held, none, 530), "accept");
    assert_eq!(decide(false, held, none, 531), "limit_exceeded");
    assert_eq!(decide(false, held, credits(10), 520), "accept");
    assert_eq!(decide(false, held, credits(10), 521), "wait");
    assert_eq!(decide(false, held, credits(10), 531), "limit_exceeded");
    assert_eq!(decide(false, held, debits(10), 530), "accept");
    assert_eq!(decide(false, held, debits(10), 531), "wait");
    assert_eq!(decide(false, held, debits(10), 540), "wait");
    assert_eq!(decide(false, held, debits(10), 541), "limit_exceeded");
    // The counters themselves: what is held must still fit when it is posted.
    let nearly = AMOUNT_MAX - 100;
    let out = position(60, nearly, 0, AMOUNT_MAX);
    assert_eq!(decide(true, out, none, 40), "accept");
    assert_eq!(decide(true, out, none, 41), "debit_wallet_overflow");
    assert_eq!(decide(true, out, debits(1), 40), "wait");
    let into = position(0, AMOUNT_MAX, 60, nearly);
    assert_eq!(decide(false, into, none, 40), "accept");
    assert_eq!(decide(false, into, none, 41), "credit_wallet_overflow");
    assert_eq!(decide(false, into, credits(1), 40), "wait");
}

#[test]
fn totals_add_up_wallet_by_wallet_and_part_by_part_and_say_when_they_do_not_balance() {
    let wallet = |position| Wallet { position, ..Wallet::create(terms(1, 1), 1, 1) };
    let (one, other) = (wallet(position(1, 20, 300, 4_000)), wallet(position(299, 3_980, 0, 0)));
    let mut part = AssetTotals::default();
    part.add(&one);
    let alone = AssetTotals {
        wallets: 1,
        debits_posted: 20,
        credits_posted: 4_000,
        debits_pending: 1,
        credits_pending: 300,
    };
    assert_eq!(part, alone);
    assert!(!part.is_balanced());
    let mut rest = AssetTotals::default();
    rest.add(&other);
    part.merge(&rest);
    let both = AssetTotals {
        wallets: 2,
        debits_posted: 4_000,
        credits_posted: 4_000,
        debits_pending: 300,
        credits_pending: 300,
    };
    assert_eq!(part, both);
    assert!(part.is_balanced());
    assert!(!AssetTotals { debits_posted: 3_999, ..both }.is_balanced());
    assert!(!AssetTotals { credits_posted: 4_001, ..both }.is_balanced());
    assert!(!AssetTotals { debits_pending: 0, ..both }.is_balanced());
    assert!(!AssetTotals { credits_pending: 0, ..both }.is_balanced());
    // Beyond 2^128 the sums wrap, alike on both sides.
    let mut huge = AssetTotals::default();
    for _ in 0..5 {
        huge.add(&wallet(position(0, AMOUNT_MAX, 0, AMOUNT_MAX)));
    }
    assert!(huge.is_balanced());
    huge.add(&wallet(position(0, 1, 0, 0)));
    assert!(!huge.is_balanced());
}

#[test]
fn a_fold_totals_each_asset_apart_and_shows_those_without_wallets() {
    let mut fold = Fold::default();
    let mut apply = |entry: Entry| {
        let seq = fold.last_seq + 1;
        fold.apply(seq, seq * 10, &entry).expect("it was decided");
    };
    for id in 1..=3 {
        let code = AssetCode::new("USD").expect("a valid code");
        apply(Entry::AssetCreated(Asset { id: AssetId(id), code, scale: 2 }));
    }
    for (id, asset) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)] {
        apply(Entry::WalletCreated(NewWallet { flags: WalletFlags::SYSTEM, ..terms(id, asset) }));
    }
    apply(Entry::Transferred(transfer(1, 1, 2, 1, 70)));
    apply(Entry::Transferred(transfer(2, 2, 3, 1, 5)));
    apply(Entry::Transferred(transfer(3, 5, 4, 2, 900)));
    let refused = Entry::TransferRefused {
        transfer: transfer(4, 3, 6, 1, 80),
        refusal: Status::CreditWalletNotFound.into(),
    };
    apply(refused);
    let totals = |wallets, posted| AssetTotals {
        wallets,
        debits_posted: posted,
        credits_posted: posted,
        ..AssetTotals::default()
    };
    let expected = [(AssetId(1), totals(3, 75)), (AssetId(2), totals(2, 900)), (AssetId(3), totals(0, 0))];
    assert_eq!(fold.totals().into_iter().collect::<Vec<_>>(), expected);
    assert_eq!((fold.last_seq, fold.last_timestamp_ns), (12, 120));
    assert_eq!((fold.wallets[&WalletId(2)].version, fold.wallets[&WalletId(2)].last_seq), (3, 10));
    assert_eq!(fold.assets[&AssetId(3)].1, 3);
}

#[test]
fn a_journaled_refusal_that_the_rules_do_not_give_is_a_fault() {
    let mut fold = Fold::default();
    let code = AssetCode::new("USD").expect("a valid code");
    fold.apply(1, 1, &Entry::AssetCreated(Asset { id: AssetId(1), code, scale: 2 })).expect("the first");
    for (seq, flags) in [(2, WalletFlags::SYSTEM), (3, WalletFlags::default())] {
        let wallet = NewWallet { flags, ..terms(u128::from(seq), 1) };
        fold.apply(seq, seq, &Entry::WalletCreated(wallet)).expect("it is new");
    }
    let check = |debit, credit, status: Status, expected: Result<(), &str>| {
        let detail = match status {
            Status::InsufficientFunds => RefusalDetail::InsufficientFunds { available: 0, required: 5 },
            _ => RefusalDetail::None,
        };
        let refusal = Refusal { status, detail };
        let entry = Entry::TransferRefused { transfer: transfer(1, debit, credit, 1, 5), refusal };
        let mut applied = fold.clone();
        let fault = applied.apply(4, 4, &entry).map_err(|fault| fault.to_string());
        assert_eq!(fault.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
        assert_eq!(applied.last_seq, if expected.is_ok() { 4 } else { 3 });
        assert_eq!(applied.wallets, fold.wallets, "a refusal moves nothing");
    };
    check(3, 2, Status::InsufficientFunds, Ok(()));
    check(2, 9, Status::CreditWalletNotFound, Ok(()));
    check(
        3,
        2,
        Status::DebitWalletFrozen,
        Err("entry 4: refuses an order as debit_wallet_frozen, and not as insufficient_funds"),
    );
    check(
        2,
        3,
        Status::InsufficientFunds,
        Err("entry 4: refuses an order that is to be done, as insufficient_funds"),
    );
}

#[test]
fn what_is_no_id_is_named_in_the_message() {
    let error = "forty-two".parse::<WalletId>().expect_err("no id").to_string();
    assert_eq!(error, "`forty-two` is neither a UUID nor an integer below 2^128");
    assert_eq!(AssetId(840).to_string(), "840");
}
