//! A server that gets no more memory, or no threads, ends at once and says so; what it acknowledged is there when it is
//! started with enough.

use crate::books::{BANK, exists, open_books, transfer, wallet};
use crate::server::{Ended, PATIENCE, Server, bursar, run};
use crate::small_disk::skip;
use ledger::{Order, Outcome, Transfer};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Enough to start and to serve a little, too little for a flood; and what is too little to start, or only just enough. In
/// KiB of address space, which is what every system lets a test limit.
const ENOUGH_FOR_LITTLE_KIB: u32 = 300_000;
const TOO_LITTLE_KIB: [u32; 5] = [60_000, 90_000, 110_000, 130_000, 150_000];

/// A flood that rises: so many requests under way at once, each of a task twice as large as the one before it, until they
/// are as large as may be.
const REQUESTS_AT_ONCE: u128 = 48;
const BATCH_FIRST: usize = 10;
const BATCH_MAX: usize = 8_000;
const METADATA_BYTES: usize = 256;

/// The server by way of a command that ends with the start of the program that is named last.
fn by_way_of(command: &str, arguments: &[String], program: &Path) -> Command {
    let server = bursar();
    let mut limited = Command::new(command);
    limited.args(arguments).arg(program).stdin(Stdio::null());
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

/// The server with so much address space.
fn limited(kib: u32) -> Command {
    let script = format!("ulimit -v {kib} && exec \"$@\"");
    let mut limited =
        by_way_of("sh", &["-c".to_owned(), script, "sh".to_owned()], Path::new(bursar().get_program()));
    // Allocators reserve address space ahead, as much as they are let: of a little more of it they may leave less to threads.
    limited.env("MIMALLOC_ARENA_RESERVE", "16MiB").env("MALLOC_ARENA_MAX", "1");
    limited
}

/// The address space that a server takes for itself grows with its threads.
fn start_limited(data: &Path, kib: u32) -> Result<Server, Ended> {
    Server::launch(limited(kib), data, vec!["--shards".to_owned(), "2".to_owned()])
}

fn payment(id: u128) -> Transfer {
    Transfer { metadata: vec![7; METADATA_BYTES].into(), ..transfer(id, BANK, 2, 1) }
}

fn assert_ended_loudly(ended: &Ended) {
    assert_ne!(ended.code, Some(0), "{ended:?}");
    // In turn: Rust's, the storage engine's, and the system's, of memory and of a thread.
    let says_so = [
        "memory allocation of",
        "failed to allocate",
        "converting zero into `Owned`",
        "Cannot allocate memory",
        "Resource temporarily unavailable",
    ];
    assert!(says_so.iter().any(|words| ended.stderr.contains(words)), "{ended:?}");
    let misleading = ["damaged", "backup"].iter().any(|word| ended.stderr.contains(word));
    assert!(!misleading, "want of memory is no damage: {ended:?}");
}

#[tokio::test]
async fn a_server_without_memory_ends_loudly_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let mut server = start_limited(&data, ENOUGH_FOR_LITTLE_KIB)
        .unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"));
    open_books(&server.client().await, &[wallet(2)]).await;
    let acknowledged: Arc<Mutex<Vec<(Transfer, Outcome)>>> = Arc::default();
    let mut connections = Vec::new();
    for _ in 0..REQUESTS_AT_ONCE {
        connections.push(server.connection().await);
    }
    let mut tasks = JoinSet::new();
    for (number, connection) in (0..).zip(connections) {
        let acknowledged = Arc::clone(&acknowledged);
        tasks.spawn(async move {
            let mut ids = (number + 1) << 64..;
            let mut size = BATCH_FIRST;
            // It goes on until the server is gone; what is turned away meanwhile is sent no more.
            while !connection.is_closed() {
                let transfers: Vec<_> = ids.by_ref().take(size).map(payment).collect();
                size = (2 * size).min(BATCH_MAX);
                if let Ok(outcomes) = connection.create_transfers(&transfers).await {
                    let done = transfers
                        .into_iter()
                        .zip(outcomes)
                        .filter(|(_, outcome)| outcome.status.is_success());
                    acknowledged.lock().expect("no task panics").extend(done);
                }
            }
        });
    }
    while let Some(ended) = timeout(PATIENCE, tasks.join_next()).await.expect("memory is used up some time") {
        ended.expect("no task panics");
    }
    assert_ended_loudly(&server.wait());

    let mut refused = 0;
    for kib in TOO_LITTLE_KIB {
        // Where exactly it fails is by chance; the last of them may even be enough.
        if let Err(ended) = start_limited(&data, kib) {
            assert_ended_loudly(&ended);
            refused += 1;
        }
    }
    assert!(refused > 0, "no server starts with so little");

    let mut server = Server::on(&data, &[]);
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no task panics"));
    assert!(!acknowledged.is_empty(), "the flood rises, so much was acknowledged at first");
    let client = server.client().await;
    for part in acknowledged.chunks(4_000) {
        let ids: Vec<_> = part.iter().map(|(transfer, _)| transfer.id).collect();
        let again: Vec<_> = part.iter().map(|(transfer, _)| transfer.clone()).collect();
        let found = client.lookup_transfers(&ids).await.unwrap();
        let retried = client.create_transfers(&again).await.unwrap();
        for (((transfer, outcome), found), retried) in part.iter().zip(found).zip(retried) {
            let found = found.unwrap_or_else(|| panic!("{} was acknowledged and is lost", transfer.id));
            assert_eq!((&found.order, &found.outcome), (&Order::Transfer(transfer.clone()), outcome));
            assert_eq!(retried, exists(outcome));
        }
    }
    let trial = client.trial_balance().await.unwrap();
    assert!(trial.assets.iter().all(|line| line.totals.is_balanced()));
    server.stop();
    let verified = run(bursar().arg("verify").arg(&data));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// A user that has no processes, for whom a limit on them is a limit on the threads of one.
const NOBODY_ELSE: u32 = 61_357;

/// Everything below `path` belongs to [`NOBODY_ELSE`] from now on.
fn give_away(path: &Path) -> std::io::Result<()> {
    chown(path, Some(NOBODY_ELSE), Some(NOBODY_ELSE))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_threads_says_so_and_does_not_wait_for_them() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let mut server = Server::on(&data, &[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let paid = client.create_transfers(&[payment(1)]).await.unwrap();
    server.kill();
    // The other user has to reach the program, wherever it was built.
    let program = directory.path().join("bursar");
    fs::copy(bursar().get_program(), &program).expect("there is room for the program");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    if let Err(reason) = give_away(&data) {
        return skip(&format!("no file may be given to another user here: {reason}"));
    }
    for threads in [1, 2, 4, 8] {
        let user = format!("--reuid={NOBODY_ELSE}");
        let group = format!("--regid={NOBODY_ELSE}");
        let arguments =
            [format!("--nproc={threads}"), "setpriv".into(), "--clear-groups".into(), user, group];
        let limited = by_way_of("prlimit", &arguments, &program);
        let flags = vec!["--shards".to_owned(), "2".to_owned()];
        let refused = Server::launch(limited, &data, flags).expect_err("it has too few threads");
        assert!(refused.stderr.contains("bursar: "), "it did start to run: {refused:?}");
        assert_ended_loudly(&refused);
    }
    let mut server = Server::on(&data, &[]);
    let again = server.client().await.create_transfers(&[payment(1)]).await.unwrap();
    assert_eq!(again[0], exists(&paid[0]));
    server.stop();
}
