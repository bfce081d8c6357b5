//! A wallet that panics is rebuilt from the journal, and others notice nothing: a panic in every phase of a transfer, on
//! either side, with the engine in this process.

use crate::books::{BANK, Chance, USD, system_wallet, transfer, wallet};
use actix_rt::System;
use actors::{Answer, Engine, EngineOptions, FaultHook, Operations};
use ledger::fold::AssetTotals;
use ledger::{Asset, AssetCode, Outcome, Status, Transfer, WalletId};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const WALLETS: u64 = 8;
const ENOUGH: Duration = Duration::from_mins(1);

/// Panics at one place, at one wallet, the first so many times that it is due.
#[derive(Debug)]
pub(crate) struct Fault {
    place: &'static str,
    wallet: WalletId,
    /// Passes before the first panic.
    after: AtomicU32,
    panics: AtomicU32,
    panicked: AtomicU32,
}

impl Fault {
    fn new(place: &'static str, wallet: u128, after: u32, panics: u32) -> Arc<Self> {
        let (after, panics) = (AtomicU32::new(after), AtomicU32::new(panics));
        Arc::new(Self { place, wallet: WalletId(wallet), after, panics, panicked: AtomicU32::new(0) })
    }

    fn hook(self: &Arc<Self>) -> FaultHook {
        let fault = Arc::clone(self);
        let take = |number: &AtomicU32| {
            number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        Arc::new(move |place, wallet| {
            let here = place == fault.place && wallet == fault.wallet;
            if here && !take(&fault.after) && take(&fault.panics) {
                fault.panicked.fetch_add(1, Ordering::Relaxed);
                panic!("injected at {place} of {wallet}");
            }
        })
    }
}

/// Runs a test with an engine on a directory, on an actix system of its own.
pub(crate) fn with_engine(data: &Path, fault: Option<&Arc<Fault>>, test: impl FnOnce(&Engine)) {
    let system = System::new();
    let options = EngineOptions {
        data: data.to_owned(),
        shards: 2,
        operations_max: 100_000,
        request_bytes_max: 100 << 20,
        accept_clock: false,
        fault_hook: fault.map(Fault::hook),
    };
    let on_fatal = Box::new(|reason: String| panic!("nothing here is fatal: {reason}"));
    let (engine, _) = system.block_on(async { Engine::start(&options, on_fatal) }).expect("the ledger opens");
    test(&engine);
    system.block_on(engine.stop(ENOUGH)).expect("the journal is closed");
    assert_eq!(engine.status().operations, 0, "every permit came back");
}

/// Submits requests and waits until every one is answered, in their order.
fn ask_all(engine: &Engine, requests: Vec<Operations>) -> Vec<Answer> {
    let (sender, answers) = mpsc::channel();
    let count = requests.len();
    for (index, operations) in requests.into_iter().enumerate() {
        let sender = sender.clone();
        let reply = Box::new(move |answered: actors::Answered| {
            // The test may have failed meanwhile.
            let _sent = sender.send((index, answered));
        });
        engine.submit(index, operations, 100, None, reply).expect("it is admitted");
    }
    let mut in_order: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    for _ in 0..count {
        let (index, answered) = answers.recv_timeout(ENOUGH).expect("every request is answered");
        in_order[index] = Some(answered.into_answer());
    }
    in_order.into_iter().map(|answer| answer.expect("each is answered once")).collect()
}

fn outcomes(answer: Answer) -> Vec<Outcome> {
    match answer {
        Answer::Outcomes { outcomes, .. } => outcomes,
        other => panic!("not outcomes: {other:?}"),
    }
}

fn ask(engine: &Engine, operations: Operations) -> Answer {
    ask_all(engine, vec![operations]).pop().expect("one answer")
}

fn transfers(transfers: Vec<Transfer>) -> Operations {
    Operations::CreateTransfers { transfers, with_balances: false }
}

/// Retries what was refused for now, as a client does, until each transfer has its final outcome.
fn settle(engine: &Engine, mut unsettled: Vec<Transfer>) -> Vec<(Transfer, Outcome)> {
    let mut settled = Vec::new();
    for _ in 0..1_000 {
        if unsettled.is_empty() {
            return settled;
        }
        let requests = unsettled.iter().map(|transfer| transfers(vec![transfer.clone()])).collect();
        let answers = ask_all(engine, requests);
        let mut again = Vec::new();
        for (transfer, answer) in unsettled.into_iter().zip(answers) {
            let outcome = outcomes(answer)[0];
            match outcome.status {
                Status::Contended | Status::InternalError | Status::Unavailable => again.push(transfer),
                _ => settled.push((transfer, outcome)),
            }
        }
        unsettled = again;
    }
    panic!("{} transfers are never settled", unsettled.len());
}

pub(crate) fn open_books(engine: &Engine) {
    let code = AssetCode::new("USD").expect("a code");
    ask(engine, Operations::CreateAssets(vec![Ok(Asset { id: USD, code, scale: 2 })]));
    let mut wallets = vec![system_wallet(BANK)];
    wallets.extend((2..2 + WALLETS).map(|id| wallet(u128::from(id))));
    // A fault in a creation refuses it for now; it is asked for until it is there.
    for _ in 0..100 {
        let created = outcomes(ask(engine, Operations::CreateWallets(wallets.clone())));
        if created.iter().all(|outcome| outcome.status.is_success()) {
            return;
        }
    }
    panic!("the wallets are never created");
}

fn balances(engine: &Engine) -> Vec<i128> {
    let ids: Vec<WalletId> = (1..2 + WALLETS).map(|id| WalletId(u128::from(id))).collect();
    for _ in 0..1_000 {
        if let Answer::Wallets(views) = ask(engine, Operations::LookupWallets(ids.clone())) {
            return views
                .iter()
                .map(|view| view.as_ref().expect("it exists").wallet.position.balance())
                .collect();
        }
    }
    panic!("the wallets can never be read");
}

fn trial_balance(engine: &Engine) -> AssetTotals {
    match ask(engine, Operations::TrialBalance) {
        Answer::TrialBalance(view) => view.assets[0].1,
        other => panic!("not a trial balance: {other:?}"),
    }
}

/// Balances as the outcomes say they are.
fn expected(settled: &[(Transfer, Outcome)]) -> Vec<i128> {
    let mut balances = vec![0_i128; usize::try_from(1 + WALLETS).expect("few")];
    for (transfer, outcome) in settled {
        if outcome.status.is_success() {
            let amount = i128::try_from(transfer.amount).expect("small");
            let place = |wallet: WalletId| usize::try_from(wallet.0 - 1).expect("few");
            balances[place(transfer.debit_wallet)] -= amount;
            balances[place(transfer.credit_wallet)] += amount;
        }
    }
    balances
}

/// Transfers among all wallets, some of which find too little; wallet 2 is on both sides of many.
fn traffic(seed: u64, first_id: u128, count: u64) -> Vec<Transfer> {
    let mut chance = Chance(seed);
    (0..count)
        .map(|index| {
            let mut from = u128::from(1 + chance.below(1 + WALLETS));
            let mut to = u128::from(1 + chance.below(1 + WALLETS));
            match index % 3 {
                0 => from = 2,
                1 => to = 2,
                _ => {}
            }
            if from == to {
                to = if from == BANK { 3 } else { BANK };
            }
            transfer(first_id + u128::from(index), from, to, u128::from(1 + chance.below(50)))
        })
        .collect()
}

#[test]
fn a_panic_in_any_phase_of_a_transfer_loses_and_doubles_nothing() {
    let check = |place: &'static str, after: u32, panics: u32| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fault = Fault::new(place, 2, after, panics);
        let context = format!("{panics} panics at {place} after {after}");
        let mut last_balances = Vec::new();
        with_engine(directory.path(), Some(&fault), |engine| {
            open_books(engine);
            let mut settled = settle(
                engine,
                (0..WALLETS).map(|id| transfer(u128::from(id) + 1, BANK, u128::from(id) + 2, 500)).collect(),
            );
            settled.extend(settle(engine, traffic(u64::from(after), 1_000, 600)));
            // Wallet 99 does not exist: what wallet 2 reserves for it is released.
            settled.extend(settle(engine, vec![transfer(5_000, BANK, 2, 100)]));
            for id in 5_001..5_041 {
                settled.extend(settle(engine, vec![transfer(id, 2, 99, 1)]));
            }
            for _ in 0..3 {
                let totals = trial_balance(engine);
                assert!(totals.is_balanced() && totals.wallets == 1 + WALLETS, "{context}: {totals:?}");
            }
            last_balances = balances(engine);
            assert_eq!(last_balances, expected(&settled), "{context}");
            // Nothing is left reserved: each wallet can spend exactly what it has, and not one unit more.
            let spend = |first_id: u128, beyond: u128| -> Vec<Transfer> {
                let spender = |(index, &balance): (usize, &i128)| {
                    let wallet = index as u128 + 1;
                    let amount = u128::try_from(balance).expect("not negative") + beyond;
                    transfer(first_id + wallet, wallet, BANK, amount.max(1))
                };
                last_balances.iter().enumerate().skip(1).map(spender).collect()
            };
            for (transfer, outcome) in settle(engine, spend(10_000, 1)) {
                assert_eq!(outcome.status, Status::InsufficientFunds, "{context}: {transfer:?}");
            }
            for (transfer, outcome) in settle(engine, spend(20_000, 0)) {
                let empty = last_balances[usize::try_from(transfer.debit_wallet.0).expect("few") - 1] == 0;
                let right = if empty { Status::InsufficientFunds } else { Status::Created };
                assert_eq!(outcome.status, right, "{context}: {transfer:?}");
            }
            assert!(balances(engine).iter().all(|&balance| balance == 0), "{context}");
        });
        assert_eq!(fault.panicked.load(Ordering::Relaxed), panics, "{context}: the fault was never due");
        let report = persistence::verify(directory.path()).expect("the journal is whole");
        assert!(report.totals[0].1.is_balanced());
    };
    for place in ["begin", "reserved", "continue", "committed", "settled", "create", "read", "sum_up"] {
        check(place, 0, 1);
    }
    for place in ["begin", "reserved", "continue", "committed", "settled", "released"] {
        check(place, 7, 1);
        check(place, 12, 4);
    }
}

