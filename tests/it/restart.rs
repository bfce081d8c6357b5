//! What was acknowledged stays, whatever happens to the process; and a directory that is not right is refused with one
//! line that says what to do.

use crate::books::{
    BANK, assert_all_created, balance, exists, open_books, pay, transfer, wallet, whenever_read,
};
use crate::raw_connection::{RawConnection, request};
use crate::server::{Ended, Server, bursar, run};
use ledger::{Order, Outcome, Status, Transfer, TransferId};
use protocol::{ErrorCode, Reply, RequestRef};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Every file below a directory with its bytes, but for the pid in `LOCK`.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_none_or(|name| name != "LOCK") {
                found.insert(path.clone(), fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn assert_one_line(ended: &Ended, mentions: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "one line: {}", ended.stderr);
    for mention in mentions {
        assert!(ended.stderr.contains(mention), "`{mention}` is not in: {}", ended.stderr);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_under_load_and_ids_stay_used_up() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &(2..10).map(wallet).collect::<Vec<_>>()).await;
    let mut acknowledged: Vec<(Transfer, Outcome)> = Vec::new();
    for round in 0..3_u128 {
        let acknowledged_now = Arc::new(AtomicU64::new(0));
        let killed = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..4_u128)
            .map(|task| {
                let (address, count, killed) =
                    (server.address.clone(), Arc::clone(&acknowledged_now), Arc::clone(&killed));
                tokio::spawn(async move {
                    let options = client::ClientOptions::default();
                    let connection =
                        client::Connection::open(address, &options).await.expect("the server listens");
                    let mut mine = Vec::new();
                    for index in 0..1_000_000_u128 {
                        if killed.load(Ordering::Relaxed) {
                            break;
                        }
                        let id = ((round * 4 + task + 1) << 64) + index;
                        let batch: Vec<_> = (0..5)
                            .map(|leg| transfer((id << 8) + leg, BANK, 2 + (index + leg) % 8, 1 + leg))
                            .collect();
                        let Ok(outcomes) = connection.create_transfers(&batch).await else { break };
                        count.fetch_add(1, Ordering::Relaxed);
                        mine.extend(batch.into_iter().zip(outcomes));
                    }
                    mine
                })
            })
            .collect();
        while acknowledged_now.load(Ordering::Relaxed) < 100 * u64::try_from(round + 1).expect("small") {
            tokio::task::yield_now().await;
        }
        server.kill();
        killed.store(true, Ordering::Relaxed);
        for task in tasks {
            acknowledged.extend(task.await.expect("no task panics"));
        }
        server = server.restart();
    }
    let client = server.client().await;
    for part in acknowledged.chunks(2_000) {
        let ids: Vec<TransferId> = part.iter().map(|(transfer, _)| transfer.id).collect();
        let again: Vec<Transfer> = part.iter().map(|(transfer, _)| transfer.clone()).collect();
        let found = client.lookup_transfers(&ids).await.unwrap();
        let retried = client.create_transfers(&again).await.unwrap();
        for (((transfer, outcome), found), retried) in part.iter().zip(found).zip(retried) {
            let found = found.expect("it was acknowledged");
            assert_eq!((&found.order, &found.outcome), (&Order::Transfer(transfer.clone()), outcome));
            assert_eq!(retried, exists(outcome));
        }
    }
    let trial = client.trial_balance().await.unwrap();
    assert!(trial.assets.iter().all(|line| line.totals.is_balanced()));
    server.stop();
    let verified = run(bursar().arg("verify").arg(server.data()));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_refuses_what_is_new() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut connection = RawConnection::open(&server).await;
    let transfers: Vec<_> = (1..=2_000).map(|id| transfer(id, BANK, 2, 1)).collect();
    connection
        .send(&request(1, RequestRef::CreateTransfers { orders: &transfers, with_balances: false }))
        .await;
    server.terminate();
    let mut answered = false;
    for id in 2..100_000 {
        if connection.try_send(&request(id, RequestRef::TrialBalance)).await.is_err() {
            break;
        }
        match connection.try_reply().await {
            Some((1, Reply::CreateTransfers(created))) => {
                assert_all_created(&created.outcomes);
                answered = true;
            }
            Some((1, Reply::Error(error))) => {
                // The signal was quicker than the request: then nothing of it was done.
                assert_eq!(error.code, ErrorCode::ShuttingDown);
                answered = true;
            }
            Some((_, Reply::Error(error))) => {
                assert_eq!(error.code, ErrorCode::ShuttingDown);
            }
            Some(_) => {}
            None => break,
        }
    }
    assert!(answered, "what was under way is answered");
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with("stopped\n"), "{}", ended.stdout);
    let mut server = server.restart();
    assert!(server.stdout().contains("after a clean stop"), "{}", server.stdout());
    let client = server.client().await;
    let paid = balance(&client, 2).await;
    assert!(paid == 2_000 || paid == 0, "all or, if the signal came first, none: {paid}");
    server.stop();
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused_and_told_by_whom() {
    let server = Server::start(&[]);
    let refused = Server::attempt(server.data(), &[]).expect_err("it is locked");
    assert_one_line(&refused, &["in use by another process", &server.pid().to_string()]);
    let verified = run(bursar().arg("verify").arg(server.data()));
    assert_one_line(&verified, &["in use by another process"]);
    assert!(server.client().await.ping().await.is_ok());
}

