//! Load: a task for each request that may be in flight, which sends the next request of the workload, waits for
//! the answer and notes what was said. Closed loop: at once; open loop: when it is due.

use crate::call_error;
use crate::measurements::Measurements;
use crate::pacer::Pacer;
use crate::request_channel::RequestChannel;
use crate::schedule::Schedule;
use crate::testimony::Testimony;
use crate::workload::{PlannedTransfer, Workload};
use client::ClientError;
use client::ledger::{Outcome, Transfer, WalletId};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A server that cannot be reached for so long is given up.
const UNREACHABLE_MAX: Duration = Duration::from_secs(10);

/// How much load, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    /// Requests in flight on each channel.
    pub(crate) in_flight: usize,
    /// Transfers in a request.
    pub(crate) batch: u64,
    pub(crate) duration: Option<Duration>,
    pub(crate) transfers: Option<u64>,
    /// In an open loop.
    pub(crate) schedule: Option<Schedule>,
}

/// Load that is running.
#[derive(Debug)]
pub(crate) struct Load {
    workload: Workload,
    plan: LoadPlan,
    started: Instant,
    /// Permits for requests that are due; closed when the load ends. Not used in a closed loop.
    due: Arc<Semaphore>,
    state: Mutex<LoadState>,
}

/// What the tasks share. They run on one thread, so the lock is never contended.
#[derive(Debug)]
pub(crate) struct LoadState {
    pub(crate) measurements: Measurements,
    pub(crate) testimony: Testimony,
    next_request: u64,
    next_transfer: u64,
    last_answer: Duration,
    ended: Option<Ending>,
}

/// Why load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It did what was asked for.
    Complete,
    /// Somebody stopped it.
    Interrupted,
    /// The server could not be reached any more.
    Unreachable,
}

/// The next request of one task.
struct Request {
    number: u64,
    /// When it was sent; what latency is counted from in a closed loop.
    sent: Duration,
    content: Content,
}

enum Content {
    Read(WalletId),
    Transfers(Range<u64>),
}

impl Load {
    pub(crate) fn new(workload: Workload, plan: LoadPlan, testimony: Testimony) -> Arc<Self> {
        let state = LoadState {
            measurements: Measurements::default(),
            testimony,
            next_request: 0,
            next_transfer: 0,
            last_answer: Duration::ZERO,
            ended: None,
        };
        let due = Arc::new(Semaphore::new(0));
        Arc::new(Self { workload, plan, started: Instant::now(), due, state: Mutex::new(state) })
    }

