//! After a run: does the ledger agree with what it said? Every check compares what the server told at the time
//! with what it holds now; nothing here trusts either.

use crate::books::{self, Baseline};
use crate::ledger_calls::LedgerCalls;
use crate::progress_of_orders;
use crate::refusing_wallets::RefusingWallet;
use crate::scripts::holds::TIMEOUT_S_MAX;
use crate::testimony::Testimony;
use crate::workload::Workload;
use anyhow::{Context, Result};
use client::ledger::{HoldState, Refusal, RefusalDetail, Status};
use client::{Progress, TransferView};
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// Differences that are named; all are counted.
const DIFFERENCES_NAMED_MAX: usize = 20;

/// An order whose reply was lost may still be under way when it is looked up first.
const SETTLING: Duration = Duration::from_secs(1);

/// How long a hold may be there after its time: as long as the longest of them takes and, on a busy machine, the server to
/// come to it.
const EXPIRY_MAX: Duration = Duration::from_secs(TIMEOUT_S_MAX as u64 + 30);

/// How often it is looked whether holds have expired.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verification {
    /// Assets whose debits were compared with their credits.
    pub(crate) assets_checked: u64,
    /// Wallets whose counters, posted and pending, were compared with what was told.
    pub(crate) wallets_checked: u64,
    /// Acknowledged orders that were looked up.
    pub(crate) acknowledged_looked_up: u64,
    /// Of so many.
    pub(crate) acknowledged: u64,
    /// Refused orders that were looked up.
    pub(crate) refused_looked_up: u64,
    /// Holds that were left to expire, and whose end was waited for.
    pub(crate) expired_looked_up: u64,
    /// Orders of unknown outcome that turned out to be done.
    pub(crate) unknown_found_done: u64,
    /// Orders of unknown outcome that turned out not to be done.
    pub(crate) unknown_found_not_done: u64,
    /// How many differences there are.
    pub(crate) differences: u64,
    /// The first of them.
    pub(crate) first_differences: Vec<String>,
}

impl Verification {
    /// Whether there is no difference.
    pub(crate) fn passed(&self) -> bool {
        self.differences == 0
    }

    /// A difference that says more than the others.
    fn differ_first(&mut self, difference: String) {
        self.differences += 1;
        self.first_differences.insert(0, difference);
        self.first_differences.truncate(DIFFERENCES_NAMED_MAX);
    }

    pub(crate) fn differ(&mut self, difference: String) {
        self.differences += 1;
        if self.first_differences.len() < DIFFERENCES_NAMED_MAX {
            self.first_differences.push(difference);
        }
    }
    fn differ_if(&mut self, difference: Option<String>) {
        if let Some(difference) = difference {
            self.differ(difference);
        }
    }
}

/// Compares the ledger with what it said. Where outcomes are unknown and something differs, it looks once more a
/// little later, since what had no answer may not have been finished.
pub(crate) async fn verify(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    baseline: &Baseline,
    testimony: &Testimony,
) -> Result<Verification> {
    let found = verify_once(ledger, workload, baseline, testimony).await?;
    if found.passed() || testimony.unknown.is_empty() {
        return Ok(found);
    }
    tokio::time::sleep(SETTLING).await;
    verify_once(ledger, workload, baseline, testimony).await
}

async fn verify_once(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    baseline: &Baseline,
    testimony: &Testimony,
) -> Result<Verification> {
    let mut found = Verification { acknowledged: testimony.acknowledged, ..Verification::default() };
    for contradiction in &testimony.contradictions {
        found.differ(contradiction.clone());
    }
    found.differences = testimony.contradictions_count;
    await_expiry(ledger, workload, testimony, &mut found).await?;
    let mut positions = testimony.positions.clone();
    // Of the orders that are looked up, those that were done.
    let mut done: HashSet<u64> = HashSet::new();
    if workload.steps() > 1 {
        done.extend(testimony.sample.kept().iter().map(|kept| kept.number));
    }
    for numbers in testimony.unknown.chunks(books::ITEMS_PER_REQUEST) {
        let ids: Vec<_> = numbers.iter().map(|&number| workload.id(number)).collect();
        books::lookup_transfers(ledger, ids.into_iter(), |place, view| {
            let number = numbers[place];
            let plan = workload.plan(number);
            if let Some(view) = &view {
                found.differ_if(order_differs(workload, number, view));
                found.differ_if(answer_differs(workload, number, view));
            }
            if view.is_some_and(|view| view.outcome.status == Status::Created) {
                found.unknown_found_done += 1;
                positions.apply(&plan.effect);
                done.insert(number);
            } else {
                found.unknown_found_not_done += 1;
            }
        })
        .await?;
    }
    check_acknowledged(ledger, workload, testimony, &done, &mut found).await?;
    check_refused(ledger, workload, testimony, &mut found).await?;
    let population = workload.population;
    for (number, view) in (0..).zip(books::balances(ledger, population).await?) {
        found.wallets_checked += 1;
        found.differ_if(positions.difference(population, number, view.as_ref()));
    }
    check_refusing_wallets(ledger, workload, baseline, &mut found).await?;
    check_trial_balance(ledger, workload, baseline, (positions.moved(), positions.held()), &mut found)
        .await?;
    Ok(found)
}

