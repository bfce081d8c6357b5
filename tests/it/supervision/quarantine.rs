//! A wallet that fails too often is quarantined: it answers so, others go on, and the next start releases it.

use super::storm::books;
use crate::books::{BANK, transfer};
use crate::fault::{Fault, hooks};
use crate::running_ledger::{RunningLedger, is_for_now, outcomes, transfers};
use actors::{Answer, Operations};
use ledger::{Status, WalletId};

const VICTIM: u128 = 2;

/// A wallet may fail so often within a minute.
const BUDGET: u32 = 5;

/// Sends it until it is answered for good, or by a quarantine.
fn insist(ledger: &RunningLedger, id: u128, from: u128, to: u128) -> Status {
    let answers = (0..10_000).map(|_| ledger.pay(&transfer(id, from, to, 10)).status);
    answers.into_iter().find(|&status| !is_for_now(status)).expect("it is settled some time")
}

#[test]
fn a_wallet_that_fails_too_often_is_quarantined_and_others_go_on_and_a_start_releases_it() {
    let check = |place: &'static str, passes: u32, (from, to): (u128, u128), shards: usize| {
        let context = format!("{place}, {shards} shards");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fault = Fault::new(place, VICTIM, passes, u32::MAX);
        let ledger = RunningLedger::start(directory.path(), shards, Some(fault.hook()));
        ledger.open_books(BANK, &books());
        for id in 2..5 {
            assert_eq!(insist(&ledger, id, BANK, id), Status::Created, "{context}");
        }
        assert_eq!(fault.panicked(), 0, "{context}");
        assert_eq!(insist(&ledger, 100, from, to), Status::WalletQuarantined, "{context}");
        assert_eq!(fault.panicked(), BUDGET + 1, "{context}: five restarts, and one too many");

        // Neither side of it works, and it cannot be read; who does not need it notices nothing, in the same batch too.
        for id in [1_000, 2_000, 3_000] {
            let batch = vec![
                transfer(id, VICTIM, 4, 10),
                transfer(id + 1, 4, VICTIM, 1),
                transfer(id + 2, BANK, 4, 5),
                transfer(id + 3, 4, 5, 5),
            ];
            let answered = outcomes(ledger.ask(transfers(batch)));
            let statuses: Vec<Status> = answered.iter().map(|outcome| outcome.status).collect();
            let not_done = Status::WalletQuarantined;
            assert_eq!(statuses, [not_done, not_done, Status::Created, Status::Created], "{context}");
        }
        let created = outcomes(ledger.ask(Operations::CreateWallets(books())));
        let refused: Vec<Status> =
            created.iter().map(|outcome| outcome.status).filter(|status| !status.is_success()).collect();
        assert_eq!(refused, [Status::WalletQuarantined], "{context}");
        let read = ledger.ask(Operations::LookupWallets(vec![WalletId(VICTIM)]));
        assert!(matches!(read, Answer::Unavailable), "{context}: {read:?}");

        // What was reserved elsewhere for transfers into it is released, and its money is still in the books.
        assert_eq!(ledger.pay(&transfer(4_000, 4, BANK, 11)).status, Status::InsufficientFunds, "{context}");
        assert_eq!(ledger.pay(&transfer(4_001, 4, BANK, 10)).status, Status::Created, "{context}");
        for _ in 0..2 {
            let totals = ledger.trial_balance();
            assert!(totals.is_balanced(), "{context}: {totals:?}");
            assert_eq!((totals.wallets, totals.debits_posted), (1 + books().len() as u64, 30 + 30 + 10));
        }
        assert_eq!(fault.panicked(), BUDGET + 1, "{context}: a quarantined wallet handles nothing");
        ledger.stop();

        // Started again, it is a wallet like any other; and the refusals were not final.
        let ledger = RunningLedger::start(directory.path(), shards, None);
        assert_eq!(ledger.wallets(&[WalletId(VICTIM)])[0].wallet.position.balance(), 10, "{context}");
        assert_eq!(ledger.pay(&transfer(4_002, BANK, from, 10)).status, Status::Created, "{context}");
        for (id, from, to) in [(100, from, to), (1_000, VICTIM, 4), (1_001, 4, VICTIM)] {
            let amount = if id == 1_001 { 1 } else { 10 };
            assert_eq!(
                ledger.pay(&transfer(id, from, to, amount)).status,
                Status::Created,
                "{context}: {id}"
            );
        }
        assert!(ledger.trial_balance().is_balanced());
        ledger.stop();
        persistence::verify(directory.path()).expect("the journal is whole");
    };
    let (out, into) = ((VICTIM, 3), (3, VICTIM));
    check("begin", 0, out, 2);
    check("reserved", 0, out, 1);
    check("continue", 1, into, 2);
    check("continue", 1, into, 1);
}

#[test]
fn a_wallet_within_its_budget_goes_on_as_if_nothing_had_happened() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let faults = [Fault::new("begin", VICTIM, 0, BUDGET), Fault::new("begin", 3, 0, BUDGET)];
    let hook = hooks(faults.iter().map(Fault::hook).collect());
    let ledger = RunningLedger::start(directory.path(), 2, Some(hook));
    ledger.open_books(BANK, &books());
    for (id, from, to) in [(1, BANK, VICTIM), (2, BANK, 3), (3, VICTIM, 4), (4, 3, 4)] {
        assert_eq!(insist(&ledger, id, from, to), Status::Created);
    }
    assert!(faults.iter().all(|fault| fault.panicked() == BUDGET));
    assert_eq!(ledger.wallets(&[WalletId(4)])[0].wallet.position.balance(), 20);
    ledger.stop();
}
