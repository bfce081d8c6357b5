//! Load on a ledger in memory, honest or not, over connections that break.

use super::*;
use crate::books::{self, Baseline};
use crate::ledger_in_memory::{Habit, LedgerInMemory};
use crate::verification::{self, Verification};
use crate::workload::tests::sample;
use crate::workload_kind::WorkloadKind;
use client::ErrorCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// A channel that fails every third request with orders: in turn before and after it was executed.
struct Unreliable {
    ledger: Arc<LedgerInMemory>,
    requests: AtomicU64,
}

impl RequestChannel for Unreliable {
    async fn submit(&self, orders: &Orders) -> Answers<Outcome> {
        let lost = || ClientError::ConnectionLost { reason: "it is unreliable".into() };
        let unknown = || ClientError::OutcomeUnknown { answered: 0, source: Box::new(lost()) };
        let code = ErrorCode::Overloaded;
        let overloaded = || ClientError::Refused { code, text: String::new(), retry_after_ms: 0 };
        match self.requests.fetch_add(1, Ordering::Relaxed) % 9 {
            2 => Err(unknown()),
            5 => {
                RequestChannel::submit(&*self.ledger, orders).await?;
                Err(unknown())
            }
            8 => Err(overloaded()),
            _ => RequestChannel::submit(&*self.ledger, orders).await,
        }
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        RequestChannel::balances(&*self.ledger, ids).await
    }

    async fn statement(&self, wallet: WalletId, rows_max: u32) -> Result<StatementPage, ClientError> {
        RequestChannel::statement(&*self.ledger, wallet, rows_max).await
    }
}

fn closed_loop(transfers: u64, batch: u64) -> LoadPlan {
    LoadPlan { in_flight: 4, batch, duration: None, transfers: Some(transfers), schedule: None }
}

/// A ledger with everybody who takes part.
async fn prepared(workload: &Workload) -> (Arc<LedgerInMemory>, Baseline) {
    let ledger = LedgerInMemory::default();
    books::prepare(&ledger, workload.population, u32::MAX).await.expect("the ledger takes the population");
    books::prepare_refusing_wallets(&ledger, workload.population).await.expect("and those who refuse");
    let baseline = books::baseline(&ledger, workload.population).await.expect("the ledger can be read");
    (Arc::new(ledger), baseline)
}

fn load(workload: Workload, plan: LoadPlan, baseline: &Baseline) -> Arc<Load> {
    Load::new(workload, plan, Testimony::new(baseline.positions.clone(), workload.steps()))
}

async fn verified(ledger: &LedgerInMemory, load: &Load, baseline: &Baseline) -> Verification {
    let testimony = load.lock().testimony.clone();
    let found = verification::verify(ledger, &load.workload, baseline, &testimony).await;
    found.expect("the ledger can be read")
}

#[tokio::test(start_paused = true)]
async fn all_transfers_are_sent_once_and_what_was_said_agrees_with_the_ledger_also_after_errors() {
    let workload = sample(9, 20);
    let (ledger, baseline) = prepared(&workload).await;
    let load = load(workload, closed_loop(1_000, 7), &baseline);
    let channel = Unreliable { ledger: Arc::clone(&ledger), requests: AtomicU64::new(0) };
    let (_, ending) = load.run(vec![Arc::new(channel)]).await;
    assert_eq!(ending, Ending::Complete);
    {
        let state = load.lock();
        let measurements = &state.measurements;
        // 143 requests, the last of 6 transfers: of every nine, two with unknown outcome and one refused.
        assert_eq!(measurements.transfers_sent, 1_000);
        assert_eq!(measurements.errors, [("connection_lost", 32), ("overloaded", 15)].into());
        assert_eq!(measurements.requests, 96);
        assert_eq!(state.testimony.unknown.len(), 32 * 7);
        assert_eq!(state.testimony.acknowledged, measurements.transfers_acknowledged);
    }
    let found = verified(&ledger, &load, &baseline).await;
    assert_eq!(found.first_differences, Vec::<String>::new());
    assert_eq!((found.unknown_found_done, found.unknown_found_not_done), (16 * 7, 16 * 7));
}

