//! Wallets and assets that are created under load, and what was told of each. Their numbers go on where the wallets of
//! the population end, so that transfers can name them before they are there.

use crate::population::Population;
use crate::survival::told::Told;
use client::NewAsset;
use client::ledger::{AssetId, NewWallet};
use rand::Rng;
use rand::rngs::SmallRng;
use std::ops::Range;

/// The wallets that one round opens, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newborns {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Newborns {
    /// One of them, by chance.
    pub(crate) fn one(self, random: &mut SmallRng) -> u32 {
        self.first + random.random_range(0..self.count)
    }
}

/// All of them, over all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Openings {
    population: Population,
    /// What was told of each asset, by its index.
    pub(crate) assets: Vec<Told>,
    wallets: Vec<OpenedWallet>,
    /// Up to here they have been asked for.
    assets_begun: usize,
    wallets_begun: usize,
}

/// One wallet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenedWallet {
    pub(crate) asset: AssetId,
    pub(crate) told: Told,
}

impl Openings {
    pub(crate) fn new(population: Population) -> Self {
        Self { population, assets: Vec::new(), wallets: Vec::new(), assets_begun: 0, wallets_begun: 0 }
    }

    /// Wallets to be opened from now on, in the asset of the population.
    pub(crate) fn reserve_wallets(&mut self, count: u32) -> Newborns {
        self.reserve((0..count).map(|_| self.population.asset_id()).collect())
    }

    /// Assets to be created from now on, and wallets to be opened in them.
    pub(crate) fn reserve_assets(&mut self, count: u32, wallets_each: u32) -> Newborns {
        // Those that an earlier round did not come to are left out, so that wallets and assets stay side by side.
        self.assets_begun = self.assets.len();
        let first = self.assets.len() as u32;
        self.assets.resize(self.assets.len() + count as usize, Told::NotSent);
        let assets = (first..first + count).map(|index| self.population.further_asset_id(index));
        self.reserve(assets.flat_map(|asset| vec![asset; wallets_each as usize]).collect())
    }

    fn reserve(&mut self, assets: Vec<AssetId>) -> Newborns {
        self.wallets_begun = self.wallets.len();
        let newborns = Newborns {
            first: self.population.wallets() + 1 + self.wallets.len() as u32,
            count: assets.len() as u32,
        };
        self.wallets.extend(assets.into_iter().map(|asset| OpenedWallet { asset, told: Told::NotSent }));
        newborns
    }

    /// The next asset to be created, which from now on is unknown.
    pub(crate) fn begin_asset(&mut self) -> Option<usize> {
        let index = self.assets_begun;
        *self.assets.get_mut(index)? = Told::Unknown;
        self.assets_begun += 1;
        Some(index)
    }

    /// The next wallets to be opened, by their indices; from now on they are unknown.
    pub(crate) fn begin_wallets(&mut self, count: usize) -> Range<usize> {
        let indices = self.wallets_begun..(self.wallets_begun + count).min(self.wallets.len());
        for wallet in &mut self.wallets[indices.clone()] {
            wallet.told = Told::Unknown;
        }
        self.wallets_begun = indices.end;
        indices
    }

    /// How many have been asked for.
    pub(crate) fn wallets_begun(&self) -> usize {
        self.wallets_begun
    }

    pub(crate) fn wallets(&self) -> &[OpenedWallet] {
        &self.wallets
    }

    pub(crate) fn told_of_wallet(&mut self, index: usize) -> &mut Told {
        &mut self.wallets[index].told
    }

    /// The asset with this index, to be created.
    pub(crate) fn asset(&self, index: usize) -> NewAsset {
        self.population.further_asset(index as u32)
    }

    /// The number of the wallet with this index.
    pub(crate) fn wallet_number(&self, index: usize) -> u32 {
        self.population.wallets() + 1 + index as u32
    }

    /// The index of the wallet with this number; `None` for one of the population.
    pub(crate) fn wallet_index(&self, number: u32) -> Option<usize> {
        number.checked_sub(self.population.wallets() + 1).map(|index| index as usize)
    }

    /// The wallet with this index, to be opened.
    pub(crate) fn wallet(&self, index: usize) -> NewWallet {
        let plain = self.population.plain_wallet(self.wallet_number(index));
        NewWallet { asset: self.wallets[index].asset, ..plain }
    }

    /// Wallets that were opened; for sizing.
    pub(crate) fn wallets_done(&self) -> usize {
        self.wallets.iter().filter(|wallet| wallet.told.is_done()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn wallets_and_assets_are_asked_for_in_turn_and_none_twice() {
        let population = Population::varied(1, 20);
        let mut openings = Openings::new(population);
        assert_eq!(openings.reserve_wallets(5), Newborns { first: 21, count: 5 });
        assert_eq!(openings.begin_asset(), None, "there are none to be created");
        assert_eq!(openings.begin_wallets(3), 0..3);
        assert_eq!(openings.begin_wallets(3), 3..5);
        assert!(openings.begin_wallets(3).is_empty());
        assert_eq!(openings.reserve_assets(2, 2), Newborns { first: 26, count: 4 });
        assert_eq!((openings.begin_asset(), openings.begin_wallets(2)), (Some(0), 5..7));
        assert_eq!((openings.begin_asset(), openings.begin_wallets(2)), (Some(1), 7..9));
        assert_eq!(openings.begin_asset(), None);
        assert_eq!(openings.wallet(7).asset, openings.asset(1).id);
        assert_eq!(openings.wallet_index(20), None);
        assert_eq!(openings.wallet_index(openings.wallet_number(8)), Some(8));
        let ids: HashSet<_> = (0..9).map(|index| openings.wallet(index).id).collect();
        assert_eq!(ids.len(), 9);
        for index in 0..9 {
            openings.wallet(index).check_shape().expect("the shape is right");
        }
        openings.asset(1).to_asset().expect("the shape is right");
    }

    #[test]
    fn a_round_begins_with_its_own_also_when_the_one_before_did_not_come_to_all_of_them() {
        let mut openings = Openings::new(Population::varied(1, 20));
        openings.reserve_assets(3, 2);
        openings.begin_asset();
        openings.begin_wallets(2);
        let newborns = openings.reserve_assets(1, 2);
        assert_eq!((openings.begin_asset(), openings.begin_wallets(2)), (Some(3), 6..8));
        assert_eq!(newborns.first, openings.wallet_number(6));
        assert_eq!(openings.wallets()[2].told, Told::NotSent);
    }
}