#[test]
fn a_directory_that_is_not_right_is_refused_with_one_line_and_left_as_it_is() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let check = |name: &str, prepare: &dyn Fn(&Path), mentions: &[&str]| {
        let data = root.path().join(name);
        prepare(&data);
        let before = if data.is_dir() { contents(&data) } else { BTreeMap::new() };
        let refused = Server::attempt(&data, &[]).expect_err(name);
        assert_one_line(&refused, mentions);
        if data.is_dir() {
            assert_eq!(contents(&data), before, "{name}");
        }
    };
    check("a-file", &|data| fs::write(data, "hello").unwrap(), &["a-file", "is not a directory"]);
    check(
        "photos",
        &|data| {
            fs::create_dir(data).unwrap();
            fs::write(data.join("cat.jpg"), "meow").unwrap();
        },
        &["photos", "not a bursar data directory", "cat.jpg"],
    );
    let damaged = |name: &'static str, damage: &'static dyn Fn(&Path), mentions: &[&str]| {
        let data = root.path().join(name);
        let mut server = Server::on(&data, &[]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = server.client().await;
            open_books(&client, &[wallet(2)]).await;
            for id in 1..=20 {
                pay(&client, &transfer(id, BANK, 2, 1)).await;
            }
        });
        server.kill();
        check(name, &|data| damage(data), mentions);
        let verified = run(bursar().arg("verify").arg(&data));
        assert_eq!(verified.code, Some(1), "{verified:?}");
    };
    damaged(
        "newer",
        &|data| fs::write(data.join("VERSION"), "bursar data format 999\n").unwrap(),
        &["VERSION", "999", "newer"],
    );
    damaged("no-head", &|data| fs::remove_file(data.join("head")).unwrap(), &["head"]);
    damaged(
        "scratched-head",
        &|data| fs::write(data.join("head"), vec![7; 8_192]).unwrap(),
        &["head", "damaged"],
    );
    damaged(
        "no-journal",
        &|data| {
            for entry in fs::read_dir(data.join("journal")).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::write(path, []).unwrap();
                }
            }
        },
        &["journal"],
    );
}

#[test]
fn a_missing_directory_is_made_with_its_parents() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = root.path().join("deep/er/data");
    let mut server = Server::on(&data, &[]);
    assert!(server.stdout().contains("new ledger"), "{}", server.stdout());
    server.stop();
    let mut again = Server::on(&data, &[]);
    assert!(again.stdout().contains("0 wallets from 0 entries"), "{}", again.stdout());
    again.stop();
}

#[tokio::test]
async fn refusals_and_wallets_survive_a_kill_as_they_were() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    pay(&client, &transfer(1, BANK, 2, 100)).await;
    let refused = pay(&client, &transfer(2, 3, 2, 5)).await;
    assert_eq!(refused.status, Status::InsufficientFunds);
    pay(&client, &transfer(3, BANK, 3, 50)).await;
    let ids = [1, 2, 3].map(ledger::WalletId);
    let before: Vec<_> = client
        .lookup_wallets(&ids)
        .await
        .unwrap()
        .into_iter()
        .map(|view| whenever_read(view.unwrap()))
        .collect();
    server.kill();
    let server = server.restart();
    assert!(
        server.stdout().contains("3 wallets") && server.stdout().contains("after a crash"),
        "{}",
        server.stdout()
    );
    let client = server.client().await;
    let after: Vec<_> = client
        .lookup_wallets(&ids)
        .await
        .unwrap()
        .into_iter()
        .map(|view| whenever_read(view.unwrap()))
        .collect();
    assert_eq!(after, before);
    let again = pay(&client, &transfer(2, 3, 2, 5)).await;
    assert_eq!(again, crate::books::already_refused(&refused));
}
