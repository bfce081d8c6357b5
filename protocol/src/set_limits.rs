//! `set_limits`: limits of wallets to change; one outcome each.

use crate::batch::{ChangeBatch, read_changes, write_changes};
use crate::body::put;
use crate::create_wallets::OverdraftLimitV1;
use crate::frame::FrameError;
use crate::request::RequestHead;
use bincode::{Decode, Encode};
use ledger::{OverdraftLimit, Setting, WalletChange, WalletId};

/// The fewest bytes that an item takes: without an overdraft limit.
const ITEM_BYTES_MIN: u32 = 16 + 4 + 16;

/// The most bytes that an item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = 16 + (4 + 16) + 16;

/// The limits that a wallet is to have from now on: both of them, also the one that stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletLimits {
    /// Which wallet.
    pub wallet: WalletId,
    /// How far below zero it may go.
    pub overdraft_limit: OverdraftLimit,
    /// The most it may hold; 0 for no limit.
    pub balance_max: u128,
}

impl From<WalletLimits> for WalletChange {
    fn from(limits: WalletLimits) -> Self {
        let WalletLimits { wallet, overdraft_limit, balance_max } = limits;
        Self { wallet, setting: Setting::Limits { overdraft_limit, balance_max } }
    }
}

#[derive(Encode, Decode)]
struct WalletLimitsV1 {
    wallet: u128,
    overdraft_limit: OverdraftLimitV1,
    balance_max: u128,
}

impl From<&WalletLimits> for WalletLimitsV1 {
    fn from(limits: &WalletLimits) -> Self {
        let &WalletLimits { wallet, overdraft_limit, balance_max } = limits;
        Self { wallet: wallet.0, overdraft_limit: overdraft_limit.into(), balance_max }
    }
}

impl From<WalletLimitsV1> for WalletLimits {
    fn from(wire: WalletLimitsV1) -> Self {
        let WalletLimitsV1 { wallet, overdraft_limit, balance_max } = wire;
        Self { wallet: WalletId(wallet), overdraft_limit: overdraft_limit.into(), balance_max }
    }
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, limits: &[WalletLimits]) {
    write_changes(buffer, head, limits, |buffer, limits| put(buffer, WalletLimitsV1::from(limits)));
}

pub(crate) fn read_request(body: &[u8]) -> Result<ChangeBatch<WalletLimits>, FrameError> {
    read_changes(body, ITEM_BYTES_MIN, |reader| Ok(reader.value::<WalletLimitsV1>()?.into()))
}
