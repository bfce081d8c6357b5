//! Wallets and assets that were opened under load: those that were acknowledged are there, once and unchanged, and those that
//! are unknown are resolved by sending them again.

use crate::books;
use crate::ledger_calls::LedgerCalls;
use crate::survival::findings::Findings;
use crate::survival::ledger_model::LedgerModel;
use crate::survival::openings::Openings;
use crate::survival::resend::send_again;
use crate::survival::told::{Told, compare_outcome};
use anyhow::{Context, Result, ensure};
use client::NewAsset;
use client::ledger::{AssetId, NewWallet, Outcome, RefusalDetail, Status};
use std::collections::BTreeSet;

/// What is new since the round began.
pub(crate) fn count_openings(before: &Openings, after: &Openings, findings: &mut Findings) {
    let known = |openings: &Openings, wanted: fn(Told) -> bool| {
        let wallets = openings.wallets().iter().filter(|wallet| wanted(wallet.told)).count();
        (wallets + openings.assets.iter().filter(|&&told| wanted(told)).count()) as u64
    };
    findings.created += known(after, Told::is_done).saturating_sub(known(before, Told::is_done));
    findings.unknown += known(after, |told| told == Told::Unknown);
}

/// All wallets that were ever opened under load.
pub(crate) async fn look_up_wallets(
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
        ensure!(views.len() == ids.len(), "{} wallets looked up, {} answered", ids.len(), views.len());
        for ((&index, terms), view) in part.iter().zip(&terms).zip(&views) {
            let told = model.openings.told_of_wallet(index);
            let created = view.as_ref().map(|view| Outcome {
                status: Status::Created,
                replayed: false,
                seq: view.created_seq,
                timestamp_ns: view.created_at_ns,
                detail: RefusalDetail::None,
            });
            compare_outcome(*told, created.as_ref(), || format!("wallet {}", terms.id), findings);
            if let Some(view) = view
                && view.terms != *terms
            {
                findings
                    .mismatch(format!("wallet {} is {:?}, it was sent as {terms:?}", terms.id, view.terms));
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

/// Assets cannot be looked up. Those that are unknown are sent again, and are there already just if the trial balance
/// says so.
pub(crate) async fn settle_assets(
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
pub(crate) async fn send_openings_again(
    ledger: &impl LedgerCalls,
    model: &mut LedgerModel,
    findings: &mut Findings,
) -> Result<()> {
    let assets: Vec<usize> = (0..model.openings.assets.len())
        .filter(|&index| model.openings.assets[index].is_on_record())
        .collect();
    let items: Vec<_> =
        assets.iter().map(|&index| (model.openings.asset(index), model.openings.assets[index])).collect();
    let send = async |assets: &[NewAsset]| ledger.create_assets(assets).await;
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
    let send = async |wallets: &[NewWallet]| ledger.create_wallets(wallets).await;
    // Its asset may have been lost with the crash before anybody was told of it.
    let free = [Status::AssetNotFound];
    let settled = send_again(&items, send, |wallet| format!("wallet {}", wallet.id), &free, findings).await?;
    for (index, settled) in wallets.into_iter().zip(settled) {
        *model.openings.told_of_wallet(index) = settled.told;
    }
    Ok(())
}
