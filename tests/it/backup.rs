//! A backup of a server that is under load holds everything that was acknowledged before it began; what is restored from it is that
//! ledger. Cut off at any moment, a backup leaves nothing that could be taken for one, and a restore leaves nothing that is opened.

use crate::books::{BANK, USD, assert_all_created, open_books, pay, transfer, wallet};
use crate::server::{Ended, PATIENCE, Server, bursar, run};
use crate::small_disk::{FileSystem, SmallDisk};
use ledger::{Transfer, TransferId};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn back_up(source: &[&str], to: &Path) -> Ended {
    run(bursar().arg("backup").arg(to).args(source).arg("--json"))
}

fn restore(backup: &Path, directory: &Path) -> Ended {
    run(bursar().arg("restore").args([backup, directory]).arg("--json"))
}

fn verify(path: &Path) -> Value {
    json(&run(bursar().arg("verify").arg(path).arg("--json")))
}

/// So many transfers from the bank to wallets 2 to 9, from the id `first` on.
fn batch(first: u128, count: u128) -> Vec<Transfer> {
    (first..first + count).map(|id| transfer(id, BANK, 2 + id % 8, 1 + id % 5)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_what_was_acknowledged_before_it_began_and_is_restored_as_that() {
    let place = tempfile::tempdir().unwrap();
    let mut server = Server::start(&[]);
    let client = Arc::new(server.client().await);
    let wallets: Vec<_> = (2..10).map(wallet).collect();
    open_books(&client, &wallets).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (client, stop) = (Arc::clone(&client), Arc::clone(&stop));
        async move {
            let mut next = 1_000_000;
            while !stop.load(Ordering::Relaxed) {
                assert_all_created(&client.create_transfers(&batch(next, 100)).await.unwrap());
                next += 100;
            }
        }
    });
    for round in 0..3_u128 {
        let before = batch(1 + round * 500, 500);
        assert_all_created(&client.create_transfers(&before).await.unwrap());
        let (backup, directory) =
            (place.path().join(format!("{round}.backup")), place.path().join(format!("{round}")));
        let address = server.address.clone();
        let made = tokio::task::spawn_blocking({
            let backup = backup.clone();
            move || json(&back_up(&["--addr", &address], &backup))
        });
        let made = made.await.unwrap();
        let checked = verify(&backup);
        assert_eq!(checked["last_seq"], made["last_seq"]);
        let restored = json(&restore(&backup, &directory));
        assert_eq!((&restored["last_seq"], &restored["hash"]), (&made["last_seq"], &made["hash"]));
        let verified = verify(&directory);
        for field in ["wallets", "transfers", "refused", "assets", "last_seq", "records", "entries"] {
            assert_eq!(verified[field], checked[field], "{field}");
        }
        let mut again = Server::on(&directory, &[]);
        let restored = again.client().await;
        let ids: Vec<TransferId> = (1..=(round + 1) * 500).map(TransferId).collect();
        let found = restored.lookup_transfers(&ids).await.unwrap();
        assert!(found.iter().all(Option::is_some), "round {round}: an acknowledged transfer is missing");
        let trial = restored.trial_balance().await.unwrap();
        assert!(trial.assets.iter().all(|line| line.totals.is_balanced()));
        // It goes on, and keeps its own ids.
        assert_all_created(&[pay(&restored, &transfer(u128::MAX / 2, BANK, 2, 1)).await]);
        assert!(pay(&restored, &before[0]).await.replayed);
        again.stop();
        assert_eq!(verify(&directory)["last_seq"].as_u64(), made["last_seq"].as_u64().map(|seq| seq + 1));
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    // Stopped, the directory gives the same as the server did.
    let online = place.path().join("online");
    json(&back_up(&["--addr", &server.address], &online));
    server.stop();
    let offline = place.path().join("offline");
    let data = server.data().to_str().unwrap().to_owned();
    json(&back_up(&["--data", &data], &offline));
    assert!(fs::read(&online).unwrap() == fs::read(&offline).unwrap());
}

#[tokio::test]
async fn a_restore_that_is_killed_at_any_moment_is_not_opened_and_can_be_begun_again() {
    let place = tempfile::tempdir().unwrap();
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &(2..10).map(wallet).collect::<Vec<_>>()).await;
    for first in (1..40_000).step_by(4_000) {
        assert_all_created(&client.create_transfers(&batch(first, 4_000)).await.unwrap());
    }
    let backup = place.path().join("backup");
    json(&back_up(&["--addr", &server.address], &backup));
    server.stop();
    let mut cut_off = 0;
    // Killed when this is there.
    for name in
        ["LOCK", "RESTORING", "journal", "head", "books.unfinished", "books.rebuilt", "books", "VERSION"]
    {
        let directory = place.path().join(name);
        let mut command = bursar();
        command.arg("restore").args([&backup, &directory]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while !directory.join(name).exists() && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "{name} never comes");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let is_complete = directory.join("VERSION").exists();
        if !is_complete && directory.join("RESTORING").exists() {
            cut_off += 1;
            let refused = run(bursar().arg("verify").arg(&directory));
            assert!(
                refused.stderr.contains("restoring into") && refused.code == Some(1),
                "{name}: {refused:?}"
            );
            let Err(refused) = Server::attempt(&directory, &[]) else { panic!("{name}: it was opened") };
            assert!(
                refused.stderr.contains("was cut off: run `bursar restore` again"),
                "{name}: {refused:?}"
            );
        }
        if is_complete {
            let refused = restore(&backup, &directory);
            assert!(refused.stderr.contains("is not overwritten"), "{name}: {refused:?}");
        } else {
            json(&restore(&backup, &directory));
        }
        assert_eq!(verify(&directory)["transfers"], 40_000, "{name}");
        fs::remove_dir_all(&directory).unwrap();
    }
    assert!(cut_off >= 3, "only {cut_off} were cut off in the middle");
}

