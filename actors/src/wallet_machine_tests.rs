//! The budget of restarts, to the nanosecond; who is decided when; and what is told of a wallet.

use crate::in_flight::{InFlight, Reserved};
use crate::request::{Operations, WalletView};
use crate::shard_machine::ShardMessage;
use crate::test_house::{Asked, House, NOW, transfer, wallet_terms};
use crate::wallet_machine::{RESTART_WINDOW_NS, RESTARTS_MAX, Turn, WalletMachine, WalletMessage};
use ledger::original::{Original, resolve};
use ledger::{
    Memo, Order, Part, Pending, Post, Route, Setting, Side, Status, Transfer, TransferId, Wallet,
    WalletChange, WalletFlags, WalletId,
};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_wallet_is_quarantined_by_more_than_five_restarts_within_a_minute_and_not_by_fewer_or_slower_ones() {
    let check = |restarts_ns: &[u64], is_quarantined_by: Option<usize>| {
        let house = House::new(false);
        let mut machine = WalletMachine::new(WalletId(1), None, 0);
        for (index, &now_ns) in restarts_ns.iter().enumerate() {
            let mut post = house.mailboxes.clone();
            let mut turn = Turn { core: &house.core, now_ns, post: &mut post };
            let restarted = machine.restart(&mut turn);
            let is_quarantined = is_quarantined_by == Some(index);
            assert_eq!(restarted.is_none(), is_quarantined, "{restarts_ns:?}: restart {index}");
            assert_eq!(machine.is_quarantined(), is_quarantined, "{restarts_ns:?}: restart {index}");
        }
    };
    assert_eq!((RESTARTS_MAX, RESTART_WINDOW_NS), (5, 60 * SECOND));
    check(&[1, 2, 3, 4, 5], None);
    check(&[1, 2, 3, 4, 5, 6], Some(5));
    // The first is a minute and a nanosecond ago when the sixth comes; and then exactly a minute.
    let sixth = |after_ns| [1, 2, 3, 4, 5, 1 + after_ns];
    check(&sixth(RESTART_WINDOW_NS + 1), None);
    check(&sixth(RESTART_WINDOW_NS), Some(5));
    // One every thirteen seconds, for ever: never more than five in a minute.
    let slow: Vec<u64> = (1..=100).map(|restart| restart * 13 * SECOND).collect();
    check(&slow, None);
    let faster: Vec<u64> = (1..=6).map(|restart| restart * 12 * SECOND).collect();
    check(&faster, Some(5));
}

/// The wallet 1, with 5 to spend.
fn with_funds() -> Wallet {
    let mut wallet = Wallet::create(wallet_terms(1), 0, NOW);
    let funding = Transfer { debit_wallet: WalletId(9), credit_wallet: WalletId(1), ..transfer(1) };
    wallet.apply(&Part::of_transfer(&funding, Side::Credit).effect, 0, NOW);
    wallet
}

/// A hold from the wallet 3 for the wallet 1.
fn hold() -> Pending {
    let transfer = Transfer { debit_wallet: WalletId(3), credit_wallet: WalletId(1), ..transfer(5) };
    Pending { transfer, timeout_s: 0 }
}

fn handle(machine: &mut WalletMachine, house: &House, message: WalletMessage) {
    let mut post = house.mailboxes.clone();
    machine.handle(message, &mut Turn { core: &house.core, now_ns: NOW, post: &mut post });
}

/// The capture of the hold, accepted by the wallet 3; but meanwhile somebody has cancelled this attempt.
fn cancelled_capture(house: &House) -> (Asked, InFlight) {
    let pending = hold();
    let (id, pending_id) = (TransferId(9), pending.transfer.id);
    let order = Order::Post(Post { id, pending_id, amount: 0, memo: Memo::default() });
    let plan = resolve(&order, Some(&Original::of_pending(&pending, NOW)), NOW).expect("it can be captured");
    let asked = house.order(order, u64::MAX);
    let mut in_flight = house.granted(&asked);
    in_flight.set_plan(plan);
    in_flight.set_reserved(Reserved { wallet: WalletId(3), slot: 0 });
    let cancelled = asked.request.ticket(0).cancel_to_retry(0, &mut house.core.sequencer.enter());
    assert_eq!(cancelled, Ok(1));
    (asked, in_flight)
}

