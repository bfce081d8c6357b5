//! Without space, writes are refused before they begin, and reads go on. And when the disk is full all the same, the
//! server ends rather than go on without what it could not write, and nothing that it acknowledged is lost.

use crate::books::{BANK, USD, asset, exists, open_books, transfer, wallet};
use crate::metrics_page::{MetricsPage, get};
use crate::server::{PATIENCE, Server, bursar, run};
use crate::small_disk::{FileSystem, SmallDisk};
use client::{ClientError, Connection};
use ledger::{Order, Outcome, Transfer, TransferId, WalletId};
use protocol::ErrorCode;
use std::time::{Duration, Instant};

/// How a disk is filled: transfers in one request, and metadata of each.
#[derive(Clone, Copy, Debug)]
struct Filling {
    batch: u128,
    metadata_bytes: usize,
}

/// Slowly, so that even a server that gets little of the processor looks at the disk before its reserve is used up.
const SLOWLY: Filling = Filling { batch: 25, metadata_bytes: 64 };
const FAST: Filling = Filling { batch: 200, metadata_bytes: 256 };

fn code_of(error: &ClientError) -> Option<ErrorCode> {
    match error {
        ClientError::Refused { code, .. } => Some(*code),
        ClientError::OutcomeUnknown { source, .. } => code_of(source),
        _ => None,
    }
}

#[tokio::test]
async fn below_the_reserve_writes_are_refused_and_reads_go_on() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    server.stop();
    // No disk has so much.
    let reserve = u64::MAX.to_string();
    let full = Server::on(server.data(), &["--free-bytes-min", &reserve]);
    let connection = full.connection().await;
    let refused = [
        connection.create_transfers(&[transfer(1, BANK, 2, 1)]).await.map(drop),
        connection.create_wallets(&[wallet(3)]).await.map(drop),
        connection.create_assets(&[asset(USD, "USD")]).await.map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("there is no room");
        assert_eq!(code_of(&error), Some(ErrorCode::DiskFull), "{error}");
    }
    assert_eq!(connection.balances(&[WalletId(2)]).await.unwrap()[0].unwrap().balance, 0);
    assert!(connection.trial_balance().await.unwrap().assets.iter().all(|line| line.totals.is_balanced()));
    assert!(connection.lookup_transfers(&[TransferId(1)]).await.unwrap()[0].is_none());
    assert_eq!(get(&full, "/readyz").0, 200);
    assert!((MetricsPage::read(&full).value("bursar_disk_full") - 1.0).abs() < f64::EPSILON);
}

/// What was acknowledged while a disk was filled, and the error that ended it.
struct Filled {
    acknowledged: Vec<(Transfer, Outcome)>,
    error: ClientError,
}

/// Pays one unit from the bank to wallet 2 again and again, until an error.
async fn fill(connection: &Connection, how: Filling) -> Filled {
    let mut acknowledged = Vec::new();
    let mut ids = 1..;
    for _ in 0..100_000 {
        let payment =
            |id| Transfer { metadata: vec![7; how.metadata_bytes].into(), ..transfer(id, BANK, 2, 1) };
        let transfers: Vec<_> =
            ids.by_ref().take(usize::try_from(how.batch).expect("few")).map(payment).collect();
        match connection.create_transfers(&transfers).await {
            Ok(outcomes) => acknowledged.extend(
                transfers.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.status.is_success()),
            ),
            Err(error) => return Filled { acknowledged, error },
        }
    }
    panic!("the disk is never full");
}

/// All of it is there, as it was acknowledged, and nothing is done again.
async fn assert_all_there(server: &Server, acknowledged: &[(Transfer, Outcome)]) {
    let client = server.client().await;
    for part in acknowledged.chunks(2_000) {
        let ids: Vec<_> = part.iter().map(|(transfer, _)| transfer.id).collect();
        let again: Vec<_> = part.iter().map(|(transfer, _)| transfer.clone()).collect();
        let found = client.lookup_transfers(&ids).await.unwrap();
        let retried = client.create_transfers(&again).await.unwrap();
        for (((transfer, outcome), found), retried) in part.iter().zip(found).zip(retried) {
            let found = found.unwrap_or_else(|| panic!("{transfer:?} was acknowledged and is lost"));
            assert_eq!((&found.order, &found.outcome), (&Order::Transfer(transfer.clone()), outcome));
            assert_eq!(retried, exists(outcome));
        }
    }
    let trial = client.trial_balance().await.unwrap();
    assert!(trial.assets.iter().all(|line| line.totals.is_balanced()));
}

fn paid(acknowledged: &[(Transfer, Outcome)]) -> i128 {
    i128::try_from(acknowledged.len()).expect("few")
}

async fn received(server: &Server) -> i128 {
    server.client().await.balances(&[WalletId(2)]).await.unwrap()[0].unwrap().balance
}