    /// Sends the load over these channels and waits for its end. Returns how long it took, from the first request
    /// to the last answer, and why it ended.
    pub(crate) async fn run(self: &Arc<Self>, channels: Vec<Arc<impl RequestChannel>>) -> (Duration, Ending) {
        let pacer =
            self.plan.schedule.map(|schedule| Pacer::start(schedule, self.started, Arc::clone(&self.due)));
        let mut tasks = JoinSet::new();
        // Round the channels, so that the first requests are spread over all of them.
        for _ in 0..self.plan.in_flight {
            for channel in &channels {
                tasks.spawn(Arc::clone(self).work(Arc::clone(channel)));
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a load task does not panic");
        }
        drop(pacer);
        let elapsed = self.started.elapsed();
        let mut state = self.lock();
        state.measurements.end_window(elapsed);
        (elapsed, state.ended.unwrap_or(Ending::Complete))
    }

    /// No further requests; those in flight are still answered.
    pub(crate) fn stop(&self, ending: Ending) {
        self.lock().ended.get_or_insert(ending);
        self.due.close();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LoadState> {
        self.state.lock().expect("a load task does not panic")
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many requests were due, of which how many were begun; of an open loop.
    pub(crate) fn due_and_begun(&self, elapsed: Duration) -> Option<(u64, u64)> {
        let schedule = self.plan.schedule?;
        // Nothing is due any more once the time is over.
        let until = self.plan.duration.map_or(elapsed, |duration| duration.min(elapsed));
        let begun = self.lock().next_request;
        let due = if self.plan.transfers.is_some() { begun } else { schedule.due_by(until).max(begun) };
        Some((due, begun))
    }

    async fn work(self: Arc<Self>, channel: Arc<impl RequestChannel>) {
        let mut plans: Vec<PlannedTransfer> = Vec::new();
        let mut transfers: Vec<Transfer> = Vec::new();
        while let Some(request) = self.next_request().await {
            let pause = match &request.content {
                Content::Read(wallet) => {
                    let result = channel.balances(&[*wallet]).await;
                    self.note_read(&request, result.map(|_| ()))
                }
                Content::Transfers(numbers) => {
                    plans.clear();
                    plans.extend(numbers.clone().map(|number| self.workload.plan(number)));
                    transfers.clear();
                    let planned = numbers.clone().zip(&plans);
                    transfers.extend(planned.map(|(number, &plan)| self.workload.transfer(number, plan)));
                    let result = channel.create_transfers(&transfers).await;
                    self.note_transfers(&request, numbers, &plans, result)
                }
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// The next request, when it is due; `None` when there are no more.
    async fn next_request(&self) -> Option<Request> {
        if self.plan.schedule.is_some() {
            self.due.acquire().await.ok()?.forget();
        }
        let sent = self.started.elapsed();
        let mut state = self.lock();
        let over = self.plan.duration.is_some_and(|duration| sent >= duration);
        let transfers_left = self.plan.transfers.map_or(u64::MAX, |max| max - state.next_transfer);
        if state.ended.is_some() || over || transfers_left == 0 {
            drop(state);
            self.due.close();
            return None;
        }
        let number = state.next_request;
        state.next_request += 1;
        if let Some(schedule) = self.plan.schedule {
            let behind = schedule.timing(number, sent, sent).behind;
            state.measurements.sent_behind(behind);
        }
        let content = if let Some(wallet) = self.workload.read_of(number) {
            Content::Read(wallet)
        } else {
            let first = state.next_transfer;
            state.next_transfer += self.plan.batch.min(transfers_left);
            state.measurements.transfers_sent += state.next_transfer - first;
            Content::Transfers(first..state.next_transfer)
        };
        Some(Request { number, sent, content })
    }

    /// From when it was due, in an open loop; else from when it was sent.
    fn latency(&self, request: &Request, answered: Duration) -> Duration {
        match self.plan.schedule {
            Some(schedule) => schedule.timing(request.number, request.sent, answered).latency,
            None => answered.saturating_sub(request.sent),
        }
    }

    fn note_read(&self, request: &Request, result: Result<(), ClientError>) -> Option<Duration> {
        let answered = self.started.elapsed();
        let mut state = self.lock();
        match result {
            Ok(()) => {
                state.last_answer = answered;
                state.measurements.read_answered(self.latency(request, answered));
                None
            }
            Err(error) => {
                drop(state);
                Some(self.note_error(&error, answered))
            }
        }
    }

    fn note_transfers(
        &self,
        request: &Request,
        numbers: &Range<u64>,
        plans: &[PlannedTransfer],
        result: Result<Vec<Outcome>, ClientError>,
    ) -> Option<Duration> {
        let answered = self.started.elapsed();
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if call_error::leaves_outcome_unknown(&error) {
                    self.lock().testimony.unknown(numbers.clone());
                }
                return Some(self.note_error(&error, answered));
            }
        };
        let mut state = self.lock();
        let LoadState { measurements, testimony, last_answer, .. } = &mut *state;
        *last_answer = answered;
        measurements.transfers_answered(self.latency(request, answered));
        if outcomes.len() != plans.len() {
            testimony.contradict(|| {
                format!("{} transfers were answered {} outcomes", plans.len(), outcomes.len())
            });
            testimony.unknown(numbers.clone());
            return None;
        }
        for ((number, &plan), outcome) in numbers.clone().zip(plans).zip(&outcomes) {
            testimony.answered(number, plan, outcome);
            if outcome.status.is_success() {
                measurements.transfers_acknowledged += 1;
            } else {
                measurements.refused(outcome.status.name());
            }
        }
        None
    }

    /// Counts the error and says how long to wait. Gives up on a server that has been away for too long.
    fn note_error(&self, error: &ClientError, now: Duration) -> Duration {
        let mut state = self.lock();
        state.measurements.failed(call_error::kind(error));
        let unreachable = matches!(error, ClientError::Connect { .. });
        let gone = unreachable && now.saturating_sub(state.last_answer) > UNREACHABLE_MAX;
        drop(state);
        if gone {
            self.stop(Ending::Unreachable);
        }
        call_error::pause(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books;
    use crate::ledger_calls::Answers;
    use crate::ledger_in_memory::LedgerInMemory;
    use crate::verification;
    use crate::workload::tests::sample;
    use client::{BalanceView, ErrorCode};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A channel that fails every third request: in turn before and after it was executed.
    struct Unreliable {
        ledger: Arc<LedgerInMemory>,
        requests: AtomicU64,
    }

    impl RequestChannel for Unreliable {
        async fn create_transfers(&self, transfers: &[Transfer]) -> Answers<Outcome> {
            let lost = || ClientError::ConnectionLost { reason: "it is unreliable".into() };
            let unknown = || ClientError::OutcomeUnknown { answered: 0, source: Box::new(lost()) };
            let code = ErrorCode::Overloaded;
            let overloaded = || ClientError::Refused { code, text: String::new(), retry_after_ms: 0 };
            match self.requests.fetch_add(1, Ordering::Relaxed) % 9 {
                2 => Err(unknown()),
                5 => {
                    RequestChannel::create_transfers(&*self.ledger, transfers).await?;
                    Err(unknown())
                }
                8 => Err(overloaded()),
                _ => RequestChannel::create_transfers(&*self.ledger, transfers).await,
            }
        }

        async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
            RequestChannel::balances(&*self.ledger, ids).await
        }
    }

    fn closed_loop(transfers: u64, batch: u64) -> LoadPlan {
        LoadPlan { in_flight: 4, batch, duration: None, transfers: Some(transfers), schedule: None }
    }

    #[tokio::test(start_paused = true)]
    async fn all_transfers_are_sent_once_and_what_was_said_agrees_with_the_ledger_also_after_errors() {
        let ledger = Arc::new(LedgerInMemory::default());
        let workload = sample(9, 20);
        books::prepare(&*ledger, workload.population, u32::MAX)
            .await
            .expect("the ledger takes the population");
        let baseline = books::baseline(&*ledger, workload.population).await.expect("the ledger can be read");
        let load = Load::new(workload, closed_loop(1_000, 7), Testimony::new(baseline.positions.clone()));
        let channel = Unreliable { ledger: Arc::clone(&ledger), requests: AtomicU64::new(0) };
        let (_, ending) = load.run(vec![Arc::new(channel)]).await;
        assert_eq!(ending, Ending::Complete);

        let testimony = {
            let state = load.lock();
            let measurements = &state.measurements;
            // 143 requests, the last of 6 transfers: of every nine, two with unknown outcome and one refused.
            assert_eq!(measurements.transfers_sent, 1_000);
            assert_eq!(measurements.errors, [("connection_lost", 32), ("overloaded", 15)].into());
            assert_eq!(measurements.requests, 96);
            assert_eq!(state.testimony.unknown_count(), 32 * 7);
            assert_eq!(state.testimony.acknowledged, measurements.transfers_acknowledged);
            state.testimony.clone()
        };
        let found = verification::verify(&*ledger, &workload, &baseline, &testimony).await;
        let found = found.expect("the ledger can be read");
        assert_eq!(found.first_differences, Vec::<String>::new());
        assert_eq!((found.unknown_found_done, found.unknown_found_not_done), (16 * 7, 16 * 7));
    }

    #[tokio::test]
    async fn a_load_that_is_stopped_ends_after_the_requests_in_flight() {
        let workload = sample(9, 20);
        let ledger = Arc::new(LedgerInMemory::default());
        books::prepare(&*ledger, workload.population, u32::MAX)
            .await
            .expect("the ledger takes the population");
        let baseline = books::baseline(&*ledger, workload.population).await.expect("the ledger can be read");
        let plan = LoadPlan { transfers: None, ..closed_loop(0, 1) };
        let load = Load::new(workload, plan, Testimony::new(baseline.positions));
        let stopper = Arc::clone(&load);
        let stop = tokio::spawn(async move {
            while stopper.lock().measurements.requests < 100 {
                tokio::task::yield_now().await;
            }
            stopper.stop(Ending::Interrupted);
        });
        let (_, ending) = load.run(vec![ledger]).await;
        stop.await.expect("the stopper does not panic");
        assert_eq!(ending, Ending::Interrupted);
        let state = load.lock();
        assert!(state.measurements.requests >= 100);
        assert_eq!(state.measurements.transfers_acknowledged, state.measurements.transfers_sent);
    }

    #[tokio::test]
    async fn an_open_loop_sends_what_is_due_and_tells_how_far_it_was_behind() {
        let workload = sample(9, 20);
        let ledger = Arc::new(LedgerInMemory::default());
        books::prepare(&*ledger, workload.population, u32::MAX)
            .await
            .expect("the ledger takes the population");
        let baseline = books::baseline(&*ledger, workload.population).await.expect("the ledger can be read");
        let schedule = Some(Schedule::new(1e6));
        let load = Load::new(
            workload,
            LoadPlan { schedule, ..closed_loop(500, 1) },
            Testimony::new(baseline.positions),
        );
        let (elapsed, ending) = load.run(vec![ledger]).await;
        assert_eq!(ending, Ending::Complete);
        assert_eq!(load.due_and_begun(elapsed), Some((500, 500)));
        let state = load.lock();
        assert_eq!(state.measurements.transfers_acknowledged, 500);
        assert_eq!(state.measurements.behind.len(), 500);
    }
}
