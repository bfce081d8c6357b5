//! Wallets that refuse, each in its own way and for ever: nothing is ever put into them or taken out.

use crate::population::Population;
use client::FlagChange;
use client::ledger::{NewWallet, WalletFlags};

/// The most that [`RefusingWallet::Full`] may hold: less than anybody pays it.
pub(crate) const FULL_AT: u64 = 1;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum RefusingWallet {
    /// Has nothing, and may not overdraw.
    Empty,
    /// Nothing may be taken from it.
    DebitFrozen,
    /// Nothing may be put into it.
    CreditFrozen,
    /// Neither.
    Closed,
    /// May not hold more than [`FULL_AT`].
    Full,
    /// Is in another asset.
    Foreign,
    /// Is not there at all.
    Absent,
}

/// The lowest of their numbers. No population has so many wallets.
const FIRST: u32 = u32::MAX - 15;

impl RefusingWallet {
    pub(crate) const ALL: [Self; 7] = [
        Self::Empty,
        Self::DebitFrozen,
        Self::CreditFrozen,
        Self::Closed,
        Self::Full,
        Self::Foreign,
        Self::Absent,
    ];

    /// The number of the wallet, by which transfers name it.
    pub(crate) const fn number(self) -> u32 {
        FIRST + self as u32
    }

    /// The wallet, to be created; `None` if there is to be none.
    pub(crate) fn wallet(self, population: Population) -> Option<NewWallet> {
        let plain = population.plain_wallet(self.number());
        Some(match self {
            Self::Empty | Self::Closed => plain,
            Self::DebitFrozen => NewWallet { flags: WalletFlags::DEBIT_FROZEN, ..plain },
            Self::CreditFrozen => NewWallet { flags: WalletFlags::CREDIT_FROZEN, ..plain },
            Self::Full => NewWallet { balance_max: u128::from(FULL_AT), ..plain },
            Self::Foreign => NewWallet { asset: population.foreign_asset_id(), ..plain },
            Self::Absent => return None,
        })
    }

    /// What is to be changed of it once it is there.
    pub(crate) fn change(self, population: Population) -> Option<FlagChange> {
        let wallet = population.wallet_id(self.number());
        let (set, clear) = (WalletFlags::CLOSED, WalletFlags::default());
        (self == Self::Closed).then_some(FlagChange { wallet, set, clear })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_numbers_that_no_other_wallet_has_and_a_shape_that_the_ledger_takes() {
        let population = Population::new(1, 100_000_000);
        for (index, refusing) in (0..).zip(RefusingWallet::ALL) {
            assert_eq!(refusing.number(), FIRST + index);
            assert!(refusing.number() > population.wallets());
            if let Some(wallet) = refusing.wallet(population) {
                wallet.check_shape().expect("the shape is right");
                assert_eq!(wallet.id, population.wallet_id(refusing.number()));
            }
        }
        assert_ne!(population.foreign_asset_id(), population.asset_id());
    }
}