/// Waits until the holds have expired that are left to, which is when nothing of them is in any wallet.
async fn await_expiry(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    testimony: &Testimony,
    found: &mut Verification,
) -> Result<()> {
    let unknown = testimony.unknown.iter().filter(|&&number| workload.plan(number).is_left_to_expire());
    let numbers: Vec<u64> = testimony.expiring.iter().chain(unknown).copied().collect();
    found.expired_looked_up = numbers.len() as u64;
    for text in still_open(ledger, workload, numbers).await? {
        found.differ(text);
    }
    Ok(())
}

/// Waits until these holds have expired; says which have not when they should have.
pub(crate) async fn still_open(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    mut numbers: Vec<u64>,
) -> Result<Vec<String>> {
    let give_up = Instant::now() + EXPIRY_MAX;
    while !numbers.is_empty() {
        let mut open = Vec::new();
        let ids: Vec<_> = numbers.iter().map(|&number| workload.id(number)).collect();
        books::lookup_transfers(ledger, ids.into_iter(), |place, view| {
            let is_open =
                |view: TransferView| matches!(view.progress, Progress::Hold { state: HoldState::Open, .. });
            if view.is_some_and(is_open) {
                open.push(numbers[place]);
            }
        })
        .await?;
        numbers = open;
        if Instant::now() >= give_up {
            break;
        }
        if !numbers.is_empty() {
            tokio::time::sleep(EXPIRY_INTERVAL).await;
        }
    }
    let text = |number: &u64| {
        format!("hold {} has not expired after {} s", workload.id(*number), EXPIRY_MAX.as_secs())
    };
    Ok(numbers.iter().map(text).collect())
}

/// Each is there, as it was asked for, with the entry and the time that it was acknowledged with; and what has become of
/// it is what was done about it.
async fn check_acknowledged(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    testimony: &Testimony,
    done: &HashSet<u64>,
    found: &mut Verification,
) -> Result<()> {
    let kept = testimony.sample.kept();
    found.acknowledged_looked_up = kept.len() as u64;
    let ids = kept.iter().map(|kept| workload.id(kept.number));
    books::lookup_transfers(ledger, ids, |place, view| {
        let told = kept[place];
        let id = workload.id(told.number);
        let Some(view) = view else {
            found.differ(format!("order {id} was acknowledged as entry {} and is not there", told.seq));
            return;
        };
        let outcome = view.outcome;
        if outcome.status != Status::Created
            || (outcome.seq, outcome.timestamp_ns) != (told.seq, told.timestamp_ns)
        {
            found.differ(format!(
                "order {id} was acknowledged as entry {} at {}, looked up it is {} as entry {} at {}",
                told.seq, told.timestamp_ns, outcome.status, outcome.seq, outcome.timestamp_ns
            ));
        }
        found.differ_if(order_differs(workload, told.number, &view));
        let became =
            progress_of_orders::difference(workload, told.number, &view, |number| done.contains(&number));
        found.differ_if(became);
    })
    .await
}

