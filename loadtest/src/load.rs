//! Load: a task for each request that may be in flight, which sends the next request of the workload, waits for
//! the answer and notes what was said. Closed loop: at once; open loop: when it is due.

use crate::agenda::Agenda;
use crate::call_error;
use crate::ledger_calls::Answers;
use crate::measurements::Measurements;
use crate::orders::Orders;
use crate::pacer::Pacer;
use crate::planned_order::PlannedOrder;
use crate::repeats::{Repeat, Repeats};
use crate::repetition;
use crate::request_channel::RequestChannel;
use crate::schedule::Schedule;
use crate::survival::told::Told;
use crate::testimony::Testimony;
use crate::workload::{PlannedRead, Sending, Workload};
use client::ledger::{OrderKind, Outcome, Position, WalletId};
use client::{BalanceView, ClientError, StatementPage, StatementRow};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A server that cannot be reached for so long is given up.
const UNREACHABLE_MAX: Duration = Duration::from_secs(10);

/// How many of the newest acknowledged orders are known to reads.
const NEWEST_MAX: usize = 64;

/// How many rows one read of a statement asks for.
const ROWS_PER_STATEMENT: u32 = 10;

/// How much load, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    /// Requests in flight on each channel.
    pub(crate) in_flight: usize,
    /// Orders in a request.
    pub(crate) batch: u64,
    pub(crate) duration: Option<Duration>,
    /// Orders altogether; one that is sent twice counts once.
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
    agenda: Agenda,
    repeats: Repeats,
    /// The newest acknowledged orders, for reads.
    newest: VecDeque<(u64, Told)>,
    next_request: u64,
    orders_begun: u64,
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
    /// When it was due or, in a closed loop and for what comes when the time is over, when it was sent.
    due: Duration,
    content: Content,
}

enum Content {
    Balance(WalletId),
    Statement(WalletId, Vec<(u64, Told)>),
    /// By their numbers.
    Orders(Vec<u64>),
    /// Orders that were answered before.
    Again(Vec<Repeat>),
}

/// A reply, and when it came.
struct Answered<Reply> {
    result: Result<Reply, ClientError>,
    at: Duration,
}