/// The reserve is kept: `disk_full` is answered, and writing resumes by itself when there is room.
async fn writing_stops_at_the_reserve_and_resumes(kind: FileSystem) {
    let Some(disk) = SmallDisk::mount(kind, 64) else { return };
    let ballast = disk.put_ballast_but_for(32);
    let mut server = Server::on(&disk.path().join("data"), &["--free-bytes-min", &(16 << 20).to_string()]);
    let connection = server.connection().await;
    open_books(&server.client().await, &[wallet(2)]).await;
    let Filled { acknowledged, error } = fill(&connection, SLOWLY).await;
    assert_eq!(code_of(&error), Some(ErrorCode::DiskFull), "{error}");
    assert!(!acknowledged.is_empty(), "there was room at first");
    assert_eq!(received(&server).await, paid(&acknowledged));
    assert_eq!(get(&server, "/readyz").0, 200);
    std::fs::remove_file(&ballast).expect("the ballast is ours");
    // The server looks at the disk by itself, several times a second.
    let give_up = Instant::now() + PATIENCE;
    while let Err(error) = connection.create_transfers(&[transfer(u128::MAX, BANK, 2, 1)]).await {
        assert_eq!(code_of(&error), Some(ErrorCode::DiskFull), "{error}");
        assert!(Instant::now() < give_up, "writing does not resume");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(received(&server).await, paid(&acknowledged) + 1);
    server.kill();
    let mut server = server.restart();
    assert_all_there(&server, &acknowledged).await;
    assert_eq!(received(&server).await, paid(&acknowledged) + 1);
    server.stop();
}

#[tokio::test]
async fn on_a_small_tmpfs_writing_stops_at_the_reserve_and_resumes_when_there_is_room() {
    writing_stops_at_the_reserve_and_resumes(FileSystem::Tmpfs).await;
}

#[tokio::test]
async fn on_a_small_ext4_writing_stops_at_the_reserve_and_resumes_when_there_is_room() {
    writing_stops_at_the_reserve_and_resumes(FileSystem::Ext4).await;
}

/// Without a reserve the journal itself finds the disk full, or a fold into the books does. The process ends and says why; a start on the full disk is
/// refused and is no "damage"; with room, everything acknowledged is there.
async fn a_full_disk_ends_the_process_and_nothing_is_lost(kind: FileSystem) {
    let Some(disk) = SmallDisk::mount(kind, 64) else { return };
    let ballast = disk.put_ballast_but_for(36);
    let data = disk.path().join("data");
    let mut server = Server::on(&data, &["--free-bytes-min", "0"]);
    let connection = server.connection().await;
    open_books(&server.client().await, &[wallet(2)]).await;
    let Filled { acknowledged, error } = fill(&connection, FAST).await;
    assert!(!acknowledged.is_empty(), "there was room at first");
    let is_unknown = matches!(error, ClientError::OutcomeUnknown { .. });
    assert!(is_unknown, "it was sent, and nobody knows what became of it: {error}");
    let ended = server.wait();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.stderr.trim_end().lines().last().expect("it says why").to_owned();
    for part in ["bursar: ", &data.display().to_string(), "No space left on device"] {
        assert!(last.contains(part), "`{part}` is not in: {last}");
    }

    // What the last write had no room for may have left a little.
    let filler = disk.put_ballast_into_the_rest();
    let refused = Server::attempt(&data, &["--free-bytes-min", "0"]).expect_err("the disk is full");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("No space left on device"), "{refused:?}");
    let misleading = ["damaged", "backup"].iter().any(|word| refused.stderr.contains(word));
    assert!(!misleading, "a full disk is no damage: {refused:?}");

    for ballast in [ballast, filler] {
        std::fs::remove_file(&ballast).expect("the ballast is ours");
    }
    let mut server = Server::on(&data, &["--free-bytes-min", "0"]);
    // What had no answer may have been done as well.
    let (received, paid) = (received(&server).await, paid(&acknowledged));
    let unanswered = i128::try_from(FAST.batch).expect("few");
    assert!((paid..=paid + unanswered).contains(&received), "{received} of {paid} and {unanswered}");
    assert_all_there(&server, &acknowledged).await;
    server.stop();
    let verified = run(bursar().arg("verify").arg(&data));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn a_tmpfs_that_is_full_ends_the_process_and_nothing_acknowledged_is_lost() {
    a_full_disk_ends_the_process_and_nothing_is_lost(FileSystem::Tmpfs).await;
}

#[tokio::test]
async fn an_ext4_that_is_full_ends_the_process_and_nothing_acknowledged_is_lost() {
    a_full_disk_ends_the_process_and_nothing_is_lost(FileSystem::Ext4).await;
}
