//! After the load of a round has ended, with or without a crash: is everything there that was acknowledged, once and
//! unchanged, and is everything else either wholly there or not at all?

use crate::books;
use crate::ledger_calls::LedgerCalls;
use crate::survival::findings::Findings;
use crate::survival::ledger_model::LedgerModel;
use crate::survival::openings::Openings;
use crate::survival::resend::send_again;
use crate::survival::round::Round;
use crate::survival::told::{Told, compare, compare_outcome};
use crate::verification::fields_differ;
use anyhow::{Context, Result};
use client::BalanceView;
use client::ledger::{AssetId, Outcome, RefusalDetail, Status, Transfer};
use std::collections::BTreeSet;

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

fn count_openings(before: &Openings, after: &Openings, findings: &mut Findings) {
    let known = |openings: &Openings, wanted: fn(Told) -> bool| {
        let wallets = openings.wallets().iter().filter(|wallet| wanted(wallet.told)).count();
        (wallets + openings.assets.iter().filter(|&&told| wanted(told)).count()) as u64
    };
    findings.created += known(after, Told::is_done).saturating_sub(known(before, Told::is_done));
    findings.unknown += known(after, |told| told == Told::Unknown);
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

/// All wallets that were ever opened under load.
async fn look_up_wallets(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    entries: &mut Vec<(u64, u64)>,
    findings: &mut Findings,
) -> Result<()> {
    let indices: Vec<usize> = (0..model.openings.wallets().len()).collect();
    for part in indices.chunks(books::ITEMS_PER_REQUEST) {
        let terms: Vec<_> = part.iter().map(|&index| model.openings.wallet(index)).collect();
        let ids: Vec<_> = terms.iter().map(|terms| terms.id).collect();
        let views = ledger.lookup_wallets(&ids).await.context("looking wallets up")?;
        anyhow::ensure!(
            views.len() == ids.len(),
            "{} wallets looked up, {} answered",
            ids.len(),
            views.len()
        );
        for ((&index, terms), view) in part.iter().zip(&terms).zip(&views) {
            let told = model.openings.told_of_wallet(index);
            let created = view.as_ref().map(|view| Outcome {
                status: Status::Created,
                replayed: false,
                seq: view.wallet.created_seq,
                timestamp_ns: view.wallet.created_at_ns,
                detail: RefusalDetail::None,
            });
            compare_outcome(*told, created.as_ref(), || format!("wallet {}", terms.id), findings);
            if let Some(view) = view
                && view.wallet.terms != *terms
            {
                findings
                    .mismatch(format!("wallet {} is {:?}, it was sent as {terms:?}", terms.id, view.wallet));
            }
            let Some(created) = created else { continue };
            entries.push((created.seq, created.timestamp_ns));
            if *told == Told::Unknown {
                findings.found_after_crash += 1;
                *told = (&created).into();
            }
        }
    }
    Ok(())
}

/// No two things share an entry, and time goes with the order of entries.
fn check_entries(entries: &mut [(u64, u64)], findings: &mut Findings) {
    entries.sort_unstable();
    for pair in entries.windows(2) {
        let ((seq, before_ns), (next_seq, after_ns)) = (pair[0], pair[1]);
        if seq == next_seq {
            findings.double(format!("entry {seq} is on record twice"));
        } else if before_ns >= after_ns {
            findings
                .mismatch(format!("entry {next_seq} is no later than entry {seq}: {after_ns}, {before_ns}"));
        }
    }
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

/// Assets cannot be looked up. Those that are unknown are sent again, and are there already just if the trial balance
/// says so.
async fn settle_assets(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    present: &BTreeSet<AssetId>,
    findings: &mut Findings,
) -> Result<()> {
    for index in 0..model.openings.assets.len() {
        if model.openings.assets[index] != Told::Unknown {
            continue;
        }
        let asset = model.openings.asset(index);
        let outcomes =
            ledger.create_assets(std::slice::from_ref(&asset)).await.context("creating an asset")?;
        let outcome = outcomes.first().context("one asset was sent, none answered")?;
        let was_there = outcome.status == Status::Exists;
        if was_there != present.contains(&asset.id) || !outcome.status.is_success() {
            let there = if was_there { "not " } else { "" };
            findings.mismatch(format!("asset {} was {there}there, sent again it is {outcome:?}", asset.id));
        }
        findings.found_after_crash += u64::from(was_there);
        model.openings.assets[index] = outcome.into();
    }
    Ok(())
}

/// Sends all unknown wallets again, and all wallets and assets that are there: they are few.
async fn send_openings_again(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    findings: &mut Findings,
) -> Result<()> {
    let assets: Vec<usize> = (0..model.openings.assets.len())
        .filter(|&index| model.openings.assets[index].is_on_record())
        .collect();
    let items: Vec<_> =
        assets.iter().map(|&index| (model.openings.asset(index), model.openings.assets[index])).collect();
    let send = async |assets: &[client::NewAsset]| ledger.create_assets(assets).await;
    let settled = send_again(&items, send, |asset| format!("asset {}", asset.id), &[], findings).await?;
    for (index, settled) in assets.into_iter().zip(settled) {
        model.openings.assets[index] = settled.told;
    }
    let known = |told: Told| told == Told::Unknown || told.is_on_record();
    let wallets: Vec<usize> = (0..model.openings.wallets().len())
        .filter(|&index| known(model.openings.wallets()[index].told))
        .collect();
    let items: Vec<_> = wallets
        .iter()
        .map(|&index| (model.openings.wallet(index), model.openings.wallets()[index].told))
        .collect();
    let send = async |wallets: &[client::ledger::NewWallet]| ledger.create_wallets(wallets).await;
    // Its asset may have been lost with the crash before anybody was told of it.
    let free = [Status::AssetNotFound];
    let settled = send_again(&items, send, |wallet| format!("wallet {}", wallet.id), &free, findings).await?;
    for (index, settled) in wallets.into_iter().zip(settled) {
        *model.openings.told_of_wallet(index) = settled.told;
    }
    Ok(())
}

/// What the books said.
struct Books {
    views: Vec<Option<BalanceView>>,
    assets: BTreeSet<AssetId>,
}

/// Balances are the fold of all transfers found, the trial balance is balanced, and all assets are in it.
async fn check_books(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    findings: &mut Findings,
) -> Result<Books> {
    let everyone = model.population.and_further(model.openings.wallets().len());
    let views = books::balances(ledger, everyone).await?;
    for (number, view) in (0..).zip(&views) {
        if let Some(difference) = model.difference(number, view.as_ref()) {
            findings.mismatch(difference);
        }
    }
    let trial_balance = ledger.trial_balance().await.context("reading the trial balance")?;
    model.last_seq = trial_balance.as_of_seq;
    let mut assets = BTreeSet::new();
    for asset in &trial_balance.assets {
        let (id, totals) = (asset.asset.id, asset.totals);
        assets.insert(id);
        if !totals.is_balanced() {
            findings.mismatch(format!("asset {id} does not balance: {totals:?}"));
        }
        let moved = totals.debits_posted.wrapping_sub(model.moved_before);
        if id == model.population.asset_id() && moved != model.positions.moved() {
            findings.mismatch(format!(
                "in asset {id} {moved} was moved, the transfers found sum to {}",
                model.positions.moved()
            ));
        }
    }
    if !assets.contains(&model.population.asset_id()) {
        findings.lose("the asset of the wallets is not there".to_owned());
    }
    for (index, &told) in (0_u32..).zip(&model.openings.assets) {
        let id = model.population.further_asset_id(index);
        if told.is_done() && !assets.contains(&id) {
            findings.lose(format!("asset {id} was created and is not there"));
        } else if told.is_never_there() && assets.contains(&id) {
            findings.mismatch(format!("asset {id} was not created and is there"));
        }
    }
    Ok(Books { views, assets })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
