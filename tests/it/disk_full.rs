//! Without space, writes are refused before they begin, and reads go on.

use crate::books::{BANK, USD, asset, open_books, transfer, wallet};
use crate::metrics_page::{MetricsPage, get};
use crate::server::{Server, run};
use client::ClientError;
use ledger::WalletId;
use protocol::ErrorCode;
use std::path::PathBuf;
use std::process::Command;

fn code_of(error: &ClientError) -> Option<ErrorCode> {
    match error {
        ClientError::Refused { code, .. } => Some(*code),
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
    assert!(connection.lookup_transfers(&[ledger::TransferId(1)]).await.unwrap()[0].is_none());
    assert_eq!(get(&full, "/readyz").0, 200);
    assert!((MetricsPage::read(&full).value("bursar_disk_full") - 1.0).abs() < f64::EPSILON);
}

/// A file system of its own; `None` where none may be mounted.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let path = tempfile::tempdir().expect("a temporary directory").keep();
        let size = format!("size={size}");
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path));
        (mounted.code == Some(0)).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0));
        // Only the mount point is left.
        let _removed = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn on_a_small_disk_writing_stops_at_the_reserve_and_resumes_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("96m") else {
        eprintln!("skipped: no file system may be mounted here");
        return;
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 40 << 20]).expect("there is room for the ballast");
    let mut server = Server::on(&disk.0.join("data"), &["--free-bytes-min", &(24 << 20).to_string()]);
    let connection = server.connection().await;
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut acknowledged = 0;
    let mut full = false;
    for batch in 0..5_000_u128 {
        let transfers: Vec<_> = (0..50).map(|index| transfer(1 + batch * 50 + index, BANK, 2, 1)).collect();
        match connection.create_transfers(&transfers).await {
            Ok(outcomes) => {
                acknowledged += outcomes.iter().filter(|outcome| outcome.status.is_success()).count();
            }
            Err(error) => {
                assert_eq!(code_of(&error), Some(ErrorCode::DiskFull), "{error}");
                full = true;
                break;
            }
        }
    }
    assert!(full, "the disk is never full");
    let balance = || async { connection.balances(&[WalletId(2)]).await.unwrap()[0].unwrap().balance };
    let paid = i128::try_from(acknowledged).expect("few");
    assert_eq!(balance().await, paid);
    std::fs::remove_file(&ballast).expect("the ballast is ours");
    // The server looks at the disk by itself, several times a second.
    let mut resumed = false;
    for _ in 0..1_000_000 {
        if connection.create_transfers(&[transfer(u128::MAX, BANK, 2, 1)]).await.is_ok() {
            resumed = true;
            break;
        }
    }
    assert!(resumed, "writing does not resume");
    assert_eq!(balance().await, paid + 1);
    server.kill();
    let mut server = server.restart();
    let client = server.client().await;
    assert_eq!(client.balances(&[WalletId(2)]).await.unwrap()[0].unwrap().balance, paid + 1);
    server.stop();
}
