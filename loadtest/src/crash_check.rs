//! After a crash: is everything there that was acknowledged, once and unchanged, and is everything else either
//! wholly there or not at all?

use crate::books;
use crate::crash_load::{Round, Told};
use crate::expected_positions::ExpectedPositions;
use crate::ledger_calls::LedgerCalls;
use crate::verification::fields_differ;
use anyhow::{Context, Result, ensure};
use client::TransferView;
use client::ledger::{Outcome, RefusalDetail, Status, Transfer};
use serde::Serialize;

/// Differences that are named; all are counted.
const DIFFERENCES_NAMED_MAX: usize = 20;

/// Acknowledged transfers of a round that are sent again, evenly spread over it.
const RESENT_MAX: usize = 2_000;

/// Transfers sent again in one request.
const RESENT_PER_REQUEST: usize = 1_000;

/// How often a transfer is sent again that was answered that it should be.
const RESENT_ATTEMPTS: usize = 10;

/// What was found, over all rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Transfers that were acknowledged before the kills, those that were refused for good included.
    pub(crate) acknowledged: u64,
    /// Of these refused.
    pub(crate) refused: u64,
    /// Transfers that were sent and had no answer when the server was killed.
    pub(crate) unknown: u64,
    /// Of these found in the ledger after the crash.
    pub(crate) found_after_crash: u64,
    /// Acknowledged and not there.
    pub(crate) lost: u64,
    /// Done twice, or recorded under an entry that is another transfer's.
    pub(crate) doubled: u64,
    /// Everything else that is not as it was told.
    pub(crate) mismatches: u64,
    /// The first of these, in words.
    pub(crate) first_differences: Vec<String>,
}

impl Findings {
    pub(crate) fn passed(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.mismatches == 0
    }

    fn lose(&mut self, text: String) {
        self.lost += 1;
        self.name(text);
    }

    fn double(&mut self, text: String) {
        self.doubled += 1;
        self.name(text);
    }

    pub(crate) fn mismatch(&mut self, text: String) {
        self.mismatches += 1;
        self.name(text);
    }

    fn name(&mut self, text: String) {
        if self.first_differences.len() < DIFFERENCES_NAMED_MAX {
            self.first_differences.push(text);
        }
    }
}

/// Checks the round that was just killed, and resolves its unknown transfers by sending them again. Afterwards
/// `round` tells of every transfer what became of it, and `positions` holds all that were done.
pub(crate) async fn check(
    ledger: &impl LedgerCalls,
    round: &mut Round,
    positions: &mut ExpectedPositions,
    moved_before: u128,
    findings: &mut Findings,
) -> Result<()> {
    let acknowledged_before = round.told.clone();
    look_up(ledger, round, positions, findings).await?;
    check_books(ledger, round, positions, moved_before, findings).await?;
    send_again(ledger, round, &acknowledged_before, positions, findings).await?;
    check_books(ledger, round, positions, moved_before, findings).await
}

/// Every transfer of the round, by id. Unknown ones that are found count as answered from here on.
async fn look_up(
    ledger: &impl LedgerCalls,
    round: &mut Round,
    positions: &mut ExpectedPositions,
    findings: &mut Findings,
) -> Result<()> {
    let Round { workload, told } = round;
    let workload = &*workload;
    let mut seqs: Vec<u64> = Vec::with_capacity(told.len());
    let ids = (0..told.len()).map(|number| workload.id(number as u64));
    books::lookup_transfers(ledger, ids, |place, view| {
        let number = place as u64;
        match told[place] {
            Told::Answered { .. } => findings.acknowledged += 1,
            Told::Unknown => findings.unknown += 1,
            Told::NotSent => {}
        }
        if let Told::Answered { status, .. } = told[place]
            && !status.is_success()
        {
            findings.refused += 1;
        }
        if let Some(view) = &view {
            seqs.push(view.outcome.seq);
            if view.outcome.status == Status::Created {
                positions.apply(workload.plan(number));
            }
            if let Some(difference) = fields_differ(workload, number, view) {
                findings.mismatch(difference);
            }
        }
        compare(workload.id(number), told[place], view.as_ref(), findings);
        if let (Told::Unknown, Some(view)) = (told[place], &view) {
            findings.found_after_crash += 1;
            told[place] = (&view.outcome).into();
        }
    })
    .await?;
    seqs.sort_unstable();
    for pair in seqs.windows(2).filter(|pair| pair[0] == pair[1]) {
        findings.double(format!("entry {} is on record for two transfers", pair[0]));
    }
    Ok(())
}

/// All transfers of an earlier round that has been resolved, once more.
pub(crate) async fn check_earlier(
    ledger: &impl LedgerCalls,
    round: &Round,
    every: usize,
    findings: &mut Findings,
) -> Result<()> {
    let numbers: Vec<usize> = (0..round.told.len()).step_by(every).collect();
    let ids = numbers.iter().map(|&number| round.workload.id(number as u64));
    books::lookup_transfers(ledger, ids, |place, view| {
        let number = numbers[place];
        compare(round.workload.id(number as u64), round.told[number], view.as_ref(), findings);
    })
    .await
}

