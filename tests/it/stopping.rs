//! How a server stops: what it says meanwhile, how long it waits in all, and with what code and message it ends when it
//! cannot go on.

use crate::books::{BANK, USD, assert_all_created, asset, open_books, system_wallet, transfer, wallet};
use crate::fault::{Fault, Gate};
use crate::metrics_page::get;
use crate::process_usage::wait_until;
use crate::raw_connection::{RawConnection, request};
use crate::served_ledger::{ServedLedger, config, telemetry};
use crate::server::{Server, bursar};
use actix_rt::System;
use bursar::config::Config;
use bursar::serve::{Listeners, run_with_faults};
use client::ClientError;
use ledger::{NewWallet, Status, TransferId, WalletId};
use protocol::{ErrorCode, Reply, RequestRef};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More replies than all socket buffers on the way take.
const UNREAD: u64 = 24;

#[tokio::test]
async fn a_server_that_stops_says_that_it_is_not_ready_until_what_is_under_way_is_answered() {
    let mut server = Server::start(&["--drain-timeout", "2m", "--write-timeout", "2m"]);
    let client = server.client().await;
    let large = |id| NewWallet { metadata: vec![7; 1_024].into(), ..wallet(id) };
    let wallets: Vec<NewWallet> = (2..1_002).map(large).collect();
    open_books(&client, &wallets).await;
    let ids: Vec<WalletId> = wallets.iter().map(|wallet| wallet.id).collect();
    let mut unread = RawConnection::open(&server).await;
    for id in 1..=UNREAD {
        unread.send(&request(id, RequestRef::LookupWallets(&ids))).await;
    }
    // A reply that has arrived shows that the requests are being answered, while nobody reads the others.
    let (first, _) = unread.reply().await;
    assert_eq!(first, 1);
    assert_eq!(get(&server, "/readyz").0, 200);

    server.terminate();
    wait_until("it says that it stops", || match get(&server, "/readyz") {
        (503, _, body) if body == "stopping\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(get(&server, "/healthz").0, 200, "it is still alive");
    assert_eq!(get(&server, "/metrics").0, 200);
    wait_until("nobody can connect any more", || match std::net::TcpStream::connect(&server.address) {
        Ok(_) => Err("somebody can".to_owned()),
        Err(_) => Ok(()),
    });
    let late = client.create_transfers(&[transfer(1, BANK, 2, 1)]).await;
    assert!(
        matches!(&late, Err(ClientError::Refused { code: ErrorCode::ShuttingDown, .. })),
        "nothing new is taken: {late:?}"
    );
    assert_eq!(get(&server, "/readyz").0, 503, "it still waits");

    // What was taken before is answered, and only then does it end.
    let mut answered = vec![1];
    while let Some((id, reply)) = unread.try_reply().await {
        match reply {
            Reply::LookupWallets(found) => assert_eq!(found.len(), ids.len()),
            Reply::Error(error) => assert_eq!(error.code, ErrorCode::ShuttingDown),
            other => panic!("no answer to this: {other:?}"),
        }
        answered.push(id);
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=UNREAD).collect::<Vec<_>>());
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// One request is under way for ever: neither the connection that waits for it nor the engine can be drained, and both
/// waits together are as long as one.
#[test]
fn a_stop_waits_for_one_drain_timeout_in_all() {
    const DRAIN: Duration = Duration::from_mins(1);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let gate = Gate::new("continue", 2);
    let config = Config { drain_timeout: DRAIN, shards: 2, ..config(&data) };
    let listeners = Listeners::bind(&config).expect("there are free ports");
    let address = listeners.clients_address().expect("it is bound").to_string();
    let hook = gate.hook();
    let is_over = Arc::new(AtomicBool::new(false));
    let waited = std::thread::scope(|scope| {
        let (asked, to_stop) = tokio::sync::oneshot::channel();
        scope.spawn({
            let (gate, data, is_over) = (&gate, &data, Arc::clone(&is_over));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let options = client::ClientOptions::default();
                    let client = client::Connection::open(address, &options).await.expect("it listens");
                    client.create_assets(&[asset(USD, "USD")]).await.expect("it answers");
                    let wallets = [system_wallet(BANK), wallet(2)];
                    assert_all_created(&client.create_wallets(&wallets).await.expect("it answers"));
                    let paid =
                        tokio::spawn(
                            async move { client.create_transfers(&[transfer(1, BANK, 2, 1)]).await },
                        );
                    tokio::task::spawn_blocking({
                        let gate = gate.clone();
                        move || gate.wait_until_held()
                    })
                    .await
                    .expect("the transfer is under way");
                    asked.send(()).expect("the server runs");
                    // Closed, the journal has been waited for; only the threads are left, and one of them is held.
                    while !data.join("CLEAN").exists() && !is_over.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    gate.open();
                    assert!(paid.await.expect("it ends").is_err(), "it was never answered");
                });
            }
        });
        // The clock of the server's own thread goes on only when there is nothing else to do, as far as to what comes
        // next: a minute takes no time, and is exactly a minute.
        let system = System::with_tokio_rt(|| {
            let paused =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            paused.expect("a runtime")
        });
        let waited = system.block_on(async {
            let mut asked_at = None;
            let stop = async {
                to_stop.await.expect("the test asks");
                asked_at = Some(tokio::time::Instant::now());
            };
            let served = run_with_faults(config, listeners, telemetry(), Some(hook), |_| {}, stop).await;
            served.expect("a clean stop, if a late one");
            asked_at.expect("it was asked to stop").elapsed()
        });
        is_over.store(true, Ordering::Relaxed);
        waited
    });
    assert!(waited >= DRAIN, "it waits: {waited:?}");
    assert!(waited < 2 * DRAIN, "and not once more: {waited:?}");
}