#[tokio::test(start_paused = true)]
async fn every_workload_agrees_with_an_honest_ledger_also_after_errors() {
    for kind in WorkloadKind::ALL {
        for batch in [1, 7] {
            let workload = sample(9, 20).of_kind(kind).with_retries(0.5);
            let (ledger, baseline) = prepared(&workload).await;
            let load = load(workload, closed_loop(3_000, batch), &baseline);
            let channel = || {
                let ledger = Arc::clone(&ledger);
                Arc::new(Unreliable { ledger, requests: AtomicU64::new(0) })
            };
            let (_, ending) = load.run(vec![channel(), channel()]).await;
            assert_eq!(ending, Ending::Complete);
            let found = verified(&ledger, &load, &baseline).await;
            assert_eq!(found.first_differences, Vec::<String>::new(), "{kind}");
            let state = load.lock();
            assert_eq!(state.measurements.transfers_sent, 3_000, "{kind}");
            assert!(found.unknown_found_done > 0 && found.unknown_found_not_done > 0, "{kind}");
            assert_eq!(
                found.expired_looked_up > 0,
                kind != WorkloadKind::Transfers && kind != WorkloadKind::MultiLeg
            );
            assert_eq!(state.measurements.repetitions > 0, kind == WorkloadKind::Retries);
            assert_eq!(state.measurements.statements > 0, kind == WorkloadKind::Mixed);
            assert_eq!(
                found.refused_looked_up > 0,
                kind == WorkloadKind::Retries || kind == WorkloadKind::Refusals
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_ids_are_sent_again_as_were_to_be_and_every_repetition_is_judged() {
    let check = async |habit: Option<Habit>, named: &str| {
        let workload = sample(9, 20).of_kind(WorkloadKind::Retries).with_retries(0.5);
        let (ledger, baseline) = prepared(&workload).await;
        if let Some(habit) = habit {
            ledger.has(habit);
        }
        let load = load(workload, closed_loop(3_000, 5), &baseline);
        load.run(vec![Arc::clone(&ledger), Arc::clone(&ledger)]).await;
        let found = verified(&ledger, &load, &baseline).await;
        let repetitions = load.lock().measurements.repetitions;
        assert!((1_400..1_600).contains(&repetitions), "{repetitions}");
        assert_eq!(found.passed(), habit.is_none(), "{habit:?}: {:#?}", found.first_differences);
        let is_named = found.first_differences.iter().any(|difference| difference.contains(named));
        assert!(is_named || habit.is_none(), "{named:?} is not in {:#?}", found.first_differences);
        found.differences
    };
    check(None, "").await;
    // Both halves are judged: those at the same moment and those later.
    for habit in [Habit::ForgetsIds, Habit::ClaimsToBeFirst, Habit::NamesAnotherEntry] {
        let differences = check(Some(habit), "sent twice at once").await;
        assert!(differences > 1_000, "{differences}");
    }
    let differences = check(Some(Habit::ForgetsRefusals), "sent twice at once").await;
    assert!(differences > 100, "{differences}");
}

#[tokio::test]
async fn what_a_read_shows_must_be_there_as_it_was_acknowledged() {
    let workload = sample(9, 20);
    let (ledger, baseline) = prepared(&workload).await;
    let mut acknowledged = Vec::new();
    let wallet = workload.population.wallet_id(workload.plan(0).wallets()[0]);
    for script in 0..400 {
        let number = script * workload.steps();
        let orders = [workload.planned(number)].into_iter().collect();
        let outcome = LedgerInMemory::submit(&ledger, &orders).await.expect("answered")[0];
        let wallets = workload.plan(number).wallets();
        if outcome.status.is_success()
            && wallets.iter().any(|&place| workload.population.wallet_id(place) == wallet)
        {
            acknowledged.push((number, Told::from(&outcome)));
        }
    }
    assert!(acknowledged.len() > 12, "{}", acknowledged.len());
    let page = RequestChannel::statement(&*ledger, wallet, ROWS_PER_STATEMENT).await.expect("answered");
    assert_eq!(page.rows.len(), 10);
    let check = |acknowledged: &[(u64, Told)], change: &dyn Fn(&mut StatementPage), expected: u64| {
        let mut testimony = Testimony::new(baseline.positions.clone(), workload.steps());
        let mut page = page.clone();
        change(&mut page);
        check_statement(&mut testimony, &workload, wallet, acknowledged, &page);
        assert_eq!(testimony.contradictions_count, expected, "{page:?}");
    };
    check(&acknowledged, &|_| {}, 0);
    // The newest is gone, the oldest of the page, one that it claims to go back to.
    check(
        &acknowledged,
        &|page| {
            page.rows.remove(0);
        },
        2,
    );
    check(
        &acknowledged,
        &|page| {
            page.rows.remove(5);
        },
        2,
    );
    check(&acknowledged, &|page| page.next = None, acknowledged.len() as u64 - 10);
    check(&acknowledged, &|page| page.rows.swap(3, 4), 1);
    check(&acknowledged, &|page| page.rows[2].credits += 1, 1);
    check(&acknowledged, &|page| page.closing.debits_posted += 1, 1);
    check(&acknowledged, &|page| page.rows[1].timestamp_ns += 1, 1);
    check(&acknowledged, &|page| page.as_of_seq = 1, acknowledged.len() as u64);

    let wallet = workload.population.wallet_id(1);
    let view =
        RequestChannel::balances(&*ledger, &[wallet]).await.expect("answered")[0].expect("it is there");
    let check = |view: Option<&BalanceView>, expected: u64| {
        let mut testimony = Testimony::new(baseline.positions.clone(), workload.steps());
        check_balance(&mut testimony, wallet, view);
        assert_eq!(testimony.contradictions_count, expected, "{view:?}");
    };
    check(Some(&view), 0);
    check(None, 1);
    check(Some(&BalanceView { balance: view.balance + 1, ..view }), 1);
}

#[tokio::test]
async fn a_load_that_is_stopped_ends_after_the_requests_in_flight() {
    let workload = sample(9, 20);
    let (ledger, baseline) = prepared(&workload).await;
    let load = load(workload, LoadPlan { transfers: None, ..closed_loop(0, 1) }, &baseline);
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
    for kind in [WorkloadKind::Transfers, WorkloadKind::Retries] {
        let workload = sample(9, 20).of_kind(kind).with_retries(1.0);
        let (ledger, baseline) = prepared(&workload).await;
        let schedule = Some(Schedule::new(1e6));
        let load = load(workload, LoadPlan { schedule, ..closed_loop(500, 1) }, &baseline);
        let (elapsed, ending) = load.run(vec![ledger]).await;
        assert_eq!(ending, Ending::Complete);
        assert_eq!(load.due_and_begun(elapsed), Some((500, 500)));
        let state = load.lock();
        assert_eq!(state.measurements.transfers_sent, 500);
        assert_eq!(state.measurements.behind.len(), 500);
        // What was to be sent again is also sent when the time is over.
        assert_eq!(state.measurements.repetitions, if kind == WorkloadKind::Retries { 500 } else { 0 });
    }
}
