//! Nothing is left behind: no thread, descriptor, actor, mailbox or permit, however often a ledger or a server is started
//! and stopped, a wallet restarts, or a client hangs up.

use crate::books::{BANK, asset, open_books, setting, transfer, wallet};
use crate::fault::{Fault, RandomFaults, hooks};
use crate::metrics_page::MetricsPage;
use crate::process_usage::{ProcessUsage, alone, wait_until};
use crate::raw_connection::{RawConnection, hello, request};
use crate::running_ledger::{
    RunningLedger, answer_of, is_for_now, outcomes, transfers, transfers_with_balances,
};
use crate::served_ledger::{ServedLedger, config};
use crate::server::Server;
use actors::{FaultHook, Operations};
use ledger::{NewWallet, Transfer, WalletId};
use protocol::RequestRef;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

/// Whether a hook is still held by somebody.
type Life = Weak<dyn Fn(&'static str, WalletId) + Send + Sync>;

/// A hook that lives as long as the core of the ledger that it is given to: all actors, mailboxes, requests and readers
/// hold the core.
fn sentinel(fault: Option<FaultHook>) -> (FaultHook, Life) {
    let hook = hooks(fault.into_iter().collect());
    let life = Arc::downgrade(&hook);
    (hook, life)
}

fn assert_gone(life: &Life, context: &str) {
    wait_until(&format!("{context}: the core is dropped"), || match life.strong_count() {
        0 => Ok(()),
        held => Err(format!("{held} hold it")),
    });
}

fn no_fatal(fatal: &Receiver<String>) {
    assert_eq!(fatal.try_iter().collect::<Vec<_>>(), [""; 0], "a stop is no failure");
}

fn everything(round: u128) -> Vec<Operations> {
    let batch =
        |first: u128| (first..first + 50).map(|id| transfer(id, BANK, 2 + id % 3, 1)).collect::<Vec<_>>();
    let first = 100_000 * (1 + round);
    (0..60)
        .map(|index| match index % 6 {
            0 => Operations::LookupWallets(vec![WalletId(BANK), WalletId(2), WalletId(9)]),
            1 => Operations::TrialBalance,
            2 => Operations::LookupTransfers(vec![ledger::TransferId(first), ledger::TransferId(7)]),
            3 => Operations::CreateWallets(vec![wallet(1_000 + round)]),
            4 => transfers_with_balances(batch(first + index)),
            // Twice the same ids: one of them waits for the other.
            _ => transfers(batch(first + index - 1)),
        })
        .collect()
}

#[test]
fn an_engine_leaves_nothing_behind_however_often_it_is_started_and_stopped() {
    alone("leaks::an_engine_leaves_nothing_behind_however_often_it_is_started_and_stopped", || {
        let cycles = setting("BURSAR_TEST_LEAK_CYCLES", 12);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cycle = |number: u32| {
            let context = format!("cycle {number}");
            let fault = Fault::new("committed", 2, 0, 3);
            let (hook, life) = sentinel(Some(fault.hook()));
            let ledger = RunningLedger::start(directory.path(), 1 + number as usize % 3, Some(hook));
            ledger.open_books(BANK, &[wallet(2), wallet(3), wallet(4)]);
            match number % 3 {
                // Everything is answered.
                0 => {
                    ledger.ask_all(everything(u128::from(number)));
                    ledger.stop();
                }
                // Much is under way, and nobody takes its answers.
                1 => {
                    for (via, operations) in everything(u128::from(number)).into_iter().enumerate() {
                        drop(ledger.submit(via, operations));
                    }
                    no_fatal(&ledger.abandon());
                }
                _ => {
                    let answers: Vec<_> = everything(u128::from(number))
                        .into_iter()
                        .enumerate()
                        .map(|(via, operations)| ledger.submit(via, operations))
                        .collect();
                    let fatal = ledger.abandon();
                    for answer in answers {
                        answer_of(&answer);
                    }
                    no_fatal(&fatal);
                }
            }
            assert_gone(&life, &context);
        };
        // What is started once and kept, by whoever, is there after these.
        (0..3).for_each(cycle);
        let before = ProcessUsage::of("self");
        for number in 3..3 + cycles {
            cycle(number);
            ProcessUsage::assert_back_to(before, "self", &format!("cycle {number}"));
        }
    });
}

#[test]
fn wallets_leave_nothing_behind_however_many_restart() {
    alone("leaks::wallets_leave_nothing_behind_however_many_restart", || {
        let wallets = u128::from(setting("BURSAR_TEST_LEAK_WALLETS", 60));
        let ids: Vec<WalletId> = (2..2 + wallets).map(WalletId).collect();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let faults = RandomFaults::new(1, ids.clone(), 4, 5);
        let (hook, life) = sentinel(Some(faults.hook()));
        let ledger = RunningLedger::start(directory.path(), 2, Some(hook));
        let all: Vec<NewWallet> = ids.iter().map(|id| wallet(id.0)).collect();
        ledger.open_books(BANK, &all);
        let live = ledger.engine.status().live_wallets;
        let before = ProcessUsage::of("self");
        let mut next_id = 1;
        // Each wallet restarts five times, and none of them once more.
        while faults.by_place().values().sum::<u32>() < 5 * u32::try_from(wallets).expect("few") {
            let mut unsettled: Vec<Transfer> = ids
                .iter()
                .enumerate()
                .map(|(index, id)| {
                    next_id += 1;
                    let neighbour = ids[(index + 1) % ids.len()];
                    let from = if next_id % 3 == 0 { BANK } else { id.0 };
                    transfer(next_id, from, neighbour.0, 1)
                })
                .collect();
            while !unsettled.is_empty() {
                let requests = unsettled.iter().map(|transfer| transfers(vec![transfer.clone()])).collect();
                let answers = ledger.ask_all(requests);
                let mut answered = unsettled.into_iter().zip(answers);
                unsettled = Vec::new();
                for (transfer, answer) in &mut answered {
                    if is_for_now(outcomes(answer)[0].status) {
                        unsettled.push(transfer);
                    }
                }
            }
        }
        faults.end();
        ledger.wallets(&ids);
        assert_eq!(ledger.engine.status().live_wallets, live);
        // Two readers at most were started for the rebuilding, and end when they have nothing to do.
        let readers = ProcessUsage { threads: before.threads + 2, ..before };
        ProcessUsage::assert_back_to(readers, "self", "after the restarts");
        ledger.stop();
        assert_gone(&life, "after the restarts");
    });
}

#[test]
fn a_server_leaves_nothing_behind_however_often_it_is_started_and_stopped() {
    alone("leaks::a_server_leaves_nothing_behind_however_often_it_is_started_and_stopped", || {
        let cycles = setting("BURSAR_TEST_LEAK_CYCLES", 12);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cycle = |number: u32| {
            let (hook, life) = sentinel(None);
            let server = ServedLedger::start(config(directory.path()), Some(hook));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let left_open = runtime.expect("a runtime").block_on(async {
                let client = server.client().await;
                client.create_assets(&[asset(crate::books::USD, "USD")]).await.expect("it answers");
                client
                    .create_wallets(&[crate::books::system_wallet(BANK), wallet(2)])
                    .await
                    .expect("it answers");
                let batch: Vec<_> =
                    (1..=50).map(|id| transfer(u128::from(number) * 100 + id, BANK, 2, 1)).collect();
                client.create_transfers(&batch).await.expect("it answers");
                // Others are silent, or in the middle of a hello when the server stops.
                let mut left_open = Vec::new();
                for length in [0, 5, hello().len()] {
                    let stream = std::net::TcpStream::connect(&server.address).expect("it listens");
                    std::io::Write::write_all(&mut &stream, &hello()[..length]).expect("it is taken");
                    left_open.push(stream);
                }
                left_open
            });
            server.stop().expect("a clean stop");
            drop(left_open);
            assert_gone(&life, &format!("cycle {number}"));
        };
        (0..3).for_each(cycle);
        let before = ProcessUsage::of("self");
        for number in 3..3 + cycles {
            cycle(number);
            ProcessUsage::assert_back_to(before, "self", &format!("cycle {number}"));
        }
    });
}

#[tokio::test]
async fn clients_that_hang_up_in_the_middle_of_anything_leave_nothing_behind() {
    let connections = setting("BURSAR_TEST_CONNECTIONS", 1_500);
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    // What is started with the first connections is there after these.
    for _ in 0..20 {
        RawConnection::open(&server).await.assert_open().await;
    }
    let process = server.pid().to_string();
    wait_until("only the client is connected", || {
        let open = MetricsPage::read(&server).value("bursar_connections");
        if (open - 1.0).abs() < f64::EPSILON { Ok(()) } else { Err(format!("{open} are")) }
    });
    let before = ProcessUsage::of(&process);
    let batch = |first: u128| (first..first + 40).map(|id| transfer(id, BANK, 2, 1)).collect::<Vec<_>>();
    for number in 0..connections {
        let mut connection = RawConnection::silent(&server).await;
        let transfers = batch(1 + 40 * u128::from(number));
        let mut bytes = hello();
        bytes.extend(request(1, RequestRef::CreateTransfers { orders: &transfers, with_balances: true }));
        bytes.extend(request(2, RequestRef::LookupWallets(&[WalletId(BANK), WalletId(2)])));
        bytes.extend(request(3, RequestRef::TrialBalance));
        // Anywhere in a frame, between two, or after the last one; nobody reads a reply.
        let length = if number % 4 == 0 { bytes.len() } else { bytes.len() * (number as usize % 97) / 97 };
        connection.send(&bytes[..length]).await;
        drop(connection);
    }
    wait_until("every connection is closed, and nothing is under way", || {
        let page = MetricsPage::read(&server);
        let under_way = [
            page.value("bursar_connections") - 1.0,
            page.value("bursar_operations_in_flight"),
            page.value("bursar_request_bytes_in_flight"),
        ];
        if under_way.iter().all(|value| value.abs() < f64::EPSILON) {
            Ok(())
        } else {
            Err(format!("{under_way:?}"))
        }
    });
    ProcessUsage::assert_back_to(before, &process, "after all have hung up");
    assert!(client.trial_balance().await.unwrap().assets.iter().all(|line| line.totals.is_balanced()));
    let mut server = server;
    server.stop();
}
