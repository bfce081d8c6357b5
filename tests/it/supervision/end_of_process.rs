//! What cannot be rebuilt ends the process: a shard, a router, a reader or a restart that fails says so once, everybody
//! is answered, nothing is taken any more, and what was acknowledged is on disk.

use super::storm::{Side, Storm, books};
use crate::books::BANK;
use crate::fault::{Fault, hooks};
use crate::running_ledger::{RunningLedger, transfers};
use crate::server::PATIENCE;
use actors::{Answer, Answered, FATAL_FAULT_PLACES, Operations, Rejection};
use ledger::{Status, Transfer, TransferId, WalletId};
use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

const VICTIM: u128 = 2;

/// Submits what is still taken; the others have to be turned away because the process is ending.
fn submit(ledger: &RunningLedger, via: usize, operations: Operations) -> Option<Receiver<Answered>> {
    let (sender, answer) = channel();
    let reply = Box::new(move |answered| {
        // The test may have failed meanwhile.
        let _sent = sender.send(answered);
    });
    match ledger.engine.submit(via, operations, 100, None, reply) {
        Ok(()) => Some(answer),
        Err(rejection) => {
            assert_eq!(rejection, Rejection::Unavailable);
            None
        }
    }
}

/// The ids that are used up according to the journal.
fn used_up(data: &Path) -> HashSet<TransferId> {
    let mut used_up = HashSet::new();
    let verified = persistence::verify_and_read(data, &mut |_, _, entry| {
        used_up.extend(entry.order_id());
        Ok(())
    });
    verified.expect("the ledger is whole");
    used_up
}

fn check(place: &'static str, reason: &str, shards: usize, after: u32) {
    let context = format!("{place}, {shards} shards, after {after}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The places of a restart are reached by way of a wallet that panics.
    let wallet_panics = Fault::unarmed("begin", VICTIM, 5, 1);
    let fatal = Fault::unarmed(place, VICTIM, if place == "load" { 0 } else { after }, 1);
    let mut all = vec![fatal.hook()];
    if ["restart", "rebuild"].contains(&place) {
        all.push(wallet_panics.hook());
    }
    let hook = hooks(all);
    let mut ledger = RunningLedger::start(directory.path(), shards, Some(hook.clone()));
    ledger.open_books(BANK, &books());
    let mut storm = Storm::new(u64::from(after));
    storm.fund(&ledger);
    let traffic = storm.traffic(VICTIM, Side::Both, 100);
    storm.settle(&ledger, &traffic);
    if place == "load" {
        // A wallet is read from the disk once, when it is wanted after a start.
        ledger.stop();
        ledger = RunningLedger::start(directory.path(), shards, Some(hook));
    }
    fatal.arm();
    wallet_panics.arm();
    let mut under_way: Vec<(&str, Receiver<Answered>, Vec<Transfer>)> = Vec::new();
    let mut turned_away = 0;
    while turned_away == 0 {
        // Always much under way, and never more than is admitted.
        while ledger.engine.status().operations > 20_000 && !ledger.engine.status().poisoned {
            std::thread::yield_now();
        }
        for (index, batch) in storm.traffic(VICTIM, Side::Both, 200).chunks(7).enumerate() {
            // Each twice: one of them waits for the other.
            for via in [index, index + 1] {
                match submit(&ledger, via, transfers(batch.to_vec())) {
                    Some(answer) => under_way.push(("transfers", answer, batch.to_vec())),
                    None => turned_away += 1,
                }
            }
            let reads = [
                ("wallets", Operations::LookupWallets(vec![WalletId(VICTIM), WalletId(3), WalletId(BANK)])),
                ("lookup", Operations::LookupTransfers(vec![batch[0].id])),
                ("creation", Operations::CreateWallets(books())),
                ("trial balance", Operations::TrialBalance),
            ];
            for (what, read) in reads {
                under_way.extend(submit(&ledger, index, read).map(|answer| (what, answer, Vec::new())));
            }
        }
    }
    let told = ledger.fatal.recv_timeout(PATIENCE).expect("the process is told to end");
    assert_eq!(told, reason, "{context}");
    assert_eq!(fatal.panicked(), 1, "{context}");
    assert!(ledger.engine.status().poisoned, "{context}");
    let fatal_once = ledger.abandon();
    assert_eq!(fatal_once.try_iter().count(), 0, "{context}: it is said once");

    let on_disk = used_up(directory.path());
    assert!(storm.told.ids().all(|id| on_disk.contains(&id)), "{context}: what was told is there");
    let (mut unknown, mut acknowledged) = (0, 0);
    for (what, answer, batch) in under_way {
        let answered = answer.recv_timeout(PATIENCE);
        match answered.unwrap_or_else(|_| panic!("{context}: {what} is never answered")).into_answer() {
            Answer::Outcomes { outcomes, .. } => {
                for (transfer, outcome) in batch.iter().zip(&outcomes) {
                    if outcome.status == Status::Created {
                        acknowledged += 1;
                        assert!(on_disk.contains(&transfer.id), "{context}: {transfer:?} was acknowledged");
                    }
                }
            }
            Answer::OutcomeUnknown => unknown += 1,
            _ => {}
        }
    }
    assert!(unknown > 0, "{context}: nobody was under way");
    println!("{context}: {acknowledged} acknowledged, {unknown} unknown, {turned_away} turned away");
    persistence::verify(directory.path()).expect("the journal is whole");
}

#[test]
fn what_cannot_be_restarted_ends_the_process_and_everybody_is_answered() {
    for &place in FATAL_FAULT_PLACES {
        let reason = match place {
            "route" => "a router has failed",
            "restart" => "a wallet could not be restarted",
            "rebuild" | "load" => "a reader of the journal has failed",
            _ => "a shard has failed",
        };
        for (shards, after) in [(1, 0), (2, 40)] {
            // One restart, one rebuilding; and what is asked for less often.
            let after = match place {
                "restart" | "rebuild" => 0,
                "shard_create" | "shard_read" => after / 10,
                _ => after,
            };
            check(place, reason, shards, after);
        }
    }
}
