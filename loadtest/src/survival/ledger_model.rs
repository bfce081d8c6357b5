//! What the ledger must hold by all that it has said since its data directory was made.

use crate::books::Baseline;
use crate::expected_positions::ExpectedPositions;
use crate::population::Population;
use crate::survival::archive::Archive;
use crate::survival::load_kind::{LoadKind, LoadPlan};
use crate::survival::openings::Openings;
use crate::survival::reads::Reads;
use crate::survival::round::Round;
use client::BalanceView;
use client::ledger::Position;
use client::ledger::fold::AssetTotals;

/// The model.
#[derive(Debug)]
pub(crate) struct LedgerModel {
    pub(crate) population: Population,
    pub(crate) positions: ExpectedPositions,
    pub(crate) openings: Openings,
    pub(crate) archive: Archive,
    /// The totals of the asset of the population when the model began.
    pub(crate) totals_before: AssetTotals,
    /// What the wallets hold that refuse everything.
    pub(crate) refusing: Vec<Option<Position>>,
    /// The newest entry that was seen.
    pub(crate) last_seq: u64,
}

impl LedgerModel {
    /// Of a ledger on which nothing but the population has been prepared. At most `archived_max` orders of earlier
    /// rounds are kept.
    pub(crate) fn new(population: Population, baseline: Baseline, archived_max: usize) -> Self {
        Self {
            population,
            positions: baseline.positions,
            openings: Openings::new(population),
            archive: Archive::new(archived_max),
            totals_before: baseline.totals,
            refusing: baseline.refusing,
            last_seq: 0,
        }
    }

    /// A new round, to be given back to the checks when its load has ended.
    pub(crate) fn begin(&mut self, kind: LoadKind, plan: LoadPlan) -> Round {
        let workload = kind.workload(self.population, &mut self.openings, plan.seed);
        self.positions.extend_to(self.population.everyone() + self.openings.wallets().len());
        let reads = Reads::new(self.positions.clone());
        Round::new(kind, plan, workload, self.openings.clone(), reads)
    }

    /// What is wrong with the wallet that has this number, if anything.
    pub(crate) fn difference(&self, number: u32, found: Option<&BalanceView>) -> Option<String> {
        if let Some(index) = self.openings.wallet_index(number)
            && !self.openings.wallets()[index].told.is_done()
        {
            // It may be there if no answer told; then its own check says so. Money can only be in it if it is.
            return found
                .filter(|_| self.openings.wallets()[index].told.is_never_there())
                .map(|view| format!("wallet number {number} was not opened and is there: {view:?}"));
        }
        self.positions.difference(self.population, number, found)
    }
}
