//! Damage on disk is repaired or refused with its place named, and never served.
//!
//! Directories that a real server has left, after a clean stop, after a kill under load, and before anything was written, are
//! damaged in one place each: every file, near its beginning, near its end and in between; bits, blocks, lengths,
//! whole files. The real binary then verifies and serves them. Whatever it does, it says it; a directory that it serves holds
//! everything that was acknowledged, and one that it refuses is left as it was. What is not read at a start may be met later: then
//! the server ends, in the same words.
//!
//! `BURSAR_TEST_CORRUPTIONS` says how many; `BURSAR_TEST_CORRUPTION_SEED=<seed>` replays one.

use crate::books::{BANK, Chance, USD, asset, setting, system_wallet, transfer, wallet, whenever_read};
use crate::server::{Ended, Server, bursar, patient, run};
use client::{Client, ClientError, WalletView};
use ledger::{Order, Outcome, Status, Transfer, TransferId, WalletId};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Enough to meet every file and every kind of damage.
const CORRUPTIONS_DEFAULT: u32 = 48;

/// A directory as a server has left it, and what its clients know.
struct Original {
    name: &'static str,
    path: PathBuf,
    files: Vec<PathBuf>,
    acknowledged: Vec<(Transfer, Outcome)>,
    wallets: Vec<WalletView>,
}

impl Original {
    async fn make(name: &'static str, parent: &Path) -> Self {
        let path = parent.join(name);
        let mut server = Server::on(&path, &[]);
        let client = server.client().await;
        let (mut acknowledged, mut wallets) = (Vec::new(), Vec::new());
        if name != "unused" {
            client.create_assets(&[asset(USD, "USD")]).await.unwrap();
            let terms: Vec<_> = std::iter::once(system_wallet(BANK)).chain((2..8).map(wallet)).collect();
            client.create_wallets(&terms).await.unwrap();
            for batch in 0..40_u128 {
                let transfers: Vec<Transfer> = (0..30)
                    .map(|index| {
                        let id = 1 + batch * 100 + index;
                        // From the bank, among the others, and more than there is.
                        let (from, to) =
                            if index % 3 == 0 { (BANK, 2 + id % 6) } else { (2 + id % 6, 2 + (id + 1) % 6) };
                        Transfer { metadata: vec![7; 100].into(), ..transfer(id, from, to, 1 + id % 40) }
                    })
                    .collect();
                let outcomes = client.create_transfers(&transfers).await.unwrap();
                acknowledged.extend(transfers.into_iter().zip(outcomes));
            }
            let ids: Vec<WalletId> = terms.iter().map(|terms| terms.id).collect();
            let views = client.lookup_wallets(&ids).await.unwrap();
            wallets = views.into_iter().map(|view| whenever_read(view.expect("it exists"))).collect();
        }
        if name == "killed" {
            server.kill();
        } else {
            server.stop();
        }
        let files =
            contents(&path).into_keys().map(|file| file.strip_prefix(&path).expect("below").to_owned());
        Self { name, files: files.collect(), path, acknowledged, wallets }
    }
}

/// Every file below a directory with its bytes, but for the pid in `LOCK`.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_none_or(|name| name != "LOCK") {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file");
        }
    }
}

/// Damages the file in one place, and says how.
fn damage(path: &Path, chance: &mut Chance) -> String {
    let bytes = fs::read(path).expect("a file");
    let length = bytes.len() as u64;
    // Most of a log is room that was never written.
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(length, |last| last as u64 + 1).max(1);
    let at = match chance.below(4) {
        0 => chance.below(used.min(64)),
        1 => used - 1 - chance.below(used.min(300)),
        _ => chance.below(used),
    };
    let file = File::options().read(true).write(true).open(path).expect("a file");
    let write = |bytes: &[u8], at: u64| file.write_all_at(bytes, at).expect("a file can be written");
    let block = usize::try_from(512.min(length.saturating_sub(at))).expect("short");
    match chance.below(8) {
        0 | 1 if length > 0 => {
            let bit = 1 << chance.below(8);
            write(&[bytes[at as usize] ^ bit], at);
            format!("bit {bit:#x} of byte {at} flipped")
        }
        2 if length > 0 => {
            write(&vec![0; block], at);
            format!("{block} bytes from {at} on zeroed")
        }
        3 if length > 0 => {
            let noise: Vec<u8> = (0..block).map(|_| chance.below(256) as u8).collect();
            write(&noise, at);
            format!("{block} bytes from {at} on replaced by noise")
        }
        4 if length > 0 => {
            let from = chance.below(used) as usize;
            let other = &bytes[from..(from + block).min(bytes.len())];
            write(other, at);
            format!("{} bytes from {from} copied over those at {at}", other.len())
        }
        5 => {
            file.set_len(at).expect("a file can be cut");
            format!("cut to {at} of {length} bytes")
        }
        6 => {
            let more = 1 + chance.below(5000);
            write(&vec![0xA5; more as usize], length);
            format!("{more} bytes appended to {length}")
        }
        _ => {
            fs::remove_file(path).expect("a file can be removed");
            "removed".to_owned()
        }
    }
}