/// What is reserved may be settled ahead of the message that says so, for an order that then comes to nothing.
#[test]
fn who_waits_for_what_was_settled_ahead_of_its_message_is_decided_by_that_message() {
    let mut house = House::new(false);
    let mut wallet = with_funds();
    let pending = hold();
    wallet.apply(&Route::of_pending(&pending.transfer, 0).parts()[1].effect, 0, NOW);
    let mut machine = WalletMachine::new(WalletId(1), Some(Box::new(wallet)), 0);
    let (first, second) = (house.transfer(7, u64::MAX), house.transfer(8, u64::MAX));
    handle(&mut machine, &house, WalletMessage::Begin(house.granted(&first)));
    let Some((_, ShardMessage::Continue(in_flight))) = house.posted().pop() else {
        panic!("it is passed on")
    };
    handle(&mut machine, &house, WalletMessage::Begin(house.granted(&second)));
    assert!(house.posted().is_empty() && !second.is_answered(), "it waits for what becomes of the first");

    in_flight.commit_order(NOW).expect("it is open").announce(&mut house.mailboxes.clone());
    let Some((_, ShardMessage::Settled { reserved, attempt, committed })) = house.posted().pop() else {
        panic!("the wallet that reserved is told")
    };
    let (_capture, in_flight) = cancelled_capture(&house);
    handle(&mut machine, &house, WalletMessage::Continue(in_flight));
    assert_eq!(machine.committed().map(|wallet| wallet.last_seq), Some(committed.seq), "it is settled");

    handle(&mut machine, &house, WalletMessage::Settled { slot: reserved.slot, attempt, committed });
    assert_eq!(house.outcome(&second).status, Status::InsufficientFunds);
    assert!(machine.is_idle());
}

/// Whoever is told that a wallet is not empty knows of the entry that has filled it.
#[test]
fn a_refused_close_is_told_only_when_what_it_rests_on_is_durable() {
    let mut house = House::new(false);
    let filled = house.transfer(7, u64::MAX);
    let committed = house.granted(&filled).commit_order(NOW).expect("it is open");
    let seq = committed.committed.seq;
    committed.announce(&mut house.mailboxes.clone());
    let mut wallet = Wallet::create(wallet_terms(2), 0, NOW);
    wallet.apply(&Part::of_transfer(&transfer(7), Side::Credit).effect, seq, NOW);
    let mut machine = WalletMachine::new(WalletId(2), Some(Box::new(wallet)), 0);

    let setting = Setting::Flags { set: WalletFlags::CLOSED, clear: WalletFlags::default() };
    let change = WalletChange { wallet: WalletId(2), setting };
    let asked = house.request(Operations::ChangeWallets(vec![change]), u64::MAX);
    handle(&mut machine, &house, WalletMessage::Change(InFlight::new(asked.item(), 0)));
    assert!(!asked.is_answered(), "the entry could still be lost");
    assert_eq!(house.outcome(&asked).status, Status::BalanceNotZero);
}

/// There may be very many of them, and each read would carry them all.
#[test]
fn what_is_shown_of_a_wallet_counts_its_holds_and_does_not_carry_them() {
    let mut wallet = with_funds();
    let held = Transfer { amount: 2, ..transfer(6) };
    wallet.apply(&Route::of_pending(&held, 0).parts()[0].effect, 0, NOW);
    let house = House::new(false);
    let asked = house.request(Operations::LookupWallets(vec![WalletId(2)]), u64::MAX);
    let view = WalletView::shown(&asked.item().request, &wallet, 0, NOW).expect("it was never imported");
    assert!(view.wallet.holds.is_empty() && !wallet.holds.is_empty());
    assert_eq!((view.wallet.position, view.available), (wallet.position, Some(3)));
}
