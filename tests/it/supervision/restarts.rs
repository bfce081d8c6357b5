//! What happens while a wallet is being rebuilt: it may fail again, and it may take long.

use super::storm::{Side, Storm, books};
use crate::books::{BANK, Chance, transfer};
use crate::fault::{Fault, Gate, hooks};
use crate::running_ledger::{RunningLedger, answer_of, outcomes, transfers};
use actors::{Answer, Operations};
use ledger::{Status, WalletId};
use std::sync::atomic::{AtomicU64, Ordering};

const VICTIM: u128 = 2;
const PARTNER: u128 = 5;

#[test]
fn a_panic_while_a_rebuilt_wallet_takes_up_its_work_is_one_more_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let begin = Fault::new("begin", VICTIM, 5, 1);
    let rebuilt = Fault::new("rebuilt", VICTIM, 0, 2);
    let hook = hooks(vec![begin.hook(), rebuilt.hook()]);
    let ledger = RunningLedger::start(directory.path(), 2, Some(hook));
    ledger.open_books(BANK, &books());
    let mut storm = Storm::new(3);
    storm.fund(&ledger);
    let traffic = storm.traffic(VICTIM, Side::Both, 600);
    storm.settle(&ledger, &traffic);
    assert_eq!(rebuilt.panicked(), 2);
    let views = storm.check_at_rest(&ledger, "rebuilt");
    ledger.stop();
    storm.check_journal(directory.path(), &views, "rebuilt");
}

/// The rebuilding stands still: whoever needs the wallet is answered all the same, whether it came before the others'
/// patience was over or after, and others go on. A panic in either of these answers is one more restart.
#[test]
fn nobody_waits_for_a_rebuilding_longer_than_a_second_whenever_they_come() {
    let check = |place: &'static str, panics: u32| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let begin = Fault::new("begin", VICTIM, 0, 1);
        let again = Fault::new(place, VICTIM, 0, panics);
        let gate = Gate::new("rebuild", VICTIM);
        let hook = hooks(vec![begin.hook(), again.hook(), gate.hook()]);
        let ledger = RunningLedger::start(directory.path(), 2, Some(hook));
        ledger.open_books(BANK, &books());
        let mut storm = Storm::new(u64::from(panics));
        storm.fund(&ledger);
        let pay = |id, from, to| outcomes(ledger.ask(transfers(vec![transfer(id, from, to, 1)])))[0].status;
        assert_eq!(pay(1_001, VICTIM, PARTNER), Status::InternalError, "the one that met the panic");
        gate.wait_until_held();

        let parked = ledger.submit(0, transfers(vec![transfer(1_002, VICTIM, PARTNER, 1)]));
        let read = ledger.submit(1, Operations::LookupWallets(vec![WalletId(VICTIM)]));
        // It holds a reservation, so it never waits: it is attempted again, and again.
        let held = pay(1_003, PARTNER, VICTIM);
        assert!(matches!(held, Status::Contended | Status::InternalError), "{held}");
        assert_eq!(outcomes(answer_of(&parked))[0].status, Status::Unavailable, "{place}");
        assert!(matches!(answer_of(&read), Answer::Unavailable), "{place}");

        for id in 1_004..1_010 {
            assert_eq!(pay(id, VICTIM, PARTNER), Status::Unavailable, "{place}: whoever comes later");
            let answer = ledger.ask(Operations::LookupWallets(vec![WalletId(VICTIM)]));
            assert!(matches!(answer, Answer::Unavailable), "{place}: {answer:?}");
            assert_eq!(pay(1_000 + id, PARTNER, BANK), Status::Created, "others go on");
        }
        assert_eq!(again.panicked(), panics, "{place}: the fault was never due");
        gate.open();
        // Sent again, each is done now.
        for id in [1_001, 1_002, 1_003, 1_004] {
            let (from, to) = if id == 1_003 { (PARTNER, VICTIM) } else { (VICTIM, PARTNER) };
            let settled = (0..1_000).map(|_| pay(id, from, to)).find(|status| status.is_success());
            assert!(settled.is_some(), "{place}: {id} is never done");
        }
        let views = ledger.wallets(&[WalletId(VICTIM), WalletId(PARTNER), WalletId(BANK)]);
        let balances: Vec<i128> = views.iter().map(|view| view.wallet.position.balance()).collect();
        assert_eq!(balances[..2], [500 - 3 + 1, 500 + 3 - 1 - 6], "{place}");
        assert!(ledger.trial_balance().is_balanced());
        ledger.stop();
        persistence::verify(directory.path()).expect("the journal is whole");
    };
    check("continue_rebuilding", 0);
    check("continue_rebuilding", 1);
    check("lose_patience", 1);
}

#[test]
fn a_read_while_the_credit_wallet_refuses_for_good_takes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ledger = RunningLedger::start(directory.path(), 2, None);
    ledger.open_books(BANK, &books());
    // Wallets from 90 on do not exist: the debit wallet reserves, and the refusal comes from the other side, often
    // from another shard. Each transfer is followed by reads that may come in between.
    let mut requests = Vec::new();
    for id in 1..3_000 {
        requests.push(transfers(vec![transfer(id, BANK, 90 + id % 10, 1)]));
        requests.push(Operations::LookupWallets(vec![WalletId(BANK)]));
        requests.push(Operations::LookupWallets(vec![WalletId(BANK)]));
    }
    for answer in ledger.ask_all(requests) {
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
    assert_eq!(ledger.trial_balance().debits_posted, 0);
    ledger.stop();
}

#[test]
fn a_trial_balance_is_exact_while_transfers_and_restarts_go_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let faults = [("settled", 20), ("released", 1), ("read", 2)];
    let faults = faults.map(|(place, after)| Fault::new(place, VICTIM, after, 1));
    let hook = hooks(faults.iter().map(Fault::hook).collect());
    let ledger = RunningLedger::start(directory.path(), 2, Some(hook));
    let wallets = books();
    ledger.open_books(BANK, &wallets);
    let mut storm = Storm::new(9);
    storm.fund(&ledger);
    let seen = AtomicU64::new(0);
    let mut chance = Chance(9);
    while faults.iter().any(|fault| fault.panicked() == 0) || seen.load(Ordering::Relaxed) < 50 {
        let under_way: Vec<_> = storm
            .traffic(VICTIM, Side::Both, 60)
            .into_iter()
            .map(|transfer| {
                (ledger.submit(chance.below(2) as usize, transfers(vec![transfer.clone()])), transfer)
            })
            .collect();
        let totals = ledger.trial_balance();
        assert!(totals.is_balanced() && totals.wallets == 1 + wallets.len() as u64, "{totals:?}");
        seen.fetch_add(1, Ordering::Relaxed);
        let mut again = Vec::new();
        for (answer, transfer) in under_way {
            outcomes(answer_of(&answer));
            again.push(transfer);
        }
        storm.settle(&ledger, &again);
    }
    storm.check_at_rest(&ledger, "trial balances");
    ledger.stop();
}