#[test]
fn a_server_whose_ledger_cannot_go_on_ends_with_the_reason_and_tells_its_clients() {
    let check = |place: &'static str, reason: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fault = Fault::unarmed(place, BANK, 0, 1);
        let server = ServedLedger::start(config(directory.path()), Some(fault.hook()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = server.client().await;
            open_books(&client, &[wallet(2)]).await;
            assert_all_created(
                &client.create_transfers(&[transfer(1, BANK, 2, 5)]).await.expect("it answers"),
            );
            fault.arm();
            let connection = server.connection().await;
            let told = connection.create_transfers(&[transfer(2, BANK, 2, 5)]).await;
            let is_not_done = match &told {
                // Dropped by what failed before anything of it was done.
                Ok(outcomes) => outcomes[0].status == Status::InternalError,
                Err(ClientError::Refused { code, .. }) => *code == ErrorCode::Unavailable,
                Err(error) => matches!(error, ClientError::OutcomeUnknown { .. }),
            };
            assert!(is_not_done, "{place}: {told:?}");
            // Whoever comes now is turned away, or finds nobody.
            let next = connection.create_transfers(&[transfer(3, BANK, 2, 5)]).await;
            assert!(next.is_err(), "{place}: {next:?}");
        });
        let ended = server.wait().expect_err("it cannot go on");
        assert_eq!(ended.to_string(), reason, "{place}");
    };
    check("shard_live", "a shard has failed");
    check("route", "a router has failed");
}

/// A limit of the process on its files, so that a write fails after so many of them: no file system has to be full.
#[tokio::test]
async fn a_journal_that_fails_ends_the_real_process_with_a_message_and_a_code() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(bursar().get_program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BURSAR_")) {
        command.env_remove(name);
    }
    let mut server = Server::launch(command, &data, Vec::new()).expect("it starts");
    // Only now: the books' engine makes a large file of holes when it starts.
    let limit = Rlimit { current: Some(2 << 20), maximum: Some(2 << 20) };
    let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a process id"));
    prlimit(pid, Resource::Fsize, limit).expect("a limit can be lowered");
    let connection = server.connection().await;
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut acknowledged: i128 = 0;
    let mut failed = None;
    for batch in 0..10_000_u128 {
        let transfers: Vec<_> = (1..=500).map(|index| transfer(batch * 500 + index, BANK, 2, 1)).collect();
        match connection.create_transfers(&transfers).await {
            Ok(outcomes) => {
                assert!(outcomes.iter().all(|outcome| outcome.status == Status::Created));
                acknowledged += 500;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let failed = failed.expect("the limit is reached some time");
    let ended = server.wait();
    assert_eq!(ended.code, Some(1), "{failed}: {ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("bursar: ") && last.contains("File too large"), "{}", ended.stderr);
    assert!(!ended.stdout.contains("stopped"), "that is not a stop: {}", ended.stdout);

    // Everything acknowledged is there, and the batch that was not is there as a whole or not.
    let mut server = Server::on(&data, &[]);
    let client = server.client().await;
    let balance = client.balances(&[WalletId(2)]).await.expect("it answers")[0].expect("it exists").balance;
    assert!(
        balance >= acknowledged && balance <= acknowledged + 500,
        "{balance}, acknowledged {acknowledged}"
    );
    let first = client.lookup_transfers(&[TransferId(1)]).await.expect("it answers");
    assert_eq!(first[0].is_some(), acknowledged > 0);
    server.stop();
}
