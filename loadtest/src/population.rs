//! Who takes part in a run: one asset, one system wallet and N wallets, all derived from the seed, so that the
//! next run with the same seed finds them again. Wallet number 0 is the system wallet, 1 to N are the others; numbers
//! above N are for wallets that are opened under load.

use client::NewAsset;
use client::ledger::{AssetId, ImportId, NewWallet, OverdraftLimit, Owner, WalletFlags, WalletId};

/// The wallets of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Population {
    prefix: u64,
    wallets: u32,
    /// Whether the last three tenths have limits of their own.
    varied: bool,
}

/// What wallets of a varied population may overdraw, and what they may hold at most: a few transfers' worth.
const OVERDRAFT_VARIED: u128 = 500;
const BALANCE_MAX_VARIED: u128 = 1_000;

/// The number of the wallet that all money comes from.
pub(crate) const SYSTEM_WALLET: u32 = 0;

impl Population {
    /// The first `wallets` wallets of this seed. More wallets of the same seed include these.
    pub(crate) fn new(seed: u64, wallets: u32) -> Self {
        Self { prefix: mix(seed), wallets, varied: false }
    }

    /// The same, but of the last three tenths, which get no funds, one may overdraw a little, one may not hold much.
    pub(crate) fn varied(seed: u64, wallets: u32) -> Self {
        Self { varied: true, ..Self::new(seed, wallets) }
    }

    /// Wallets up to this number are funded.
    pub(crate) fn funded(self) -> u32 {
        if self.varied { self.wallets - self.wallets * 3 / 10 } else { self.wallets }
    }

    /// With so many more wallets, which were opened under load.
    pub(crate) fn and_further(self, wallets: usize) -> Self {
        Self { wallets: self.wallets + wallets as u32, ..self }
    }

    /// How many wallets there are, the system wallet not counted.
    pub(crate) fn wallets(self) -> u32 {
        self.wallets
    }

    /// How many wallets there are with the system wallet.
    pub(crate) fn everyone(self) -> usize {
        self.wallets as usize + 1
    }

    /// The asset that all of them are in; never 0, which no asset may have.
    pub(crate) fn asset_id(self) -> AssetId {
        AssetId((self.prefix >> 32) as u32 | 1)
    }

    /// The same, to be created.
    pub(crate) fn asset(self) -> NewAsset {
        let id = self.asset_id();
        NewAsset { id, code: format!("LOAD-{:08X}", id.0), scale: 2 }
    }

    /// The wallet with this number.
    pub(crate) fn wallet_id(self, number: u32) -> WalletId {
        // One more than the number: an id of zero is refused, whatever the prefix.
        WalletId((u128::from(self.prefix) << 64) | (u128::from(number) + 1))
    }

    /// The asset of a wallet that is in none of the others'; even, as no other asset of any population is.
    pub(crate) fn foreign_asset_id(self) -> AssetId {
        AssetId(((self.prefix >> 32) as u32 & !1).max(2))
    }

    /// The same, to be created.
    pub(crate) fn foreign_asset(self) -> NewAsset {
        let id = self.foreign_asset_id();
        NewAsset { id, code: format!("ELSE-{:08X}", id.0), scale: 2 }
    }

    /// An asset that is created under load, by its index.
    pub(crate) fn further_asset_id(self, index: u32) -> AssetId {
        // In steps of two it stays odd, so it is never 0.
        AssetId(self.asset_id().0.wrapping_add(2 * (index + 1)))
    }

    /// The same, to be created.
    pub(crate) fn further_asset(self, index: u32) -> NewAsset {
        let id = self.further_asset_id(index);
        NewAsset { id, code: format!("MORE-{:08X}", id.0), scale: 2 }
    }

    /// The wallet with this number, to be created.
    pub(crate) fn wallet(self, number: u32) -> NewWallet {
        let plain = self.plain_wallet(number);
        let tenth = (self.wallets / 10).max(1);
        match number {
            SYSTEM_WALLET => NewWallet { flags: WalletFlags::SYSTEM, ..plain },
            number if number <= self.funded() => plain,
            number if number <= self.funded() + tenth => {
                NewWallet { overdraft_limit: OverdraftLimit::Limited(OVERDRAFT_VARIED), ..plain }
            }
            number if number <= self.funded() + 2 * tenth => {
                NewWallet { balance_max: BALANCE_MAX_VARIED, ..plain }
            }
            _ => plain,
        }
    }

    /// A wallet without anything of its own.
    pub(crate) fn plain_wallet(self, number: u32) -> NewWallet {
        NewWallet {
            id: self.wallet_id(number),
            owner: Owner::Number(0),
            asset: self.asset_id(),
            code: 0,
            flags: WalletFlags::default(),
            overdraft_limit: OverdraftLimit::Limited(0),
            balance_max: 0,
            metadata: Box::default(),
            import: ImportId::NONE,
        }
    }
}

/// Spreads a number over all 64 bits (the finalizer of `SplitMix64`): neighbouring seeds share nothing.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_follows_from_the_seed_and_has_a_shape_that_the_ledger_takes() {
        let (population, again, other) =
            (Population::new(1, 3), Population::new(1, 5), Population::new(2, 3));
        for number in 0..=3 {
            assert_eq!(population.wallet(number), again.wallet(number));
            assert_ne!(population.wallet_id(number), other.wallet_id(number));
            population.wallet(number).check_shape().expect("the shape is right");
        }
        population.asset().to_asset().expect("the shape is right");
        assert_ne!(population.asset_id(), other.asset_id());
        assert!(population.wallet(SYSTEM_WALLET).flags.contains(WalletFlags::SYSTEM));
        assert!(!population.wallet(1).flags.contains(WalletFlags::SYSTEM));
    }

    #[test]
    fn a_varied_population_has_wallets_with_limits_and_funds_only_the_others() {
        let population = Population::varied(1, 20);
        assert_eq!((population.funded(), Population::new(1, 20).funded()), (14, 20));
        let plain = |number| population.wallet(number) == population.plain_wallet(number);
        let plain: Vec<u32> = (1..=20).filter(|&number| plain(number)).collect();
        assert_eq!(plain, (1..=14).chain(19..=20).collect::<Vec<_>>());
        assert_eq!(population.wallet(15).overdraft_limit, OverdraftLimit::Limited(OVERDRAFT_VARIED));
        assert_eq!(population.wallet(18).balance_max, BALANCE_MAX_VARIED);
        assert_ne!(population.further_asset_id(0), population.further_asset_id(1));
        for number in 0..=20 {
            population.wallet(number).check_shape().expect("the shape is right");
        }
    }
}