#[test]
fn a_read_while_the_credit_wallet_refuses_for_good_takes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    with_engine(directory.path(), None, |engine| {
        open_books(engine);
        // Wallets from 90 on do not exist: the debit wallet reserves, and the refusal comes from the other side, often
        // from another shard. Each transfer is followed by reads that may come in between.
        let mut requests = Vec::new();
        for id in 1..3_000 {
            requests.push(transfers(vec![transfer(id, BANK, 90 + id % 10, 1)]));
            requests.push(Operations::LookupWallets(vec![WalletId(BANK)]));
            requests.push(Operations::LookupWallets(vec![WalletId(BANK)]));
        }
        for answer in ask_all(engine, requests) {
            match answer {
                Answer::Outcomes { outcomes, .. } => {
                    assert_eq!(outcomes[0].status, Status::CreditWalletNotFound);
                }
                Answer::Wallets(views) => {
                    assert_eq!(views[0].as_ref().expect("it exists").wallet.position.balance(), 0);
                }
                other => panic!("not an answer to this: {other:?}"),
            }
        }
        assert_eq!(balances(engine)[0], 0);
        assert_eq!(trial_balance(engine).debits_posted, 0);
    });
}

#[test]
fn a_panic_while_a_rebuilt_wallet_takes_up_its_work_is_one_more_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let begin = Fault::new("begin", 2, 5, 1);
    let rebuilt = Fault::new("rebuilt", 2, 0, 2);
    let (first, second) = (begin.hook(), rebuilt.hook());
    let system = System::new();
    let options = EngineOptions {
        data: directory.path().to_owned(),
        shards: 2,
        operations_max: 100_000,
        request_bytes_max: 100 << 20,
        accept_clock: false,
        fault_hook: Some(Arc::new(move |place, wallet| {
            first(place, wallet);
            second(place, wallet);
        })),
    };
    let on_fatal = Box::new(|reason: String| panic!("nothing here is fatal: {reason}"));
    let (engine, _) = system.block_on(async { Engine::start(&options, on_fatal) }).expect("the ledger opens");
    open_books(&engine);
    let settled = settle(&engine, traffic(3, 1, 300));
    assert_eq!(balances(&engine), expected(&settled));
    assert_eq!(rebuilt.panicked.load(Ordering::Relaxed), 2);
    system.block_on(engine.stop(ENOUGH)).expect("the journal is closed");
}