/// A refusal: the last line says so and names the place, whatever the storage engine has logged before it.
fn assert_refused(ended: &Ended, directory: &Path, context: &str) {
    assert_eq!(ended.code, Some(1), "{context}: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{context}: {}", ended.stderr);
    let last = ended.stderr.trim_end().lines().last().unwrap_or_default();
    let place = directory.display().to_string();
    assert!(last.starts_with("bursar: ") && last.contains(&place), "{context}: {}", ended.stderr);
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Refused,
    Served,
    /// And ended when it met the damage.
    Ended,
}

async fn check(seed: u64, originals: &[Original], parent: &Path) -> Answer {
    let mut chance = Chance(seed);
    let original = &originals[(seed % originals.len() as u64) as usize];
    let file = &original.files[(seed / originals.len() as u64) as usize % original.files.len()];
    let directory = parent.join(format!("damaged-{seed}"));
    copy(&original.path, &directory);
    let damage = damage(&directory.join(file), &mut chance);
    let context =
        format!("BURSAR_TEST_CORRUPTION_SEED={seed} ({}, {}: {damage})", original.name, file.display());
    let before = contents(&directory);
    let verified = run(bursar().arg("verify").arg(&directory));
    assert_eq!(contents(&directory), before, "{context}: verifying has changed something");
    if verified.code != Some(0) {
        assert_refused(&verified, &directory, &context);
    }
    let answer = match Server::attempt(&directory, &[]) {
        Err(ended) => {
            assert_refused(&ended, &directory, &context);
            assert_eq!(contents(&directory), before, "{context}: refusing has changed something");
            Answer::Refused
        }
        Ok(server) => match serve(original, server, &directory, &context, chance.below(6) == 0).await {
            Ok(()) => Answer::Served,
            Err(ended) => {
                assert_refused(&ended, &directory, &context);
                Answer::Ended
            }
        },
    };
    fs::remove_dir_all(&directory).expect("it is ours");
    answer
}

/// Serves a directory, and another time after more work if it is to go on. An error is how it ended when it met the damage.
async fn serve(
    original: &Original,
    mut server: Server,
    directory: &Path,
    context: &str,
    goes_on: bool,
) -> Result<(), Ended> {
    if assert_everything_is_there(original, &server, context).await.is_err() {
        return Err(server.wait());
    }
    if goes_on && !original.wallets.is_empty() {
        let client = server.client().await;
        let more = transfer(1 << 100, BANK, 2, 5);
        match client.create_transfers(&[more]).await {
            Ok(outcomes) => assert_eq!(outcomes[0].status, Status::Created, "{context}"),
            Err(_) => return Err(server.wait()),
        }
        server.kill();
        server = Server::attempt(directory, &[])?;
        if assert_acknowledged(original, &server, context).await.is_err() {
            return Err(server.wait());
        }
    }
    server.terminate();
    let ended = server.wait();
    if ended.code == Some(0) { Ok(()) } else { Err(ended) }
}

async fn assert_everything_is_there(
    original: &Original,
    server: &Server,
    context: &str,
) -> Result<(), ClientError> {
    assert_acknowledged(original, server, context).await?;
    let ids: Vec<WalletId> = original.wallets.iter().map(|wallet| wallet.terms.id).collect();
    let found = connect(server).await?.lookup_wallets(&ids).await?;
    for (wallet, found) in original.wallets.iter().zip(found) {
        assert_eq!(Some(wallet), found.map(whenever_read).as_ref(), "{context}");
    }
    Ok(())
}

async fn assert_acknowledged(original: &Original, server: &Server, context: &str) -> Result<(), ClientError> {
    let ids: Vec<TransferId> = original.acknowledged.iter().map(|(transfer, _)| transfer.id).collect();
    let found = connect(server).await?.lookup_transfers(&ids).await?;
    for ((transfer, outcome), found) in original.acknowledged.iter().zip(found) {
        if outcome.seq == 0 {
            assert!(found.is_none(), "{context}: {transfer:?} was never journaled");
            continue;
        }
        let found = found.unwrap_or_else(|| panic!("{context}: {transfer:?} is lost: {outcome:?}"));
        assert_eq!(
            (&found.order, &found.outcome),
            (&Order::Transfer(transfer.clone()), outcome),
            "{context}"
        );
    }
    Ok(())
}

async fn connect(server: &Server) -> Result<Client, ClientError> {
    Client::connect(server.address.clone(), patient()).await
}

#[tokio::test]
async fn damage_anywhere_is_repaired_or_refused_and_never_served() {
    let parent = tempfile::tempdir().unwrap();
    let mut originals = Vec::new();
    for name in ["stopped", "killed", "unused"] {
        originals.push(Original::make(name, parent.path()).await);
    }
    if let Ok(seed) = std::env::var("BURSAR_TEST_CORRUPTION_SEED") {
        let seed = seed.parse().expect("a seed is a number");
        println!("{:?}", check(seed, &originals, parent.path()).await);
        return;
    }
    let mut answers: BTreeMap<Answer, u32> = BTreeMap::new();
    let corruptions = setting("BURSAR_TEST_CORRUPTIONS", CORRUPTIONS_DEFAULT);
    for seed in 0..u64::from(corruptions) {
        *answers.entry(check(seed, &originals, parent.path()).await).or_default() += 1;
    }
    println!("{corruptions} corruptions: {answers:?}");
    // If one of these never happened, nothing was shown.
    let has_happened = |answer| answers.contains_key(&answer);
    assert!(
        corruptions < 40 || (has_happened(Answer::Refused) && has_happened(Answer::Served)),
        "{answers:?}"
    );
}
