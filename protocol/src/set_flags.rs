//! `set_flags`: wallets to freeze, unfreeze, close or reopen; one outcome each.

use crate::batch::{ChangeBatch, read_changes, write_changes};
use crate::body::put;
use crate::frame::FrameError;
use crate::request::RequestHead;
use bincode::{Decode, Encode};
use ledger::{Setting, WalletChange, WalletFlags, WalletId};

/// How many bytes an item takes.
pub(crate) const ITEM_BYTES: u32 = 16 + 2 + 2;

/// Which flags of a wallet are to be set and cleared; the others stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagChange {
    /// Which wallet.
    pub wallet: WalletId,
    /// To be set.
    pub set: WalletFlags,
    /// To be cleared.
    pub clear: WalletFlags,
}

impl From<FlagChange> for WalletChange {
    fn from(change: FlagChange) -> Self {
        let FlagChange { wallet, set, clear } = change;
        Self { wallet, setting: Setting::Flags { set, clear } }
    }
}

#[derive(Encode, Decode)]
struct FlagChangeV1 {
    wallet: u128,
    set: u16,
    clear: u16,
}

impl From<&FlagChange> for FlagChangeV1 {
    fn from(change: &FlagChange) -> Self {
        let &FlagChange { wallet, set, clear } = change;
        Self { wallet: wallet.0, set: set.bits(), clear: clear.bits() }
    }
}

impl From<FlagChangeV1> for FlagChange {
    fn from(wire: FlagChangeV1) -> Self {
        let FlagChangeV1 { wallet, set, clear } = wire;
        let (set, clear) = (WalletFlags::from_bits(set), WalletFlags::from_bits(clear));
        Self { wallet: WalletId(wallet), set, clear }
    }
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, changes: &[FlagChange]) {
    write_changes(buffer, head, changes, |buffer, change| put(buffer, FlagChangeV1::from(change)));
}

pub(crate) fn read_request(body: &[u8]) -> Result<ChangeBatch<FlagChange>, FrameError> {
    read_changes(body, ITEM_BYTES, |reader| Ok(reader.value::<FlagChangeV1>()?.into()))
}
