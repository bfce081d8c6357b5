//! `set_metadata`: metadata of wallets to replace; one outcome each.

use crate::batch::{ChangeBatch, read_changes, write_changes};
use crate::body::{LENGTH_BYTES, put};
use crate::frame::FrameError;
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::wallet::WALLET_METADATA_MAX;
use ledger::{Setting, WalletChange, WalletId};

const ITEM_BYTES_MIN: u32 = 16 + LENGTH_BYTES;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = ITEM_BYTES_MIN + WALLET_METADATA_MAX as u32;

/// The metadata that a wallet is to have from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletMetadata {
    /// Which wallet.
    pub wallet: WalletId,
    /// The client's own bytes, at most [`WALLET_METADATA_MAX`].
    pub metadata: Box<[u8]>,
}

impl From<WalletMetadata> for WalletChange {
    fn from(metadata: WalletMetadata) -> Self {
        let WalletMetadata { wallet, metadata } = metadata;
        Self { wallet, setting: Setting::Metadata(metadata) }
    }
}

#[derive(Encode, BorrowDecode)]
struct WalletMetadataV1<'a> {
    wallet: u128,
    metadata: &'a [u8],
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, changes: &[WalletMetadata]) {
    write_changes(buffer, head, changes, |buffer, WalletMetadata { wallet, metadata }| {
        put(buffer, WalletMetadataV1 { wallet: wallet.0, metadata });
    });
}

pub(crate) fn read_request(body: &[u8]) -> Result<ChangeBatch<WalletMetadata>, FrameError> {
    read_changes(body, ITEM_BYTES_MIN, |reader| {
        let WalletMetadataV1 { wallet, metadata } = reader.value()?;
        Ok(WalletMetadata { wallet: WalletId(wallet), metadata: metadata.into() })
    })
}
