//! After the load of a round has ended, with or without a crash: is everything there that was acknowledged, once and
//! unchanged, and is everything else either wholly there or not at all?

use crate::books;
use crate::ledger_calls::LedgerCalls;
use crate::orders;
use crate::progress_of_orders;
use crate::survival::check_books::{check_books, check_entries};
use crate::survival::check_openings::{count_openings, look_up_wallets, send_openings_again, settle_assets};
use crate::survival::findings::Findings;
use crate::survival::ledger_model::LedgerModel;
use crate::survival::openings::Openings;
use crate::survival::resend::{Settled, send_again};
use crate::survival::round::Round;
use crate::survival::told::{Told, compare};
use crate::verification::{answer_differs, order_differs, still_open};
use crate::workload::Workload;
use anyhow::Result;
use client::TransferView;
use client::ledger::{Order, Status};

/// Acknowledged orders of a round that are sent again, evenly spread over it.
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

    await_expiry(ledger, &round, findings).await?;
    let mut entries = Vec::with_capacity(round.told.len());
    look_up_orders(ledger, model, &mut round, &mut entries, findings).await?;
    look_up_wallets(ledger, model, &mut entries, findings).await?;
    check_entries(&mut entries, findings);
    let books = check_books(ledger, model, findings).await?;
    round.reads.check(&round.workload, &books.views, findings);
    settle_assets(ledger, model, &books.assets, findings).await?;

    send_orders_again(ledger, model, &mut round, &told_before, findings).await?;
    await_expiry(ledger, &round, findings).await?;
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
        compare(archived[place].told, view.as_ref(), || format!("order {}", workload.id(number)), findings);
        if let Some(difference) = view.and_then(|view| order_differs(workload, number, &view)) {
            findings.mismatch(difference);
        }
    })
    .await?;
    let again: Vec<(Order, Told)> = model
        .archive
        .spread(ARCHIVED_RESENT_MAX)
        .iter()
        .filter(|archived| archived.told.is_on_record())
        .map(|archived| {
            let (workload, number) = model.archive.workload_and_number(archived);
            (workload.planned(number), archived.told)
        })
        .collect();
    submit_again(ledger, again, findings).await.map(drop)
}

/// Sends these again, those of a kind together; what is known of each then, in their order.
async fn submit_again(
    ledger: &impl LedgerCalls,
    items: Vec<(Order, Told)>,
    findings: &mut Findings,
) -> Result<Vec<Settled>> {
    let mut settled: Vec<Settled> =
        items.iter().map(|&(_, told)| Settled { told, done_now: false }).collect();
    for group in orders::by_kind(items, |(order, _)| order) {
        let (places, items): (Vec<usize>, Vec<(Order, Told)>) = group.into_iter().unzip();
        let send = async |orders: &[Order]| ledger.submit(&orders.iter().cloned().collect()).await;
        let name = |order: &Order| format!("order {}", order.id());
        // What is refused for its shape is never on record, so it is refused so every time.
        let free = [Status::AmountMustNotBeZero, Status::LegsDoNotBalance];
        let known = send_again(&items, send, name, &free, findings).await?;
        for (place, known) in places.into_iter().zip(known) {
            settled[place] = known;
        }
    }
    Ok(settled)
}

/// Waits until the holds of the round have expired that are left to, if they are there.
async fn await_expiry(ledger: &impl LedgerCalls, round: &Round, findings: &mut Findings) -> Result<()> {
    if round.workload.steps() == 1 {
        return Ok(());
    }
    let sent = (0_u64..).zip(&round.told).filter(|(_, told)| **told != Told::NotSent);
    let left = sent
        .map(|(number, _)| number)
        .filter(|&number| round.workload.find(number).is_some_and(|plan| plan.is_left_to_expire()));
    for text in still_open(ledger, &round.workload, left.collect()).await? {
        findings.mismatch(text);
    }
    Ok(())
}

/// Every order of the round, by id. Unknown ones that are found count as answered from here on.
async fn look_up_orders(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    round: &mut Round,
    entries: &mut Vec<(u64, u64)>,
    findings: &mut Findings,
) -> Result<()> {
    let Round { workload, told, .. } = round;
    let workload = &*workload;
    let ids = (0..told.len()).map(|number| workload.id(number as u64));
    // Of scripts: what has become of an order follows from those after it.
    let mut views: Vec<(u64, TransferView)> = Vec::new();
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
        compare(*told, view.as_ref(), || format!("order {}", workload.id(number)), findings);
        let Some(view) = view else { return };
        entries.push((view.outcome.seq, view.outcome.timestamp_ns));
        let differences = [order_differs(workload, number, &view), answer_differs(workload, number, &view)];
        for difference in differences.into_iter().flatten() {
            findings.mismatch(difference);
        }
        if view.outcome.status == Status::Created
            && let Some(plan) = workload.find(number)
        {
            model.positions.apply(&plan.effect);
        }
        if *told == Told::Unknown {
            findings.found_after_crash += 1;
            *told = (&view.outcome).into();
        }
        if workload.steps() > 1 {
            views.push((number, view));
        }
    })
    .await?;
    check_progress(workload, &views, findings);
    Ok(())
}

/// What has become of each order that was found is what those did about it that were found, too.
fn check_progress(workload: &Workload, views: &[(u64, TransferView)], findings: &mut Findings) {
    let is_done = |number: u64| {
        let place = views.binary_search_by_key(&number, |&(number, _)| number);
        place.is_ok_and(|place| views[place].1.outcome.status == Status::Created)
    };
    for (number, view) in views.iter().filter(|(number, _)| workload.find(*number).is_some()) {
        if let Some(difference) = progress_of_orders::difference(workload, *number, view, is_done) {
            findings.mismatch(difference);
        }
    }
}

/// Sends all unknown orders of the round again, and some of those that were acknowledged.
async fn send_orders_again(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    round: &mut Round,
    told_before: &[Told],
    findings: &mut Findings,
) -> Result<()> {
    let step = (round.told.len() / RESENT_MAX).max(1);
    // Scripts are as many numbers long, and from each of their steps some are to be taken.
    let is_taken = |number: usize| (number / round.workload.steps() as usize).is_multiple_of(step);
    let numbers: Vec<usize> = (0..round.told.len())
        .filter(|&number| match told_before[number] {
            Told::Unknown => true,
            told => told.is_on_record() && is_taken(number),
        })
        .collect();
    let items = numbers.iter().map(|&number| (round.workload.planned(number as u64), round.told[number]));
    let settled = submit_again(ledger, items.collect(), findings).await?;
    for (number, settled) in numbers.into_iter().zip(settled) {
        round.told[number] = settled.told;
        let plan = round.workload.plan(number as u64);
        if settled.done_now {
            model.positions.apply(&plan.effect);
        }
        if let Told::Answered { status, .. } = settled.told
            && !plan.expected.allows_status(status)
        {
            let id = round.workload.id(number as u64);
            findings.mismatch(format!("order {id} must be {:?}, it is {status}", plan.expected));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
