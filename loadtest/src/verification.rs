//! After a run: does the ledger agree with what it said? Every check compares what the server told at the time
//! with what it holds now; nothing here trusts either.

use crate::books::{self, Baseline};
use crate::ledger_calls::LedgerCalls;
use crate::testimony::Testimony;
use crate::workload::Workload;
use anyhow::{Context, Result};
use client::TransferView;
use client::ledger::{Order, Status};
use serde::Serialize;
use std::time::Duration;

/// Differences that are named; all are counted.
const DIFFERENCES_NAMED_MAX: usize = 20;

/// A transfer whose reply was lost may still be under way when it is looked up first.
const SETTLING: Duration = Duration::from_secs(1);

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verification {
    /// Assets whose debits were compared with their credits.
    pub(crate) assets_checked: u64,
    /// Wallets whose counters were compared with what was told.
    pub(crate) wallets_checked: u64,
    /// Acknowledged transfers that were looked up.
    pub(crate) acknowledged_looked_up: u64,
    /// Of so many.
    pub(crate) acknowledged: u64,
    /// Refused transfers that were looked up.
    pub(crate) refused_looked_up: u64,
    /// Transfers of unknown outcome that turned out to be done.
    pub(crate) unknown_found_done: u64,
    /// Transfers of unknown outcome that turned out not to be done.
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
    check_acknowledged(ledger, workload, testimony, &mut found).await?;
    check_refused(ledger, workload, testimony, &mut found).await?;
    let mut positions = testimony.positions.clone();
    for numbers in &testimony.unknown {
        let ids: Vec<_> = numbers.clone().map(|number| workload.id(number)).collect();
        books::lookup_transfers(ledger, ids.into_iter(), |place, view| {
            let number = numbers.start + place as u64;
            let done = view.as_ref().is_some_and(|view| view.outcome.status == Status::Created);
            if let Some(difference) = view.and_then(|view| fields_differ(workload, number, &view)) {
                found.differ(difference);
            }
            if done {
                found.unknown_found_done += 1;
                positions.apply(workload.plan(number));
            } else {
                found.unknown_found_not_done += 1;
            }
        })
        .await?;
    }
    let population = workload.population;
    for (number, view) in (0..).zip(books::balances(ledger, population).await?) {
        found.wallets_checked += 1;
        if let Some(difference) = positions.difference(population, number, view.as_ref()) {
            found.differ(difference);
        }
    }
    check_trial_balance(ledger, workload, baseline, positions.moved(), &mut found).await?;
    Ok(found)
}

/// Each is there, as it was asked for, with the entry and the time that it was acknowledged with.
async fn check_acknowledged(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    testimony: &Testimony,
    found: &mut Verification,
) -> Result<()> {
    let kept = testimony.sample.kept();
    found.acknowledged_looked_up = kept.len() as u64;
    let ids = kept.iter().map(|kept| workload.id(kept.number));
    books::lookup_transfers(ledger, ids, |place, view| {
        let told = kept[place];
        let id = workload.id(told.number);
        let Some(view) = view else {
            found.differ(format!("transfer {id} was acknowledged as entry {} and is not there", told.seq));
            return;
        };
        let outcome = view.outcome;
        if outcome.status != Status::Created
            || (outcome.seq, outcome.timestamp_ns) != (told.seq, told.timestamp_ns)
        {
            found.differ(format!(
                "transfer {id} was acknowledged as entry {} at {}, looked up it is {} as entry {} at {}",
                told.seq, told.timestamp_ns, outcome.status, outcome.seq, outcome.timestamp_ns
            ));
        }
        if let Some(difference) = fields_differ(workload, told.number, &view) {
            found.differ(difference);
        }
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
        let is = view.map(|view| view.outcome.status);
        let should = told.is_final().then_some(told);
        if is != should {
            let name = |status: Option<Status>| status.map_or("not on record", Status::name);
            let (id, is, should) = (workload.id(number), name(is), name(should));
            found
                .differ(format!("transfer {id} was refused {told}, looked up it is {is}, expected {should}"));
        }
    })
    .await
}

/// What is wrong with the transfer as it is on record, if anything.
pub(crate) fn fields_differ(workload: &Workload, number: u64, view: &TransferView) -> Option<String> {
    let sent = workload.transfer(number, workload.plan(number));
    let (id, sent) = (sent.id, Order::Transfer(sent));
    (view.order != sent).then(|| format!("transfer {id} is {:?}, it was sent as {sent:?}", view.order))
}

