//! The books as a whole: every wallet holds what the model says, everything balances, and every entry has a number and a
//! time of its own.

use crate::books;
use crate::ledger_calls::LedgerCalls;
use crate::refusing_wallets::RefusingWallet;
use crate::survival::findings::Findings;
use crate::survival::ledger_model::LedgerModel;
use anyhow::{Context, Result};
use client::BalanceView;
use client::ledger::AssetId;
use std::collections::BTreeSet;

/// What the books said.
#[derive(Debug)]
pub(crate) struct Books {
    /// By number of the wallet.
    pub(crate) views: Vec<Option<BalanceView>>,
    /// All that are in the trial balance.
    pub(crate) assets: BTreeSet<AssetId>,
}

/// Balances are the fold of all orders found, the trial balance is balanced, and all assets are in it.
pub(crate) async fn check_books(
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
    let refusing = books::refusing_wallets(ledger, model.population).await?;
    for ((wallet, before), view) in RefusingWallet::ALL.into_iter().zip(&model.refusing).zip(refusing) {
        let now = view.map(|view| view.position);
        if now != *before {
            findings.mismatch(format!(
                "the wallet {wallet:?} refuses everything, it held {before:?} and holds {now:?}"
            ));
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
        if id != model.population.asset_id() {
            continue;
        }
        let moved = totals.debits_posted.wrapping_sub(model.totals_before.debits_posted);
        if moved != model.positions.moved() {
            findings.mismatch(format!(
                "in asset {id} {moved} was moved, the orders found sum to {}",
                model.positions.moved()
            ));
        }
        let held = totals.debits_pending.wrapping_sub(model.totals_before.debits_pending).cast_signed();
        if held != model.positions.held() {
            findings.mismatch(format!(
                "in asset {id} {held} is held, the orders found sum to {}",
                model.positions.held()
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

/// No two things share an entry, and time goes with the order of entries.
pub(crate) fn check_entries(entries: &mut [(u64, u64)], findings: &mut Findings) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_unique_and_time_goes_with_them() {
        let check = |entries: &[(u64, u64)], expected: (u64, u64)| {
            let mut findings = Findings::default();
            check_entries(&mut entries.to_vec(), &mut findings);
            assert_eq!((findings.doubled, findings.mismatches), expected, "{entries:?}");
        };
        check(&[], (0, 0));
        check(&[(9, 90), (3, 30), (4, 31)], (0, 0));
        check(&[(3, 30), (4, 40), (3, 30)], (1, 0));
        check(&[(3, 30), (4, 30)], (0, 1));
        check(&[(3, 30), (4, 29)], (0, 1));
    }
}
