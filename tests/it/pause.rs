//! A process that was stopped and continued (SIGSTOP and SIGCONT, a laptop that slept, a debugger, a virtual machine that was moved) is
//! not one whose disk hangs: the journal's watchdog counts its own ticks, of which a stopped process has none.

use crate::books::{BANK, balance, open_books, transfer, wallet};
use crate::metrics_page::get;
use crate::server::{PATIENCE, Server};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a commit may take: 50 ticks of 100 ms (`persistence/src/writer.rs`).
const COMMIT_MAX: Duration = Duration::from_secs(5);

const CONNECTIONS: u128 = 4;
const REQUESTS_IN_FLIGHT: u128 = 4;
const BATCH: u128 = 10;

/// A load that expects every request to be answered with success.
#[derive(Debug)]
struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
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
                        let outcomes = connection.create_transfers(&transfers).await.expect("it is answered");
                        assert!(outcomes.iter().all(|outcome| outcome.status.is_success()), "{outcomes:?}");
                        acknowledged.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
                    }
                });
            }
        }
        Self { acknowledged, stop, tasks }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more than now are acknowledged.
    async fn goes_on_by(&self, more: u64) {
        let (enough, give_up) = (self.acknowledged() + more, Instant::now() + PATIENCE);
        while self.acknowledged() < enough {
            assert!(Instant::now() < give_up, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("every request was answered");
        }
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// More than can have been under way.
const MANY: u64 = 1_000;

async fn stops_and_goes_on(stops: &[Duration]) {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let load = Load::start(&server).await;
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

/// Under load a commit is under way nearly always, so that at least one of three stops hits one. They go side by side, and
/// beside the other tests.
#[tokio::test]
async fn a_stop_longer_than_a_commit_may_take_poisons_nothing() {
    let stop = [COMMIT_MAX + Duration::from_millis(500)];
    tokio::join!(stops_and_goes_on(&stop), stops_and_goes_on(&stop), stops_and_goes_on(&stop));
}

#[tokio::test]
async fn many_short_stops_poison_nothing() {
    stops_and_goes_on(&[Duration::from_millis(20); 30]).await;
}