/// Debits equal credits in every asset, and ours has grown by exactly what was moved.
async fn check_trial_balance(
    ledger: &impl LedgerCalls,
    workload: &Workload,
    baseline: &Baseline,
    moved: u128,
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
        }
    }
    if !trial_balance.assets.iter().any(|asset| asset.asset.id == workload.population.asset_id()) {
        found.differ(format!("asset {} is not in the trial balance", workload.population.asset_id()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger_in_memory::{LedgerInMemory, Lie};
    use crate::workload::tests::sample;

    /// Makes 100 transfers, the last ten of which have no answer, then verifies against a ledger with this lie.
    async fn verify_with(lie: Option<Planted>) -> Verification {
        let ledger = LedgerInMemory::default();
        let workload = sample(5, 10);
        let population = workload.population;
        books::prepare(&ledger, population, u32::MAX).await.expect("the ledger takes the population");
        let baseline = books::baseline(&ledger, population).await.expect("the ledger can be read");
        let mut testimony = Testimony::new(baseline.positions.clone());
        for number in 0..90 {
            let plan = workload.plan(number);
            let outcomes =
                ledger.create_transfers(&[workload.transfer(number, plan)]).await.expect("answered");
            testimony.answered(number, plan, &outcomes[0]);
        }
        // Of the unknown ones, the first five were done.
        for number in 90..95 {
            let transfer = workload.transfer(number, workload.plan(number));
            ledger.create_transfers(&[transfer]).await.expect("answered");
        }
        testimony.unknown(90..100);
        if let Some(lie) = lie {
            ledger.lie(lie(&workload));
        }
        verify_once(&ledger, &workload, &baseline, &testimony).await.expect("the ledger can be read")
    }

    type Planted = fn(&Workload) -> Lie;

    #[tokio::test]
    async fn an_honest_ledger_passes_and_unknown_transfers_are_counted_in_or_out() {
        let found = verify_with(None).await;
        assert_eq!(found.first_differences, Vec::<String>::new());
        assert!(found.passed());
        assert_eq!((found.wallets_checked, found.acknowledged_looked_up), (11, 90));
        assert_eq!((found.unknown_found_done, found.unknown_found_not_done), (5, 5));
    }

    #[tokio::test]
    async fn every_planted_difference_is_caught_and_named() {
        let cases: [(Planted, &[&str]); 6] = [
            (|workload| Lie::Forget(workload.id(3)), &["is not there"]),
            (
                |workload| Lie::Do(workload.transfer(1_000, workload.plan(1_000))),
                &["holds", "was moved", "does another run use this seed?"],
            ),
            (|workload| Lie::Renumber(workload.id(7)), &["was acknowledged as entry"]),
            (|workload| Lie::ChangeAmount(workload.id(11)), &["it was sent as"]),
            (|workload| Lie::Credit(workload.population.wallet_id(4)), &["holds", "does not balance"]),
            (|workload| Lie::Lose(workload.population.wallet_id(4)), &["is gone"]),
        ];
        for (lie, expected) in cases {
            let found = verify_with(Some(lie)).await;
            assert!(!found.passed());
            for part in expected {
                let named = found.first_differences.iter().any(|difference| difference.contains(part));
                assert!(named, "{part:?} is not in {:#?}", found.first_differences);
            }
        }
    }

    #[tokio::test]
    async fn a_refusal_that_was_done_all_the_same_is_caught() {
        let ledger = LedgerInMemory::default();
        let workload = sample(5, 10);
        books::prepare(&ledger, workload.population, u32::MAX)
            .await
            .expect("the ledger takes the population");
        let baseline = books::baseline(&ledger, workload.population).await.expect("the ledger can be read");
        let mut testimony = Testimony::new(baseline.positions.clone());
        let plan = workload.plan(0);
        let done = ledger.create_transfers(&[workload.transfer(0, plan)]).await.expect("answered");
        let told = client::ledger::Outcome { status: Status::InsufficientFunds, ..done[0] };
        testimony.answered(0, plan, &told);
        let found =
            verify_once(&ledger, &workload, &baseline, &testimony).await.expect("the ledger can be read");
        let text = found.first_differences.join("\n");
        assert!(text.contains("was refused insufficient_funds, looked up it is created"), "{text}");
    }

    #[tokio::test]
    async fn a_first_answer_that_claims_to_be_a_repetition_is_a_difference() {
        let ledger = LedgerInMemory::default();
        let workload = sample(5, 10);
        books::prepare(&ledger, workload.population, u32::MAX)
            .await
            .expect("the ledger takes the population");
        let baseline = books::baseline(&ledger, workload.population).await.expect("the ledger can be read");
        let mut testimony = Testimony::new(baseline.positions.clone());
        let transfer = workload.transfer(0, workload.plan(0));
        ledger.create_transfers(std::slice::from_ref(&transfer)).await.expect("answered");
        let again = ledger.create_transfers(&[transfer]).await.expect("answered");
        testimony.answered(0, workload.plan(0), &again[0]);
        let found =
            verify_once(&ledger, &workload, &baseline, &testimony).await.expect("the ledger can be read");
        assert_eq!(found.differences, 1);
        assert!(found.first_differences[0].contains("was sent once"), "{:?}", found.first_differences);
    }
}
