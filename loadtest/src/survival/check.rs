//! After the load of a round has ended, with or without a crash: is everything there that was acknowledged, once and
//! unchanged, and is everything else either wholly there or not at all?

use crate::books;
use crate::ledger_calls::LedgerCalls;
use crate::survival::check_books::{check_books, check_entries};
use crate::survival::check_openings::{count_openings, look_up_wallets, send_openings_again, settle_assets};
use crate::survival::findings::Findings;
use crate::survival::ledger_model::LedgerModel;
use crate::survival::openings::Openings;
use crate::survival::resend::send_again;
use crate::survival::round::Round;
use crate::survival::told::{Told, compare};
use crate::verification::fields_differ;
use anyhow::Result;
use client::ledger::{Status, Transfer};

/// Acknowledged transfers of a round that are sent again, evenly spread over it.
const RESENT_MAX: usize = 2_000;

/// Of earlier rounds, how many are sent again after each restart.
const ARCHIVED_RESENT_MAX: usize = 500;

/// Checks the round whose load has ended, and resolves what is unknown of it by sending it again. Afterwards the model
/// knows of everything what became of it.
pub(crate) async fn check_round(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    mut round: Round,
    findings: &mut Findings,
) -> Result<()> {
    findings.absorb(std::mem::take(&mut round.heard));
    let openings = std::mem::replace(&mut round.openings, Openings::new(model.population));
    let before = std::mem::replace(&mut model.openings, openings);
    count_openings(&before, &model.openings, findings);
    let told_before = round.told.clone();

    let mut entries = Vec::with_capacity(round.told.len());
    look_up_transfers(ledger, model, &mut round, &mut entries, findings).await?;
    look_up_wallets(ledger, model, &mut entries, findings).await?;
    check_entries(&mut entries, findings);
    let books = check_books(ledger, model, findings).await?;
    round.reads.check(&round.workload, &books.views, findings);
    settle_assets(ledger, model, &books.assets, findings).await?;

    send_transfers_again(ledger, model, &mut round, &told_before, findings).await?;
    send_openings_again(ledger, model, findings).await?;
    check_books(ledger, model, findings).await?;
    model.archive.add(&round);
    Ok(())
}

/// What was told in earlier rounds, at most so many of it, evenly spread: it is still so, and some of it is sent again.
pub(crate) async fn check_archive(
    ledger: &impl LedgerCalls,
    model: &LedgerModel,
    count_max: usize,
    findings: &mut Findings,
) -> Result<()> {
    let archived = model.archive.spread(count_max);
    let known = |place: usize| model.archive.workload_and_number(&archived[place]);
    let ids = (0..archived.len()).map(|place| {
        let (workload, number) = known(place);
        workload.id(number)
    });
    books::lookup_transfers(ledger, ids, |place, view| {
        let (workload, number) = known(place);
        findings.looked_up_again += 1;
        compare(
            archived[place].told,
            view.as_ref(),
            || format!("transfer {}", workload.id(number)),
            findings,
        );
        if let Some(difference) = view.and_then(|view| fields_differ(workload, number, &view)) {
            findings.mismatch(difference);
        }
    })
    .await?;
    let again: Vec<(Transfer, Told)> = model
        .archive
        .spread(ARCHIVED_RESENT_MAX)
        .iter()
        .filter(|archived| archived.told.is_on_record())
        .map(|archived| {
            let (workload, number) = model.archive.workload_and_number(archived);
            (workload.transfer(number, workload.plan(number)), archived.told)
        })
        .collect();
    send_again(
        &again,
        async |transfers| ledger.create_transfers(transfers).await,
        transfer_name,
        &[],
        findings,
    )
    .await
    .map(drop)
}

fn transfer_name(transfer: &Transfer) -> String {
    format!("transfer {}", transfer.id)
}

/// Every transfer of the round, by id. Unknown ones that are found count as answered from here on.
async fn look_up_transfers(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    round: &mut Round,
    entries: &mut Vec<(u64, u64)>,
    findings: &mut Findings,
) -> Result<()> {
    let Round { workload, told, .. } = round;
    let workload = &*workload;
    let ids = (0..told.len()).map(|number| workload.id(number as u64));
    books::lookup_transfers(ledger, ids, |place, view| {
        let number = place as u64;
        let told = &mut told[place];
        match told {
            Told::Answered { status, .. } => {
                findings.acknowledged += 1;
                findings.refused += u64::from(!status.is_success());
            }
            Told::Unknown => findings.unknown += 1,
            Told::NotSent => {}
        }
        compare(*told, view.as_ref(), || format!("transfer {}", workload.id(number)), findings);
        let Some(view) = view else { return };
        entries.push((view.outcome.seq, view.outcome.timestamp_ns));
        if view.outcome.status == Status::Created {
            model.positions.apply(workload.plan(number));
        }
        if let Some(difference) = fields_differ(workload, number, &view) {
            findings.mismatch(difference);
        }
        if *told == Told::Unknown {
            findings.found_after_crash += 1;
            *told = (&view.outcome).into();
        }
    })
    .await
}

/// Sends all unknown transfers of the round again, and some of those that were acknowledged.
async fn send_transfers_again(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    round: &mut Round,
    told_before: &[Told],
    findings: &mut Findings,
) -> Result<()> {
    let step = (round.told.len() / RESENT_MAX).max(1);
    let numbers: Vec<usize> = (0..round.told.len())
        .filter(|&number| match told_before[number] {
            Told::Unknown => true,
            told => told.is_on_record() && number.is_multiple_of(step),
        })
        .collect();
    let transfer = |number: usize| {
        let number = number as u64;
        round.workload.transfer(number, round.workload.plan(number))
    };
    let items: Vec<_> = numbers.iter().map(|&number| (transfer(number), round.told[number])).collect();
    let send = async |transfers: &[Transfer]| ledger.create_transfers(transfers).await;
    let settled = send_again(&items, send, transfer_name, &[], findings).await?;
    for (number, settled) in numbers.into_iter().zip(settled) {
        round.told[number] = settled.told;
        if settled.done_now {
            model.positions.apply(round.workload.plan(number as u64));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
