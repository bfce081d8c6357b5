//! Journal entries: what was decided, in one total order. History, balances and events are all read from them.

use crate::asset::Asset;
use crate::identity::WalletId;
use crate::status::Refusal;
use crate::transfer::Transfer;
use crate::wallet::NewWallet;

/// One entry of the journal. Its sequence number and timestamp stand beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An asset was created.
    AssetCreated(Asset),
    /// A wallet was created.
    WalletCreated(NewWallet),
    /// A transfer was done.
    Transferred(Transfer),
    /// A transfer was refused for good: its id is used up.
    TransferRefused {
        /// As it was asked for.
        transfer: Transfer,
        /// Why not.
        refusal: Refusal,
    },
}

impl Entry {
    /// The wallets that the entry changes, debits first.
    pub fn wallets(&self) -> impl Iterator<Item = WalletId> {
        let wallets = match self {
            Entry::AssetCreated(_) | Entry::TransferRefused { .. } => [None, None],
            Entry::WalletCreated(wallet) => [Some(wallet.id), None],
            Entry::Transferred(transfer) => [Some(transfer.debit_wallet), Some(transfer.credit_wallet)],
        };
        wallets.into_iter().flatten()
    }
}
