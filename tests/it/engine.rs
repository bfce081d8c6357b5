//! The engine at its border: permits and deadlines, exactly, without sockets.

use crate::books::{BANK, transfer, wallet};
use crate::fault::Gate;
use crate::running_ledger::{RunningLedger, answer_of, transfers, transfers_with_balances};
use actors::{Answer, Answered, Engine, Operations};
use ledger::{Status, WalletId};
use std::sync::mpsc;
use std::time::Duration;

/// The answer as it is handed over, not yet taken.
fn ask(engine: &Engine, operations: Operations, deadline: Option<Duration>) -> Answered {
    let (sender, answers) = mpsc::channel();
    let reply = Box::new(move |answered| sender.send(answered).expect("the test waits"));
    engine.submit(0, operations, 100, deadline, reply).expect("it is admitted");
    answers.recv_timeout(Duration::from_mins(1)).expect("every request is answered")
}

#[test]
fn an_answer_that_nobody_takes_holds_no_permit() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ledger = RunningLedger::start(directory.path(), 2, None);
    ledger.open_books(BANK, &[wallet(2)]);
    let engine = &ledger.engine;
    let untaken = ask(engine, transfers((1..=100).map(|id| transfer(id, BANK, 2, 1)).collect()), None);
    let status = engine.status();
    assert_eq!((status.operations, status.request_bytes), (0, 0));
    assert!(matches!(untaken.into_answer(), Answer::Outcomes { outcomes, .. } if outcomes.len() == 100));
    ledger.stop();
}

#[test]
fn what_is_past_its_deadline_is_not_begun() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ledger = RunningLedger::start(directory.path(), 2, None);
    ledger.open_books(BANK, &[wallet(2)]);
    let engine = &ledger.engine;
    let past = Some(Duration::ZERO);
    let ids = vec![WalletId(BANK)];
    for read in
        [Operations::LookupWallets(ids), Operations::TrialBalance, Operations::LookupTransfers(vec![])]
    {
        let answer = ask(engine, read, past).into_answer();
        assert!(matches!(answer, Answer::DeadlineExceeded), "{answer:?}");
    }
    let pay = |deadline| {
        let answer = ask(engine, transfers(vec![transfer(1, BANK, 2, 1)]), deadline);
        match answer.into_answer() {
            Answer::Outcomes { outcomes, .. } => outcomes[0].status,
            other => panic!("not outcomes: {other:?}"),
        }
    };
    assert_eq!(pay(past), Status::DeadlineExceeded);
    assert_eq!(pay(None), Status::Created, "the id is still free");
    ledger.stop();
}

#[test]
fn a_stop_that_does_not_wait_answers_everybody_and_keeps_what_it_said() {
    let check = |shards: usize, requests: Vec<Operations>| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ledger = RunningLedger::start(directory.path(), shards, None);
        ledger.open_books(BANK, &[wallet(2), wallet(3)]);
        let answers: Vec<_> = requests
            .into_iter()
            .enumerate()
            .map(|(via, operations)| ledger.submit(via, operations))
            .collect();
        let fatal = ledger.abandon();
        let mut done = 0;
        for answer in answers {
            if let Answer::Outcomes { outcomes, .. } = answer_of(&answer) {
                done += outcomes.iter().filter(|outcome| outcome.status == Status::Created).count();
            }
        }
        assert_eq!(fatal.try_iter().collect::<Vec<_>>(), [""; 0], "{shards} shards");
        let report = persistence::verify(directory.path()).expect("the journal is whole");
        let kept = report.transfers + report.wallets - 3;
        assert!(kept >= done as u64, "{shards} shards: {done} were acknowledged, {kept} are there");
    };
    let batch = |first: u128| (first..first + 100).map(|id| transfer(id, BANK, 2 + id % 2, 1)).collect();
    let mixed = |index: u128| match index % 6 {
        0 => Operations::LookupWallets(vec![WalletId(BANK), WalletId(2)]),
        1 => Operations::TrialBalance,
        2 => Operations::LookupTransfers(vec![ledger::TransferId(1 + index)]),
        3 => Operations::CreateWallets(vec![wallet(10 + index)]),
        4 => transfers_with_balances(batch(100 * index)),
        _ => transfers(batch(100 * index)),
    };
    for shards in [1, 3] {
        check(shards, (0..300).map(mixed).collect());
    }
}

/// A shard that is held while the journal is closed goes on and decides; nobody is told so, because it is on no disk.
#[test]
fn what_is_decided_after_the_journal_is_closed_is_not_acknowledged_and_everybody_is_answered() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let gate = Gate::new("reserved", BANK);
    let ledger = RunningLedger::start(directory.path(), 3, Some(gate.hook()));
    ledger.open_books(BANK, &[wallet(2)]);
    let same = || transfers(vec![transfer(7, BANK, 2, 1); 8_000]);
    let mut answers = vec![ledger.submit(0, same())];
    gate.wait_until_held();
    // The thread of one router is held, those of the others are not.
    answers.extend((0..9).map(|via| ledger.submit(via, same())));
    let clean = directory.path().join("CLEAN");
    let fatal = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The journal is closed before the threads are waited for.
            while !clean.exists() {
                std::thread::yield_now();
            }
            gate.open();
        });
        ledger.abandon()
    });
    let mut done = 0;
    for answer in answers {
        if let Answer::Outcomes { outcomes, .. } = answer_of(&answer) {
            done += outcomes.iter().filter(|outcome| outcome.status == Status::Created).count();
        }
    }
    assert_eq!(done, 0, "the journal was closed before it was decided");
    assert_eq!(fatal.try_iter().collect::<Vec<_>>(), [""; 0]);
    let report = persistence::verify(directory.path()).expect("the journal is whole");
    assert_eq!(report.transfers, 0);
}
