//! Changes of a wallet's settings by command: limits, flags and metadata.
//!
//! A change says what is to hold, not by how much it differs, so it may be asked for again and again. It has no id.

use crate::amount::AMOUNT_MAX;
use crate::identity::WalletId;
use crate::status::{Refusal, Status};
use crate::wallet::{OverdraftLimit, WALLET_METADATA_MAX, Wallet, WalletFlags};

/// A change of one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletChange {
    /// Which wallet.
    pub wallet: WalletId,
    /// What is to hold from now on.
    pub setting: Setting,
}

/// What is to hold from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Its limits. They may lie below what is in use: that stops only what would make it worse.
    Limits {
        /// How far below zero it may go.
        overdraft_limit: OverdraftLimit,
        /// The most it may hold; 0 for no limit.
        balance_max: u128,
    },
    /// Some of its flags: freeze, unfreeze, close, reopen.
    Flags {
        /// To be set.
        set: WalletFlags,
        /// To be cleared.
        clear: WalletFlags,
    },
    /// The client's own bytes, at most [`WALLET_METADATA_MAX`].
    Metadata(Box<[u8]>),
}

impl WalletChange {
    /// The checks that need no state, in the documented order.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        if self.wallet.0 == 0 {
            return Err(Status::IdMustNotBeZero.into());
        }
        match &self.setting {
            Setting::Limits { overdraft_limit, balance_max } => {
                let overdraft_too_large =
                    matches!(overdraft_limit, OverdraftLimit::Limited(limit) if *limit > AMOUNT_MAX);
                if overdraft_too_large || *balance_max > AMOUNT_MAX {
                    return Err(Status::LimitTooLarge.into());
                }
            }
            Setting::Flags { set, clear } => {
                let changeable =
                    WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN).with(WalletFlags::CLOSED);
                if !changeable.contains(set.with(*clear)) {
                    return Err(Status::ReservedFlag.into());
                }
                if !set.without(*clear).contains(*set) {
                    return Err(Status::FlagSetAndCleared.into());
                }
            }
            Setting::Metadata(metadata) => {
                if metadata.len() > WALLET_METADATA_MAX {
                    return Err(Status::MetadataTooLarge.into());
                }
            }
        }
        Ok(())
    }

    /// Decides on the change of `wallet` (`None`: there is no such wallet), in which nothing may be under way, at `now_ns`:
    /// a hold that has expired by then is not open. Says whether anything is to change: [`Status::Created`] or, if all is
    /// so already, [`Status::Exists`].
    pub fn decide(&self, wallet: Option<&Wallet>, now_ns: u64) -> Result<Status, Refusal> {
        let Some(wallet) = wallet else { return Err(Status::WalletNotFound.into()) };
        let terms = &wallet.terms;
        let is_so_already = match &self.setting {
            Setting::Limits { overdraft_limit, balance_max } => {
                terms.overdraft_limit == *overdraft_limit && terms.balance_max == *balance_max
            }
            Setting::Flags { set, clear } => terms.flags == terms.flags.with(*set).without(*clear),
            Setting::Metadata(metadata) => terms.metadata == *metadata,
        };
        if is_so_already {
            return Ok(Status::Exists);
        }
        if let Setting::Flags { set, .. } = &self.setting
            && set.contains(WalletFlags::CLOSED)
            && !terms.flags.contains(WalletFlags::CLOSED)
        {
            if wallet.position.balance() != 0 {
                return Err(Status::BalanceNotZero.into());
            }
            if wallet.holds.any_unexpired(now_ns) {
                return Err(Status::HoldsAreOpen.into());
            }
        }
        Ok(Status::Created)
    }
}