/// None of them was done; where the refusal is final, it is on record.
async fn check_refused(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    testimony: &Testimony,
    found: &mut Verification,
) -> Result<()> {
    let refused = &testimony.refused;
    found.refused_looked_up = refused.len() as u64;
    let ids = refused.iter().map(|&(number, _)| workload.id(number));
    books::lookup_transfers(ledger, ids, |place, view| {
        let (number, told) = refused[place];
        if let Some(view) = &view {
            found.differ_if(order_differs(workload, number, view));
            if view.progress != Progress::None {
                let (id, progress) = (workload.id(number), view.progress);
                found.differ(format!("order {id} was refused, and this became of it: {progress:?}"));
            }
        }
        let is = view.map(|view| Refusal { status: view.outcome.status, detail: view.outcome.detail });
        let should = told.status.is_final().then_some(told);
        if !is_same_refusal(is, should) {
            let name = |refusal: Option<Refusal>| match refusal {
                None => "not on record".to_owned(),
                Some(Refusal { status, detail: RefusalDetail::None }) => status.name().to_owned(),
                Some(Refusal { status, detail }) => format!("{status} ({detail:?})"),
            };
            let (id, told, is, should) = (workload.id(number), name(Some(told)), name(is), name(should));
            found.differ(format!("order {id} was refused {told}, looked up it is {is}, expected {should}"));
        }
    })
    .await
}

/// What an order lacked is not told again to its repetition; then the status has to do.
fn is_same_refusal(is: Option<Refusal>, should: Option<Refusal>) -> bool {
    match (is, should) {
        (Some(is), Some(Refusal { status, detail: RefusalDetail::None })) => is.status == status,
        (is, should) => is == should,
    }
}

/// What is wrong with the order as it is on record, if anything.
pub(crate) fn order_differs(workload: &Workload, number: u64, view: &TransferView) -> Option<String> {
    let Some(plan) = workload.find(number) else {
        return Some(format!("order number {number} is {:?}, there was none to be sent", view.order));
    };
    let sent = workload.order(number, &plan.asked);
    (view.order != sent).then(|| format!("order {} is {:?}, it was sent as {sent:?}", sent.id(), view.order))
}

/// What is wrong with the outcome that is on record of an order whose answer nobody heard, if anything.
pub(crate) fn answer_differs(workload: &Workload, number: u64, view: &TransferView) -> Option<String> {
    let plan = workload.find(number)?;
    let refusal = Refusal { status: view.outcome.status, detail: view.outcome.detail };
    (!plan.expected.allows(refusal))
        .then(|| format!("order {} must be {:?}, it is {refusal:?}", workload.id(number), plan.expected))
}

/// Nothing was put into them or taken out.
async fn check_refusing_wallets(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    baseline: &Baseline,
    found: &mut Verification,
) -> Result<()> {
    let views = books::refusing_wallets(ledger, workload.population).await?;
    for ((refusing, before), view) in RefusingWallet::ALL.into_iter().zip(&baseline.refusing).zip(views) {
        found.wallets_checked += u64::from(before.is_some());
        let now = view.map(|view| view.position);
        if now != *before {
            found.differ(format!(
                "the wallet {refusing:?} ({}) holds {now:?}, it held {before:?} and refuses everything",
                workload.population.wallet_id(refusing.number())
            ));
        }
    }
    Ok(())
}

/// Debits equal credits in every asset, and ours has grown by exactly what was moved and what is held.
async fn check_trial_balance(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    baseline: &Baseline,
    (moved, held): (u128, i128),
    found: &mut Verification,
) -> Result<()> {
    let trial_balance = ledger.trial_balance().await.context("reading the trial balance")?;
    for asset in &trial_balance.assets {
        found.assets_checked += 1;
        let (id, totals) = (asset.asset.id, asset.totals);
        if !totals.is_balanced() {
            found.differ(format!("asset {id} does not balance: {totals:?}"));
        }
        if id == workload.population.asset_id() {
            let grown = totals.debits_posted.wrapping_sub(baseline.totals.debits_posted);
            if grown != moved {
                // First, so that it is named: every wallet differs, too, when somebody else uses them.
                let hint = if grown > moved { "; does another run use this seed?" } else { "" };
                found
                    .differ_first(format!("in asset {id} {grown} was moved, acknowledged was {moved}{hint}"));
            }
            let grown = totals.debits_pending.wrapping_sub(baseline.totals.debits_pending).cast_signed();
            if grown != held {
                found.differ_first(format!("in asset {id} {grown} more is held, acknowledged was {held}"));
            }
        }
    }
    if !trial_balance.assets.iter().any(|asset| asset.asset.id == workload.population.asset_id()) {
        found.differ(format!("asset {} is not in the trial balance", workload.population.asset_id()));
    }
    Ok(())
}

#[cfg(test)]
#[path = "verification_tests.rs"]
mod tests;
