//! The tasks that send a round. They go on until they are told to stop, or the server is gone.

use crate::measurements::Measurements;
use crate::request_channel::submit_over;
use crate::survival::load_kind::LoadPlan;
use crate::survival::pace::Pace;
use crate::survival::reads::{Read, Reads};
use crate::survival::round::{Request, Round};
use anyhow::{Context, Result};
use client::{ClientOptions, Connection};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a task sleeps at most before it looks whether it is to stop.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Where load is counted and timed, over any number of rounds.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    pub(crate) measurements: Arc<Mutex<Measurements>>,
    pub(crate) started: Instant,
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct RoundLoad {
    shared: Arc<Shared>,
    in_flight_max: u64,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    round: Mutex<Round>,
    pace: Arc<Pace>,
    meter: Meter,
    stop: AtomicBool,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { measurements: Arc::default(), started: Instant::now() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Measurements> {
        self.measurements.lock().expect("nothing panics while it holds the measurements")
    }
}

impl RoundLoad {
    /// Opens the connections and begins.
    pub(crate) async fn start(
        address: &str,
        options: &ClientOptions,
        plan: &LoadPlan,
        round: Round,
        pace: Arc<Pace>,
        meter: Meter,
    ) -> Result<Self> {
        let mut connections = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            connections.push(Connection::open(address, options).await.context("connecting for load")?);
        }
        let shared = Arc::new(Shared { round: Mutex::new(round), pace, meter, stop: AtomicBool::new(false) });
        let mut random = SmallRng::seed_from_u64(plan.seed);
        let mut tasks = JoinSet::new();
        for connection in &connections {
            for _ in 0..plan.in_flight {
                let random = SmallRng::seed_from_u64(random.random());
                tasks.spawn(Arc::clone(&shared).send(connection.clone(), random));
            }
        }
        let in_flight_max = tasks.len() as u64;
        Ok(Self { shared, in_flight_max, tasks })
    }

    /// So many requests may be under way.
    pub(crate) fn in_flight_max(&self) -> u64 {
        self.in_flight_max
    }

    /// Requests that were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.lock().answered
    }

    /// Whether all tasks have ended, because there was enough or the server is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.is_empty()
    }

    /// No further requests; those in flight are still answered.
    pub(crate) async fn stop(self) -> Round {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.ended().await
    }

    /// Waits until all tasks have seen that the server is gone.
    pub(crate) async fn ended(mut self) -> Round {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a load task does not panic");
        }
        let shared = Arc::into_inner(self.shared).expect("the tasks that shared it have ended");
        shared.round.into_inner().expect("a load task does not panic")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().expect("a load task does not panic")
    }

    async fn send(self: Arc<Self>, connection: Connection, mut random: SmallRng) {
        while !self.is_over(&connection) {
            let Some(request) = self.lock().next(&mut random) else { return };
            let weight = match &request {
                Request::Orders(numbers) => numbers.len() as u64,
                _ => 1,
            };
            let pause = self.execute(&connection, request).await.unwrap_or_default();
            self.sleep(&connection, pause, || false).await;
            // Those who wait for their turn go at once when the pace is lifted.
            self.sleep(&connection, self.pace.take(weight), || self.pace.is_lifted()).await;
        }
    }

    fn is_over(&self, connection: &Connection) -> bool {
        self.stop.load(Ordering::Relaxed) || connection.is_closed()
    }

    async fn sleep(&self, connection: &Connection, pause: Duration, is_enough: impl Fn() -> bool) {
        let until = Instant::now() + pause;
        while !self.is_over(connection) && !is_enough() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }

    /// Sends a request and notes what was said; how long to wait after an error.
    async fn execute(&self, connection: &Connection, request: Request) -> Option<Duration> {
        let sent = Instant::now();
        match request {
            Request::Orders(numbers) => {
                let orders = self.lock().orders(&numbers);
                let result = submit_over(connection, &orders).await;
                self.measure(&result, |measurements, outcomes| {
                    measurements.transfers_sent += numbers.len() as u64;
                    measurements.orders_answered(sent.elapsed());
                    for outcome in outcomes {
                        measurements.outcome(orders.kind(), outcome.status);
                        if outcome.status.is_success() {
                            measurements.acknowledged(self.meter.started.elapsed());
                        }
                    }
                });
                self.lock().note_orders(&numbers, result)
            }
            Request::Read(read) => self.read(connection, read, sent).await,
            Request::OpenWallets(indices) => self.open_wallets(connection, &indices).await,
            Request::CreateAsset(index, wallets) => {
                let asset = self.lock().asset(index);
                let result = connection.create_assets(&[asset]).await;
                let pause = self.lock().note_asset(index, result);
                if pause.is_some() {
                    return pause;
                }
                self.open_wallets(connection, &wallets).await
            }
        }
    }

    async fn open_wallets(&self, connection: &Connection, indices: &[usize]) -> Option<Duration> {
        let wallets: Vec<_> = {
            let round = self.lock();
            indices.iter().map(|&index| round.openings.wallet(index)).collect()
        };
        let result = connection.create_wallets(&wallets).await;
        self.lock().note_wallets(indices, result)
    }

    async fn read(&self, connection: &Connection, read: Read, sent: Instant) -> Option<Duration> {
        let workload = self.lock().workload;
        match read {
            Read::Balances(asked) => {
                let result = connection.balances(&Read::wallets(&asked, &workload)).await;
                self.measure(&result, |measurements, _| measurements.read_answered(sent.elapsed()));
                self.lock().note_read(result, |reads, workload, views, heard| {
                    reads.note_balances(workload, &asked, views, heard);
                })
            }
            Read::Transfers(asked) => {
                let result = connection.lookup_transfers(&Read::transfers(&asked, &workload)).await;
                self.measure(&result, |measurements, _| measurements.read_answered(sent.elapsed()));
                self.lock().note_read(result, |_, workload, views, heard| {
                    Reads::note_transfers(workload, &asked, views, heard);
                })
            }
            Read::TrialBalance => {
                let result = connection.trial_balance().await;
                self.measure(&result, |measurements, _| measurements.read_answered(sent.elapsed()));
                self.lock().note_read(result, |_, _, trial_balance, heard| {
                    Reads::note_trial_balance(trial_balance, heard);
                })
            }
        }
    }

    fn measure<Reply>(
        &self,
        result: &Result<Reply, client::ClientError>,
        note: impl FnOnce(&mut Measurements, &Reply),
    ) {
        let mut measurements = self.meter.lock();
        match result {
            Ok(reply) => note(&mut measurements, reply),
            Err(error) => measurements.failed(crate::call_error::kind(error)),
        }
    }
}