/// What was told of a transfer, against what is on record.
fn compare(id: client::ledger::TransferId, told: Told, view: Option<&TransferView>, findings: &mut Findings) {
    let (status, seq, timestamp_ns) = match told {
        Told::Unknown => return,
        Told::NotSent => {
            if view.is_some() {
                findings.mismatch(format!("transfer {id} was never sent and is there: {view:?}"));
            }
            return;
        }
        Told::Answered { status, seq, timestamp_ns } => (status, seq, timestamp_ns),
    };
    let on_record = status == Status::Created || status.is_final();
    match view {
        None if on_record => {
            findings.lose(format!("transfer {id} was answered {status} as entry {seq} and is not there"));
        }
        Some(view) if !on_record => {
            findings
                .mismatch(format!("transfer {id} was answered {status} and is there: {:?}", view.outcome));
        }
        Some(TransferView { outcome, .. })
            if (outcome.status, outcome.seq, outcome.timestamp_ns) != (status, seq, timestamp_ns) =>
        {
            findings.mismatch(format!(
                "transfer {id} was answered {status} as entry {seq} at {timestamp_ns}, on record is {} as entry {} at {}",
                outcome.status, outcome.seq, outcome.timestamp_ns
            ));
        }
        _ => {}
    }
}

/// Sends all unknown transfers again, and some of those that were acknowledged: nothing may happen twice.
async fn send_again(
    ledger: &impl LedgerCalls,
    round: &mut Round,
    told_before: &[Told],
    positions: &mut ExpectedPositions,
    findings: &mut Findings,
) -> Result<()> {
    let sample_step = (round.told.len() / RESENT_MAX).max(1);
    let numbers: Vec<usize> = (0..round.told.len())
        .filter(|&number| match told_before[number] {
            Told::Unknown => true,
            Told::Answered { .. } => number.is_multiple_of(sample_step),
            Told::NotSent => false,
        })
        .collect();
    for numbers in numbers.chunks(RESENT_PER_REQUEST) {
        let mut left = numbers.to_vec();
        for attempt in 1..=RESENT_ATTEMPTS {
            let outcomes = resend(ledger, round, &left).await?;
            let again = left.iter().copied().zip(outcomes);
            left = again
                .filter(|(number, outcome)| {
                    let answered = judge_resent(round, *number, outcome, positions, findings);
                    if !answered && attempt == RESENT_ATTEMPTS {
                        let id = round.workload.id(*number as u64);
                        findings.mismatch(format!(
                            "transfer {id} sent again is {} time after time",
                            outcome.status
                        ));
                    }
                    !answered
                })
                .map(|(number, _)| number)
                .collect();
            if left.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

async fn resend(ledger: &impl LedgerCalls, round: &Round, numbers: &[usize]) -> Result<Vec<Outcome>> {
    let workload = &round.workload;
    let transfers: Vec<Transfer> = numbers
        .iter()
        .map(|&number| workload.transfer(number as u64, workload.plan(number as u64)))
        .collect();
    let outcomes = ledger.create_transfers(&transfers).await.context("sending transfers again")?;
    ensure!(
        outcomes.len() == transfers.len(),
        "{} transfers sent, {} answered",
        transfers.len(),
        outcomes.len()
    );
    Ok(outcomes)
}

/// Whether the answer to a transfer that was sent again is an outcome, and notes what is wrong with it.
fn judge_resent(
    round: &mut Round,
    number: usize,
    outcome: &Outcome,
    positions: &mut ExpectedPositions,
    findings: &mut Findings,
) -> bool {
    let id = round.workload.id(number as u64);
    let first_status = match outcome.detail {
        RefusalDetail::AlreadyRefused { first_status } if outcome.status == Status::IdAlreadyRefused => {
            first_status
        }
        _ if outcome.status == Status::Exists => Status::Created,
        _ => outcome.status,
    };
    let repeats = outcome.replayed && first_status != outcome.status;
    let is_outcome = repeats || outcome.status == Status::Created || outcome.status.is_final();
    match round.told[number] {
        Told::Answered { status, seq, timestamp_ns } if status == Status::Created || status.is_final() => {
            if outcome.status == Status::Created {
                positions.apply(round.workload.plan(number as u64));
                findings
                    .double(format!("transfer {id}, entry {seq}, was done again as entry {}", outcome.seq));
            } else if !repeats
                || (first_status, outcome.seq, outcome.timestamp_ns) != (status, seq, timestamp_ns)
            {
                findings
                    .mismatch(format!("transfer {id}, {status} as entry {seq}, sent again is {outcome:?}"));
            }
            true
        }
        _ if !is_outcome => {
            let wrong = outcome.status.number() < Status::Contended.number();
            if wrong {
                findings.mismatch(format!("transfer {id} sent again is {}", outcome.status));
            }
            wrong
        }
        _ => {
            if first_status == Status::Created {
                positions.apply(round.workload.plan(number as u64));
            }
            if repeats {
                findings.mismatch(format!("transfer {id} was not there, sent again it is {outcome:?}"));
            }
            let (seq, timestamp_ns) = (outcome.seq, outcome.timestamp_ns);
            round.told[number] = Told::Answered { status: first_status, seq, timestamp_ns };
            true
        }
    }
}

/// Balances are the fold of all transfers found, and the trial balance is balanced.
async fn check_books(
    ledger: &impl LedgerCalls,
    round: &Round,
    positions: &ExpectedPositions,
    moved_before: u128,
    findings: &mut Findings,
) -> Result<()> {
    let population = round.workload.population;
    for (number, view) in (0..).zip(books::balances(ledger, population).await?) {
        if let Some(difference) = positions.difference(population, number, view.as_ref()) {
            findings.mismatch(difference);
        }
    }
    let trial_balance = ledger.trial_balance().await.context("reading the trial balance")?;
    for asset in &trial_balance.assets {
        let (id, totals) = (asset.asset.id, asset.totals);
        if !totals.is_balanced() {
            findings.mismatch(format!("asset {id} does not balance: {totals:?}"));
        }
        let moved = totals.debits_posted.wrapping_sub(moved_before);
        if id == population.asset_id() && moved != positions.moved() {
            findings.mismatch(format!(
                "in asset {id} {moved} was moved, the transfers found sum to {}",
                positions.moved()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger_in_memory::{LedgerInMemory, Lie};
    use crate::workload::Workload;
    use crate::workload::tests::sample;

    /// A ledger and a round of 100 transfers: 0 to 79 acknowledged, 80 to 89 done without an answer, 90 to 94
    /// sent and not done, 95 to 99 never sent. The last two wallets have no funds.
    async fn crashed() -> (LedgerInMemory, Round, ExpectedPositions, u128) {
        let ledger = LedgerInMemory::default();
        let workload = sample(5, 10);
        books::prepare(&ledger, workload.population, 9).await.expect("the ledger takes the population");
        let baseline = books::baseline(&ledger, workload.population).await.expect("the ledger can be read");
        let mut told = vec![Told::NotSent; 100];
        told[80..95].fill(Told::Unknown);
        for number in 0..90 {
            let transfer = workload.transfer(number, workload.plan(number));
            let outcomes = ledger.create_transfers(&[transfer]).await.expect("answered");
            if number < 80 {
                told[number as usize] = (&outcomes[0]).into();
            }
        }
        (ledger, Round { workload, told }, baseline.positions, baseline.totals.debits_posted)
    }

    async fn check_with(lie: impl FnOnce(&Workload) -> Option<Lie>) -> Findings {
        let (ledger, mut round, mut positions, moved_before) = crashed().await;
        if let Some(lie) = lie(&round.workload) {
            ledger.lie(lie);
        }
        let mut findings = Findings::default();
        check(&ledger, &mut round, &mut positions, moved_before, &mut findings)
            .await
            .expect("it can be read");
        assert!(!round.told.contains(&Told::Unknown), "all is resolved");
        check_earlier(&ledger, &round, 1, &mut findings).await.expect("it can be read");
        findings
    }

    #[tokio::test]
    async fn a_ledger_that_kept_all_passes_and_what_was_unknown_is_resolved() {
        let findings = check_with(|_| None).await;
        assert_eq!(findings.first_differences, Vec::<String>::new());
        assert!(findings.passed());
        assert_eq!((findings.acknowledged, findings.unknown, findings.found_after_crash), (80, 15, 10));
        assert!(findings.refused > 0, "wallets without funds are refused");
    }

    /// The first acknowledged transfer that was done.
    fn done(workload: &Workload) -> Transfer {
        let number =
            (0..1_000).find(|&number| workload.plan(number).debit < 9).expect("most wallets have funds");
        workload.transfer(number, workload.plan(number))
    }

    #[tokio::test]
    async fn what_was_lost_doubled_or_changed_is_found() {
        let lost = check_with(|workload| Some(Lie::Undo(done(workload).id))).await;
        assert!(lost.lost >= 1 && lost.doubled >= 1, "gone, and so done again when sent again: {lost:#?}");

        let forgotten = check_with(|workload| Some(Lie::Forget(done(workload).id))).await;
        assert!(forgotten.lost >= 1 && forgotten.mismatches >= 1, "{forgotten:#?}");

        let doubled = check_with(|workload| Some(Lie::Double(done(workload).id))).await;
        assert!(doubled.mismatches >= 2, "both wallets differ: {doubled:#?}");

        let renumbered = check_with(|workload| Some(Lie::Renumber(done(workload).id))).await;
        assert!(renumbered.mismatches >= 1 && renumbered.doubled >= 1, "{renumbered:#?}");

        let unsent = check_with(|workload| Some(Lie::Do(workload.transfer(97, workload.plan(97))))).await;
        assert!(
            unsent.first_differences.iter().any(|difference| difference.contains("never sent")),
            "{unsent:#?}"
        );
    }

    #[tokio::test]
    async fn an_unknown_transfer_of_which_one_side_is_there_is_found() {
        let findings = check_with(|workload| Some(Lie::Credit(workload.population.wallet_id(3)))).await;
        assert!(
            findings.first_differences.iter().any(|difference| difference.contains("holds")),
            "{findings:#?}"
        );
        assert!(!findings.passed());
    }
}
