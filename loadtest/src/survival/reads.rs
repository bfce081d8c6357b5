//! Reads under load, and what they must show: at least what was acknowledged before they were sent, never less than an
//! earlier reply has shown, and nothing that is gone after a crash.

use crate::expected_positions::ExpectedPositions;
use crate::planned_order::Effect;
use crate::survival::findings::Findings;
use crate::survival::told::{Told, compare};
use crate::verification::order_differs;
use crate::workload::Workload;
use client::ledger::{Position, TransferId, WalletId};
use client::{BalanceView, TransferView, TrialBalance};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::HashMap;

/// Wallets or transfers in one read.
const ITEMS_MAX: usize = 20;

/// Of all reads, from 0 to 1; the rest are trial balances.
const BALANCES_SHARE: f64 = 0.6;
const TRANSFERS_SHARE: f64 = 0.37;

/// What was read, and what a reply must show at least.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    /// What was acknowledged.
    acknowledged: ExpectedPositions,
    /// The most that replies have shown, by number of the wallet.
    seen: HashMap<u32, Position>,
}

/// One read, with what is known when it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// Each with the least that it must show.
    Balances(Vec<(u32, Position)>),
    Transfers(Vec<(u64, Told)>),
    TrialBalance,
}

impl Reads {
    /// From where the wallets stand.
    pub(crate) fn new(positions: ExpectedPositions) -> Self {
        Self { acknowledged: positions, seen: HashMap::new() }
    }

    /// An order was acknowledged as done that does this.
    pub(crate) fn acknowledge(&mut self, effect: &Effect) {
        self.acknowledged.apply(effect);
    }

    /// The next read, by chance.
    pub(crate) fn next(&self, workload: &Workload, told: &[Told], random: &mut SmallRng) -> Read {
        let items = random.random_range(1..=ITEMS_MAX);
        let kind: f64 = random.random();
        if kind < BALANCES_SHARE || told.is_empty() {
            let wallets = (0..items).map(|_| random.random_range(1..=workload.population.wallets()));
            return Read::Balances(wallets.map(|number| (number, self.least(number))).collect());
        }
        if kind < BALANCES_SHARE + TRANSFERS_SHARE {
            let numbers = (0..items).map(|_| random.random_range(0..told.len()));
            return Read::Transfers(numbers.map(|number| (number as u64, told[number])).collect());
        }
        Read::TrialBalance
    }

    /// What a reply that is asked for now must show of this wallet at least.
    fn least(&self, number: u32) -> Position {
        let acknowledged = self.acknowledged.expected(number);
        self.seen.get(&number).map_or(acknowledged, |seen| most(*seen, acknowledged))
    }

    pub(crate) fn note_balances(
        &mut self,
        workload: &Workload,
        asked: &[(u32, Position)],
        views: &[Option<BalanceView>],
        findings: &mut Findings,
    ) {
        findings.reads += 1;
        if views.len() != asked.len() {
            findings.mismatch(format!("{} balances were read, {} answered", asked.len(), views.len()));
        }
        for (&(number, least), view) in asked.iter().zip(views) {
            let wallet = workload.population.wallet_id(number);
            let Some(view) = view else {
                findings.mismatch(format!("wallet {wallet} was read under load and is gone"));
                continue;
            };
            if view.balance != view.position.balance() {
                findings.mismatch(format!("wallet {wallet} was read as {view:?}, which contradicts itself"));
            }
            if most(view.position, least) != view.position {
                findings.mismatch(format!(
                    "wallet {wallet} was read as {:?} after at least {least:?} was known",
                    view.position
                ));
            }
            let seen = self.seen.entry(number).or_default();
            *seen = most(*seen, view.position);
        }
    }

    pub(crate) fn note_transfers(
        workload: &Workload,
        asked: &[(u64, Told)],
        views: &[Option<TransferView>],
        findings: &mut Findings,
    ) {
        findings.reads += 1;
        if views.len() != asked.len() {
            findings.mismatch(format!("{} transfers were read, {} answered", asked.len(), views.len()));
        }
        for (&(number, told), view) in asked.iter().zip(views) {
            let name = || format!("transfer {}, read under load,", workload.id(number));
            // What was not sent or not answered then may be there by now.
            if told.is_on_record() {
                compare(told, view.as_ref(), name, findings);
            }
            if let Some(difference) = view.as_ref().and_then(|view| order_differs(workload, number, view)) {
                findings.mismatch(difference);
            }
        }
    }

