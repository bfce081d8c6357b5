//! A process that was stopped and continued (SIGSTOP and SIGCONT, a laptop that slept, a debugger, a virtual machine that was moved) is
//! not one whose disk hangs: the journal's watchdog counts its own ticks, of which a stopped process has none.

use crate::books::{BANK, balance, open_books, transfer, wallet};
use crate::metrics_page::get;
use crate::server::{PATIENCE, Server};
use crate::small_disk::{FileSystem, SmallDisk};
use client::ClientError;
use ledger::{Outcome, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a commit may take: 50 ticks of 100 ms (`persistence/src/writer.rs`).
const COMMIT_MAX: Duration = Duration::from_secs(5);

const LONGER_THAN_A_COMMIT_MAY_TAKE: Duration = COMMIT_MAX.saturating_add(Duration::from_millis(500));

const SEVERAL_TICKS: Duration = Duration::from_millis(350);

const CONNECTIONS: u128 = 4;
const REQUESTS_IN_FLIGHT: u128 = 4;

const BATCH: u128 = 10;

/// More than can have been under way.
const MANY: u64 = 1_000;

/// A load; each of its tasks ends at the first request that is not answered with success.
#[derive(Debug)]
struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<(), Ending>>,
}

/// The answer that ended a task.
#[derive(Debug)]
enum Ending {
    Failed(ClientError),
    NotAllDone(Vec<Outcome>),
}

impl Load {
    /// Pays one unit from the bank to wallet 2 again and again.
    async fn start(server: &Server) -> Self {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for number in 0..CONNECTIONS {
            let connection = server.connection().await;
            for slot in 0..REQUESTS_IN_FLIGHT {
                let (connection, acknowledged, stop) =
                    (connection.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
                let mut id = (number * REQUESTS_IN_FLIGHT + slot + 1) << 64;
                tasks.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let transfers: Vec<_> = (id..id + BATCH).map(|id| transfer(id, BANK, 2, 1)).collect();
                        id += BATCH;
                        let outcomes =
                            connection.create_transfers(&transfers).await.map_err(Ending::Failed)?;
                        let done = outcomes.iter().filter(|outcome| outcome.status.is_success()).count();
                        acknowledged.fetch_add(done as u64, Ordering::Relaxed);
                        if done < outcomes.len() {
                            return Err(Ending::NotAllDone(outcomes));
                        }
                    }
                    Ok(())
                });
            }
        }
        Self { acknowledged, stop, tasks }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more than now are acknowledged.
    async fn goes_on_by(&mut self, more: u64) {
        let (enough, give_up) = (self.acknowledged() + more, Instant::now() + PATIENCE);
        while self.acknowledged() < enough {
            assert!(Instant::now() < give_up, "nothing is acknowledged any more");
            if let Some(ended) = self.tasks.try_join_next() {
                panic!("a task has ended: {ended:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it; every request must have been answered with success.
    async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no task panics").expect("every request was answered");
        }
        self.acknowledged()
    }

    /// Waits until every task was told that the outcome of its last request is unknown.
    async fn fails(mut self) -> u64 {
        while let Some(ended) = timeout(PATIENCE, self.tasks.join_next()).await.expect("they are told") {
            match ended.expect("no task panics").expect_err("the disk hangs") {
                Ending::Failed(ClientError::OutcomeUnknown { .. }) => {}
                Ending::NotAllDone(outcomes)
                    if outcomes.iter().all(|outcome| outcome.status == Status::Unavailable) => {}
                other => panic!("{other:?} does not say that the outcome is unknown"),
            }
        }
        self.acknowledged()
    }
}

async fn stops_and_goes_on(stops: &[Duration]) {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut load = Load::start(&server).await;
    load.goes_on_by(MANY).await;
    for &stop in stops {
        server.signal("STOP");
        // The length of the stop is what is tested: there is nothing to wait for instead.
        tokio::time::sleep(stop).await;
        server.signal("CONT");
        load.goes_on_by(MANY).await;
    }
    assert_eq!(get(&server, "/readyz").0, 200);
    let acknowledged = load.end().await;
    assert_eq!(balance(&client, 2).await, i128::from(acknowledged));
    drop(client);
    server.terminate();
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("did not end within"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_stop_longer_than_a_commit_may_take_poisons_nothing() {
    stops_and_goes_on(&[LONGER_THAN_A_COMMIT_MAY_TAKE]).await;
}

#[tokio::test]
async fn many_short_stops_poison_nothing() {
    stops_and_goes_on(&[Duration::from_millis(20); 30]).await;
}

/// A server on a disk that can be frozen, its load, and one of the commits under way and held up by the disk for long enough
/// that the watchdog has seen it.
async fn with_a_commit_under_way() -> Option<(SmallDisk, Server, Load)> {
    let mut disk = SmallDisk::mount(FileSystem::Ext4, 64)?;
    let server = Server::on(&disk.path().join("data"), &["--free-bytes-min", "0"]);
    open_books(&server.client().await, &[wallet(2)]).await;
    let mut load = Load::start(&server).await;
    load.goes_on_by(MANY).await;
    disk.freeze();
    let mut acknowledged = load.acknowledged();
    loop {
        tokio::time::sleep(SEVERAL_TICKS).await;
        let before = std::mem::replace(&mut acknowledged, load.acknowledged());
        if before == acknowledged {
            return Some((disk, server, load));
        }
    }
}

#[tokio::test]
async fn a_commit_that_was_under_way_during_a_long_stop_counts_as_no_longer_than_it_ran() {
    let Some((mut disk, mut server, mut load)) = with_a_commit_under_way().await else { return };
    server.signal("STOP");
    tokio::time::sleep(LONGER_THAN_A_COMMIT_MAY_TAKE).await;
    disk.thaw();
    server.signal("CONT");
    load.goes_on_by(MANY).await;
    let acknowledged = load.end().await;
    assert_eq!(balance(&server.client().await, 2).await, i128::from(acknowledged));
    server.stop();
}

/// The opposite, so that the watchdog is known to watch: the process runs, and the disk hangs.
#[tokio::test]
async fn a_disk_that_hangs_ends_the_process_and_nothing_acknowledged_is_lost() {
    let Some((mut disk, mut server, load)) = with_a_commit_under_way().await else { return };
    let acknowledged = load.fails().await;
    disk.thaw();
    let ended = server.wait();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("a journal commit did not end within"), "{}", ended.stderr);
    let mut server = Server::on(&disk.path().join("data"), &["--free-bytes-min", "0"]);
    let paid = balance(&server.client().await, 2).await;
    let under_way = i128::try_from(CONNECTIONS * REQUESTS_IN_FLIGHT * BATCH).expect("few");
    let acknowledged = i128::from(acknowledged);
    assert!((acknowledged..=acknowledged + under_way).contains(&paid), "{paid} of {acknowledged}");
    server.stop();
}
