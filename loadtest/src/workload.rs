//! What a run asks for. Every transfer and every read is a pure function of the run and its number, so what was
//! asked for is known again at verification without having been stored.

use crate::distribution::WalletChooser;
use crate::population::{Population, mix};
use crate::survival::openings::Newborns;
use crate::transfer_ids::TransferIds;
use client::ledger::{Transfer, TransferId, WalletId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The largest amount of a transfer; the smallest is 1.
pub(crate) const TRANSFER_AMOUNT_MAX: u32 = 100;

/// What one run asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) population: Population,
    pub(crate) ids: TransferIds,
    chooser: WalletChooser,
    seed: u64,
    /// From 0 to 1.
    read_share: f64,
    /// The number of the wallet that the chooser calls 1.
    first_wallet: u32,
    /// Wallets that are opened while the load runs: in every second transfer, mostly on the credit side.
    newborns: Option<Newborns>,
}

/// How often a newborn takes part, and how often it is then the one that is credited.
const NEWBORN_SHARE: f64 = 0.5;
const NEWBORN_CREDITED_SHARE: f64 = 0.8;

/// A transfer by the numbers of its wallets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct PlannedTransfer {
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) amount: u32,
}

impl Workload {
    /// `read_share` is from 0 to 1.
    pub(crate) fn new(
        population: Population,
        ids: TransferIds,
        chooser: WalletChooser,
        seed: u64,
        read_share: f64,
    ) -> Self {
        Self { population, ids, chooser, seed, read_share, first_wallet: 1, newborns: None }
    }

    /// The same among the wallets from this number on.
    pub(crate) fn among_wallets_from(self, first_wallet: u32) -> Self {
        Self { first_wallet, ..self }
    }

    /// The same, with these taking part, whether they are open yet or not.
    pub(crate) fn with_newborns(self, newborns: Newborns) -> Self {
        Self { newborns: Some(newborns), ..self }
    }

    /// The transfer with this number.
    pub(crate) fn plan(&self, number: u64) -> PlannedTransfer {
        let mut random = SmallRng::seed_from_u64(mix(self.seed) ^ number);
        let (debit, credit) = self.chooser.pair(&mut random);
        let (debit, credit) = (debit + self.first_wallet - 1, credit + self.first_wallet - 1);
        let amount = random.random_range(1..=TRANSFER_AMOUNT_MAX);
        match self.newborns.filter(|_| random.random_bool(NEWBORN_SHARE)) {
            None => PlannedTransfer { debit, credit, amount },
            Some(newborns) => {
                let newborn = newborns.one(&mut random);
                if random.random_bool(NEWBORN_CREDITED_SHARE) {
                    PlannedTransfer { debit, credit: newborn, amount }
                } else {
                    PlannedTransfer { debit: newborn, credit, amount }
                }
            }
        }
    }

    /// The wallet that the request with this number reads; `None` if it makes transfers.
    pub(crate) fn read_of(&self, request: u64) -> Option<WalletId> {
        if self.read_share <= 0.0 {
            return None;
        }
        let mut random = SmallRng::seed_from_u64(!mix(self.seed) ^ request);
        let reads = random.random_bool(self.read_share);
        reads.then(|| self.population.wallet_id(self.chooser.one(&mut random)))
    }

    /// The planned transfer, to be sent.
    pub(crate) fn transfer(&self, number: u64, plan: PlannedTransfer) -> Transfer {
        Transfer {
            id: self.id(number),
            debit_wallet: self.population.wallet_id(plan.debit),
            credit_wallet: self.population.wallet_id(plan.credit),
            asset: self.population.asset_id(),
            amount: u128::from(plan.amount),
            group_id: 0,
            code: 0,
            effective_at_ns: 0,
            metadata: Box::default(),
        }
    }

    /// The id of the transfer with this number.
    pub(crate) fn id(&self, number: u64) -> TransferId {
        self.ids.id(number)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::distribution::Distribution;

    /// A small workload of transfers alone.
    pub(crate) fn sample(seed: u64, wallets: u32) -> Workload {
        let chooser = WalletChooser::new(Distribution::Uniform, wallets);
        Workload::new(Population::new(seed, wallets), TransferIds::unused(), chooser, seed, 0.0)
    }

    #[test]
    fn a_transfer_is_known_again_by_its_number_and_has_the_shape_that_the_ledger_takes() {
        let workload = sample(3, 10);
        for number in 0..1_000 {
            let plan = workload.plan(number);
            assert_eq!(plan, workload.plan(number));
            assert!((1..=TRANSFER_AMOUNT_MAX).contains(&plan.amount));
            workload.transfer(number, plan).check_shape().expect("the shape is right");
        }
        assert_ne!(workload.plan(1), workload.plan(2));
    }

    #[test]
    fn the_share_of_reads_is_as_asked() {
        let workload = Workload { read_share: 0.3, ..sample(3, 10) };
        let reads = (0..100_000).filter(|&request| workload.read_of(request).is_some()).count();
        assert!((29_000..31_000).contains(&reads), "{reads}");
        assert_eq!(sample(3, 10).read_of(1), None);
    }
}