#[tokio::test]
async fn what_cannot_be_backed_up_or_restored_says_why_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    assert_eq!(back_up(&["--addr", &server.address], &path("whole")).code, Some(0));
    let check = |ended: &Ended, expected: &str| {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.starts_with("bursar: ") && ended.stderr.contains(expected),
            "{expected}: {ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    };
    check(&back_up(&["--addr", &server.address], &path("whole")), "is there already");
    check(&back_up(&["--addr", &server.address], &path("nowhere/backup")), "No such file or directory");
    check(&back_up(&["--addr", "127.0.0.1:1"], &path("b")), "cannot reach a server");
    check(&back_up(&["--data", server.data().to_str().unwrap()], &path("b")), "is in use by another process");
    check(&back_up(&["--data", path("nothing").to_str().unwrap()], &path("b")), "No such file or directory");
    check(&restore(&path("nothing"), &path("r")), "No such file or directory");
    fs::write(path("text"), "It was a dark and stormy night.").unwrap();
    check(&restore(&path("text"), &path("r")), "it is no backup of a ledger");
    check(&run(bursar().arg("verify").arg(path("text"))), "it is no backup of a ledger");
    let whole = fs::read(path("whole")).unwrap();
    fs::write(path("short"), &whole[..whole.len() - 1]).unwrap();
    check(&restore(&path("short"), &path("r")), "its end is missing; use another one");
    check(&restore(&path("whole"), place.path()), "is not a bursar data directory");
    check(&restore(&path("whole"), &path("text")), "is not a directory");
    // A directory takes a file whose name says when.
    fs::create_dir(path("backups")).unwrap();
    let made = json(&back_up(&["--addr", &server.address], &path("backups")));
    let made = made["backup"].as_str().unwrap();
    assert!(made.ends_with("Z.backup") && fs::read(made).unwrap() == whole, "{made}");
    server.stop();
    let mut names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["backups", "short", "text", "whole"]);
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_and_a_restore_can_be_begun_again() {
    let Some(disk) = SmallDisk::mount(FileSystem::Tmpfs, 3) else { return };
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &(2..10).map(wallet).collect::<Vec<_>>()).await;
    for first in (1..40_000).step_by(4_000) {
        let transfers: Vec<Transfer> = batch(first, 4_000)
            .into_iter()
            .map(|order| Transfer { metadata: noise(order.id.0), asset: USD, ..order })
            .collect();
        assert_all_created(&client.create_transfers(&transfers).await.unwrap());
    }
    let full = back_up(&["--addr", &server.address], &disk.path().join("backup"));
    assert!(full.code == Some(1) && full.stderr.contains("No space left on device"), "{full:?}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0, "nothing is left");
    let backup = place.path().join("backup");
    json(&back_up(&["--addr", &server.address], &backup));
    let directory = disk.path().join("data");
    let full = restore(&backup, &directory);
    assert!(full.code == Some(1) && full.stderr.contains("No space left on device"), "{full:?}");
    let refused = run(bursar().arg("verify").arg(&directory));
    assert!(refused.stderr.contains("run `bursar restore` again"), "{refused:?}");
    let moved = place.path().join("data");
    fs::create_dir(&moved).unwrap();
    fs::write(moved.join("RESTORING"), b"").unwrap();
    json(&restore(&backup, &moved));
    assert_eq!(verify(&moved)["transfers"], 40_000);
}

/// Bytes that nobody can compress.
fn noise(id: u128) -> Box<[u8]> {
    let mut chance = crate::books::Chance(id as u64);
    (0..12).flat_map(|_| chance.next().to_le_bytes()).collect()
}