impl Load {
    pub(crate) fn new(workload: Workload, plan: LoadPlan, testimony: Testimony) -> Arc<Self> {
        let state = LoadState {
            measurements: Measurements::default(),
            testimony,
            agenda: Agenda::default(),
            repeats: Repeats::default(),
            newest: VecDeque::with_capacity(NEWEST_MAX),
            next_request: 0,
            orders_begun: 0,
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
            for (place, channel) in channels.iter().enumerate() {
                // What is sent twice at once goes over two connections, if there are two.
                let next = &channels[(place + 1) % channels.len()];
                tasks.spawn(Arc::clone(self).work(Arc::clone(channel), Arc::clone(next)));
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

    async fn work(self: Arc<Self>, channel: Arc<impl RequestChannel>, next: Arc<impl RequestChannel>) {
        while let Some(request) = self.next_request().await {
            let due = request.due;
            let pause = match request.content {
                Content::Balance(wallet) => {
                    let answered = self.timed(channel.balances(&[wallet])).await;
                    self.note_balance(due, wallet, answered)
                }
                Content::Statement(wallet, acknowledged) => {
                    let answered = self.timed(channel.statement(wallet, ROWS_PER_STATEMENT)).await;
                    self.note_statement(due, wallet, &acknowledged, answered)
                }
                Content::Orders(numbers) => self.send_orders(due, &numbers, &*channel, &*next).await,
                Content::Again(repeats) => {
                    let orders = repeats.iter().map(|repeat| self.workload.planned(repeat.number)).collect();
                    let answered = self.timed(channel.submit(&orders)).await;
                    self.note_again(due, orders.kind(), &repeats, answered)
                }
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn send_orders(
        &self,
        due: Duration,
        numbers: &[u64],
        channel: &impl RequestChannel,
        next: &impl RequestChannel,
    ) -> Option<Duration> {
        let plans: Vec<PlannedOrder> = numbers.iter().map(|&number| self.workload.plan(number)).collect();
        let order = |place: usize| self.workload.order(numbers[place], &plans[place].asked);
        let orders: Orders = (0..numbers.len()).map(order).collect();
        let is_twice = |&place: &usize| self.workload.sending(numbers[place]) == Sending::TwiceAtOnce;
        let twice: Vec<usize> = (0..numbers.len()).filter(is_twice).collect();
        if twice.is_empty() {
            let answered = self.timed(channel.submit(&orders)).await;
            return self.note_orders(due, numbers, &plans, answered);
        }
        let again: Orders = twice.iter().map(|&place| order(place)).collect();
        let (answered, answered_again) =
            tokio::join!(self.timed(channel.submit(&orders)), self.timed(next.submit(&again)));
        self.note_orders_twice(due, numbers, &plans, &twice, answered, answered_again)
    }

    async fn timed<Reply>(&self, call: impl Future<Output = Result<Reply, ClientError>>) -> Answered<Reply> {
        let result = call.await;
        Answered { result, at: self.started.elapsed() }
    }

    /// The next request, when it is due; `None` when there are no more.
    async fn next_request(&self) -> Option<Request> {
        if self.plan.schedule.is_some() {
            match self.due.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return self.left_to_repeat(),
            }
        }
        let sent = self.started.elapsed();
        let mut state = self.lock();
        let over = self.plan.duration.is_some_and(|duration| sent >= duration);
        let orders_left = self.plan.transfers.map_or(u64::MAX, |max| max - state.orders_begun);
        if state.ended.is_some() || over || orders_left == 0 {
            drop(state);
            self.due.close();
            return self.left_to_repeat();
        }
        let number = state.next_request;
        state.next_request += 1;
        let mut due = sent;
        if let Some(schedule) = self.plan.schedule {
            due = schedule.due(number);
            state.measurements.sent_behind(schedule.timing(number, sent, sent).behind);
        }
        let content = match self.workload.read_of(number) {
            Some(PlannedRead::Balance(wallet)) => Content::Balance(wallet),
            Some(PlannedRead::Statement(wallet)) => {
                let is_of_wallet = |number| {
                    let wallets = self.workload.plan(number).wallets();
                    wallets.into_iter().any(|place| self.workload.population.wallet_id(place) == wallet)
                };
                let done =
                    state.newest.iter().filter(|(number, told)| told.is_done() && is_of_wallet(*number));
                Content::Statement(wallet, done.copied().collect())
            }
            None => {
                if let Some(repeats) = state.repeats.next(self.plan.batch) {
                    Content::Again(repeats)
                } else {
                    let numbers = state.agenda.next(&self.workload, self.plan.batch.min(orders_left), sent);
                    state.orders_begun += numbers.len() as u64;
                    state.measurements.transfers_sent += numbers.len() as u64;
                    Content::Orders(numbers)
                }
            }
        };
        Some(Request { due, content })
    }

    /// What was to be sent again later still is when the time is over; but not when somebody stopped the load.
    fn left_to_repeat(&self) -> Option<Request> {
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        let repeats = state.repeats.rest(self.plan.batch)?;
        Some(Request { due: self.started.elapsed(), content: Content::Again(repeats) })
    }

    fn note_balance(
        &self,
        due: Duration,
        wallet: WalletId,
        answered: Answered<Vec<Option<BalanceView>>>,
    ) -> Option<Duration> {
        let at = answered.at;
        let views = match answered.result {
            Ok(views) => views,
            Err(error) => return Some(self.note_error(&error, at)),
        };
        let mut state = self.lock();
        state.last_answer = at;
        state.measurements.read_answered(at.saturating_sub(due));
        check_balance(&mut state.testimony, wallet, views.first().and_then(Option::as_ref));
        None
    }

    fn note_statement(
        &self,
        due: Duration,
        wallet: WalletId,
        acknowledged: &[(u64, Told)],
        answered: Answered<StatementPage>,
    ) -> Option<Duration> {
        let at = answered.at;
        let statement = match answered.result {
            Ok(statement) => statement,
            Err(error) => return Some(self.note_error(&error, at)),
        };
        let mut state = self.lock();
        state.last_answer = at;
        state.measurements.statement_answered(at.saturating_sub(due));
        check_statement(&mut state.testimony, &self.workload, wallet, acknowledged, &statement);
        None
    }

    fn note_again(
        &self,
        due: Duration,
        kind: OrderKind,
        repeats: &[Repeat],
        answered: Answered<Vec<Outcome>>,
    ) -> Option<Duration> {
        let outcomes = match self.outcomes(due, kind, repeats.len(), answered) {
            Ok(outcomes) => outcomes,
            // It was known before; that it is sent again tells nothing more.
            Err(pause) => return pause,
        };
        let mut state = self.lock();
        for (repeat, outcome) in repeats.iter().zip(&outcomes) {
            state.measurements.repetitions += 1;
            state.testimony.repeated(repeat.number, repeat.told, outcome);
        }
        None
    }

    fn note_orders(
        &self,
        due: Duration,
        numbers: &[u64],
        plans: &[PlannedOrder],
        answered: Answered<Vec<Outcome>>,
    ) -> Option<Duration> {
        let at = answered.at;
        let unknown = may_be_done(&answered.result, numbers.len());
        let outcomes = match self.outcomes(due, plans[0].kind(), numbers.len(), answered) {
            Ok(outcomes) => outcomes,
            Err(pause) => {
                if unknown {
                    self.lock().testimony.unknown(numbers);
                }
                return pause;
            }
        };
        let mut state = self.lock();
        for ((&number, plan), outcome) in numbers.iter().zip(plans).zip(&outcomes) {
            let goes_on = state.testimony.answered(number, plan, outcome);
            state.settled(&self.workload, number, outcome, goes_on, at);
        }
        None
    }

    /// The same where those in the places `twice` were sent a second time at the same moment.
    fn note_orders_twice(
        &self,
        due: Duration,
        numbers: &[u64],
        plans: &[PlannedOrder],
        twice: &[usize],
        answered: Answered<Vec<Outcome>>,
        answered_again: Answered<Vec<Outcome>>,
    ) -> Option<Duration> {
        let kind = plans[0].kind();
        let at = answered.at.max(answered_again.at);
        let unknown = may_be_done(&answered.result, numbers.len());
        let unknown_again = may_be_done(&answered_again.result, twice.len());
        let (outcomes, pause) = taken_apart(self.outcomes(due, kind, numbers.len(), answered));
        let (again, pause_again) = taken_apart(self.outcomes(due, kind, twice.len(), answered_again));
        let mut state = self.lock();
        let mut again = twice.iter().zip((0..twice.len()).map(|place| again.get(place))).peekable();
        for (place, (&number, plan)) in numbers.iter().zip(plans).enumerate() {
            let one = outcomes.get(place);
            let is_twice = again.peek().is_some_and(|&(&at, _)| at == place);
            let other = if is_twice { again.next().and_then(|(_, outcome)| outcome) } else { None };
            let testimony = &mut state.testimony;
            let (outcome, goes_on) = match (one, other) {
                (Some(one), Some(other)) => {
                    (repetition::original(one), testimony.answered_twice(number, plan, [one, other]))
                }
                (Some(one), None) if !is_twice => (*one, testimony.answered(number, plan, one)),
                (Some(one), None) | (None, Some(one)) => {
                    (repetition::original(one), testimony.answered_once_of_two(number, plan, one))
                }
                (None, None) => {
                    if unknown || (is_twice && unknown_again) {
                        testimony.unknown(&[number]);
                    }
                    continue;
                }
            };
            state.measurements.repetitions += u64::from(is_twice);
            state.settled(&self.workload, number, &outcome, goes_on, at);
        }
        pause.max(pause_again)
    }

    /// The outcomes, if there are as many as were asked for; else how long to wait, if at all.
    fn outcomes(
        &self,
        due: Duration,
        kind: OrderKind,
        asked: usize,
        answered: Answered<Vec<Outcome>>,
    ) -> Result<Vec<Outcome>, Option<Duration>> {
        let at = answered.at;
        let outcomes = answered.result.map_err(|error| Some(self.note_error(&error, at)))?;
        let mut state = self.lock();
        state.last_answer = at;
        state.measurements.orders_answered(at.saturating_sub(due));
        for outcome in &outcomes {
            state.measurements.outcome(kind, outcome.status);
        }
        if outcomes.len() == asked {
            return Ok(outcomes);
        }
        let answered = outcomes.len();
        state.testimony.contradict(|| format!("{asked} orders were answered {answered} outcomes"));
        Err(None)
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

impl LoadState {
    /// An order was answered as `outcome`, which is that of the first time.
    fn settled(&mut self, workload: &Workload, number: u64, outcome: &Outcome, goes_on: bool, now: Duration) {
        let told = Told::from(outcome);
        if told.is_done() {
            self.measurements.acknowledged(now);
        }
        if told.is_on_record() {
            if self.newest.len() == NEWEST_MAX {
                self.newest.pop_front();
            }
            self.newest.push_back((number, told));
            if workload.sending(number) == Sending::AgainLater {
                self.repeats.add(workload.plan(number).kind(), Repeat { number, told });
            }
        }
        if goes_on {
            self.agenda.follow(workload, number, now);
        }
    }
}

/// Whether what was asked for may be done although no answer tells.
fn may_be_done(result: &Answers<Outcome>, asked: usize) -> bool {
    match result {
        Ok(outcomes) => outcomes.len() != asked,
        Err(error) => call_error::leaves_outcome_unknown(error),
    }
}

fn taken_apart(outcomes: Result<Vec<Outcome>, Option<Duration>>) -> (Vec<Outcome>, Option<Duration>) {
    match outcomes {
        Ok(outcomes) => (outcomes, None),
        Err(pause) => (Vec::new(), pause),
    }
}

/// The wallet is there, and what is said of it does not contradict itself.
fn check_balance(testimony: &mut Testimony, wallet: WalletId, view: Option<&BalanceView>) {
    match view {
        None => testimony.contradict(|| format!("wallet {wallet} was read under load and is not there")),
        Some(view) if view.balance != view.position.balance() => {
            testimony
                .contradict(|| format!("wallet {wallet} was read as {view:?}, which contradicts itself"));
        }
        Some(_) => {}
    }
}

/// A statement, newest first, leads from each position to the one before it, and has every order of the wallet that was
/// acknowledged before it was asked for, as it was acknowledged.
fn check_statement(
    testimony: &mut Testimony,
    workload: &Workload,
    wallet: WalletId,
    acknowledged: &[(u64, Told)],
    page: &StatementPage,
) {
    let rows = &page.rows;
    let newest = rows.first().map_or(page.closing, |row| row.position);
    let leads_on = rows.windows(2).all(|rows| leads_from(&rows[1].position, &rows[0]));
    if newest != page.closing || !leads_on || !rows.is_sorted_by(|newer, older| newer.seq > older.seq) {
        testimony.contradict(|| format!("the statement of wallet {wallet} contradicts itself: {page:?}"));
    }
    for &(number, told) in acknowledged {
        let Told::Answered { seq, timestamp_ns, .. } = told else { continue };
        let found = rows.iter().find(|row| row.id == workload.id(number) && row.kind != OrderKind::Expire);
        let is_right = match found {
            Some(row) => (row.seq, row.timestamp_ns) == (seq, timestamp_ns),
            // It may be older than the page goes back.
            None => page.next.is_some() && rows.last().is_some_and(|oldest| oldest.seq > seq),
        };
        if !is_right || page.as_of_seq < seq {
            testimony.contradict(|| {
                let id = workload.id(number);
                format!("order {id} was told {told:?}, in the statement of wallet {wallet} it is {found:?}")
            });
        }
    }
}

/// Whether what the row says was done leads from this position to the row's. What is pending is not said by a row.
fn leads_from(before: &Position, row: &StatementRow) -> bool {
    let Position { debits_posted, credits_posted, .. } = row.position;
    before.debits_posted + row.debits == debits_posted
        && before.credits_posted + row.credits == credits_posted
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