    pub(crate) fn note_trial_balance(trial_balance: &TrialBalance, findings: &mut Findings) {
        findings.reads += 1;
        for asset in &trial_balance.assets {
            if !asset.totals.is_balanced() {
                findings.mismatch(format!("read under load, asset {} does not balance", asset.asset.id));
            }
        }
    }

    /// After a crash: a reply has shown nothing that was not there to stay.
    pub(crate) fn check(&self, workload: &Workload, views: &[Option<BalanceView>], findings: &mut Findings) {
        for (&number, &seen) in &self.seen {
            let position = views[number as usize].map(|view| view.position).unwrap_or_default();
            if most(position, seen) != position {
                findings.mismatch(format!(
                    "wallet {} was read as {seen:?} before the crash and stands at {position:?} after it",
                    workload.population.wallet_id(number)
                ));
            }
        }
    }
}

impl Read {
    pub(crate) fn wallets(asked: &[(u32, Position)], workload: &Workload) -> Vec<WalletId> {
        asked.iter().map(|&(number, _)| workload.population.wallet_id(number)).collect()
    }

    pub(crate) fn transfers(asked: &[(u64, Told)], workload: &Workload) -> Vec<TransferId> {
        asked.iter().map(|&(number, _)| workload.id(number)).collect()
    }
}

/// What was posted only ever grows; what is held comes and goes.
fn most(one: Position, other: Position) -> Position {
    Position {
        debits_posted: one.debits_posted.max(other.debits_posted),
        credits_posted: one.credits_posted.max(other.credits_posted),
        ..one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned_order::PlannedTransfer;
    use crate::workload::tests::sample;

    fn view(debits_posted: u128, credits_posted: u128) -> BalanceView {
        let position = Position { debits_posted, credits_posted, ..Position::default() };
        BalanceView { balance: position.balance(), available: None, position, as_of_seq: 9 }
    }

    #[test]
    fn a_read_shows_what_was_acknowledged_and_what_was_shown_before() {
        let workload = sample(1, 5);
        let mut reads = Reads::new(ExpectedPositions::new(vec![Position::default(); 6]));
        let mut note = |acknowledged: Option<Effect>, shown: Option<BalanceView>| {
            if let Some(effect) = acknowledged {
                reads.acknowledge(&effect);
            }
            let mut findings = Findings::default();
            let asked = [(1, reads.least(1))];
            reads.note_balances(&workload, &asked, &[shown], &mut findings);
            findings.mismatches
        };
        let paid = |amount| Some(Effect::Move(PlannedTransfer { debit: 2, credit: 1, amount }));
        assert_eq!(note(None, Some(view(0, 0))), 0);
        assert_eq!(note(paid(10), Some(view(0, 10))), 0);
        assert_eq!(note(paid(5), Some(view(0, 10))), 1, "an acknowledged transfer is not shown");
        assert_eq!(note(None, Some(view(3, 17))), 0, "what is not acknowledged yet may be shown");
        assert_eq!(note(None, Some(view(3, 15))), 1, "it was shown before");
        assert_eq!(note(None, None), 1, "it is gone");
        assert_eq!(note(None, Some(BalanceView { balance: 0, ..view(3, 17) })), 1);
    }

    #[test]
    fn what_was_shown_before_a_crash_is_there_after_it() {
        let workload = sample(1, 5);
        let mut reads = Reads::new(ExpectedPositions::new(vec![Position::default(); 6]));
        let asked = [(1, Position::default())];
        reads.note_balances(&workload, &asked, &[Some(view(3, 17))], &mut Findings::default());
        for (after, expected) in
            [(Some(view(3, 17)), 0), (Some(view(4, 20)), 0), (Some(view(3, 16)), 1), (None, 1)]
        {
            let mut findings = Findings::default();
            reads.check(&workload, &[Some(view(0, 0)), after], &mut findings);
            assert_eq!(findings.mismatches, expected, "{after:?}");
        }
    }
}
