//! The engine at its border: permits and deadlines, exactly, without sockets.

use crate::books::{BANK, transfer, wallet};
use crate::running_ledger::RunningLedger;
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
    let transfers = (1..=100).map(|id| transfer(id, BANK, 2, 1)).collect();
    let untaken = ask(engine, Operations::CreateTransfers { transfers, with_balances: false }, None);
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
        let transfers = vec![transfer(1, BANK, 2, 1)];
        let answer = ask(engine, Operations::CreateTransfers { transfers, with_balances: false }, deadline);
        match answer.into_answer() {
            Answer::Outcomes { outcomes, .. } => outcomes[0].status,
            other => panic!("not outcomes: {other:?}"),
        }
    };
    assert_eq!(pay(past), Status::DeadlineExceeded);
    assert_eq!(pay(None), Status::Created, "the id is still free");
    ledger.stop();
}