#[test]
fn a_wallet_that_fails_too_often_is_quarantined_and_others_go_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fault = Fault::new("begin", 2, 0, u32::MAX);
    let mut before = Vec::new();
    with_engine(directory.path(), Some(&fault), |engine| {
        open_books(engine);
        let funding =
            (2..2 + WALLETS).map(|id| transfer(u128::from(id), BANK, u128::from(id), 100)).collect();
        let settled = settle(engine, funding);
        before = expected(&settled);
        assert_eq!(balances(engine), before);
        let doomed = settle(engine, vec![transfer(100, 2, 3, 10)]);
        assert_eq!(doomed[0].1.status, Status::WalletQuarantined);
        assert_eq!(fault.panicked.load(Ordering::Relaxed), 6, "five restarts, and one too many");

        // Neither side of it works, it cannot be read, and its money is still in the books.
        let check = |transfer: Transfer, status: Status| {
            assert_eq!(settle(engine, vec![transfer])[0].1.status, status);
        };
        check(transfer(101, 2, 3, 10), Status::WalletQuarantined);
        check(transfer(102, 3, 2, 10), Status::WalletQuarantined);
        check(transfer(103, 3, 4, 10), Status::Created);
        let read = ask(engine, Operations::LookupWallets(vec![WalletId(2)]));
        assert!(matches!(read, Answer::Unavailable), "{read:?}");
        for _ in 0..2 {
            let totals = trial_balance(engine);
            assert!(totals.is_balanced() && totals.wallets == 1 + WALLETS, "{totals:?}");
            assert_eq!(totals.debits_posted, u128::from(WALLETS) * 100 + 10);
        }
    });
    // Started again, it is a wallet like any other; and the refusals were not final.
    with_engine(directory.path(), None, |engine| {
        assert_eq!(balances(engine)[1], before[1]);
        for id in [100, 101] {
            assert_eq!(settle(engine, vec![transfer(id, 2, 3, 10)])[0].1.status, Status::Created);
        }
    });
}

#[test]
fn a_trial_balance_is_exact_while_transfers_and_restarts_go_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fault = Fault::new("settled", 2, 20, 4);
    with_engine(directory.path(), Some(&fault), |engine| {
        open_books(engine);
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let traffic_done = scope.spawn(|| settle(engine, traffic(9, 1, 3_000)));
            while !traffic_done.is_finished() {
                let totals = trial_balance(engine);
                assert!(totals.is_balanced() && totals.wallets == 1 + WALLETS, "{totals:?}");
                seen.fetch_add(1, Ordering::Relaxed);
            }
            let settled = traffic_done.join().expect("the traffic is settled");
            let moved: u128 = settled
                .iter()
                .filter(|(_, outcome)| outcome.status.is_success())
                .map(|(transfer, _)| transfer.amount)
                .sum();
            for _ in 0..2 {
                assert_eq!(
                    trial_balance(engine).debits_posted,
                    moved,
                    "also when nothing has happened since the last"
                );
            }
        });
        assert!(seen.load(Ordering::Relaxed) > 0);
    });
}
