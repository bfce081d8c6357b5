//! `create_transfers`: transfers to make; one outcome each. The hot path: items are encoded from where they stand and
//! decoded straight into the ledger's own type.

use crate::batch::{OrderBatch, read_orders, write_orders};
use crate::body::put;
use crate::frame::FrameError;
use crate::memo::{MEMO_BYTES_MAX, MEMO_BYTES_MIN};
use crate::orders_answered::answer_bytes_max;
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::{AssetId, Transfer, TransferId, WalletId};

const FIXED_BYTES: u32 = 16 + 16 + 16 + 4 + 16;

/// The fewest bytes that an item takes: without metadata.
pub(crate) const ITEM_BYTES_MIN: u32 = FIXED_BYTES + MEMO_BYTES_MIN;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = FIXED_BYTES + MEMO_BYTES_MAX;

/// The most bytes that the answer to an order with a debit and a credit wallet takes.
pub(crate) const ANSWER_BYTES_MAX: u32 = answer_bytes_max(2);

#[derive(Encode, BorrowDecode)]
pub(crate) struct TransferV1<'a> {
    id: u128,
    debit_wallet: u128,
    credit_wallet: u128,
    asset: u32,
    amount: u128,
    group_id: u128,
    code: u16,
    effective_at_ns: u64,
    metadata: &'a [u8],
}

impl<'a> From<&'a Transfer> for TransferV1<'a> {
    #[inline]
    fn from(transfer: &'a Transfer) -> Self {
        Self {
            id: transfer.id.0,
            debit_wallet: transfer.debit_wallet.0,
            credit_wallet: transfer.credit_wallet.0,
            asset: transfer.asset.0,
            amount: transfer.amount,
            group_id: transfer.group_id,
            code: transfer.code,
            effective_at_ns: transfer.effective_at_ns,
            metadata: &transfer.metadata,
        }
    }
}

impl From<TransferV1<'_>> for Transfer {
    #[inline]
    fn from(wire: TransferV1<'_>) -> Self {
        Self {
            id: TransferId(wire.id),
            debit_wallet: WalletId(wire.debit_wallet),
            credit_wallet: WalletId(wire.credit_wallet),
            asset: AssetId(wire.asset),
            amount: wire.amount,
            group_id: wire.group_id,
            code: wire.code,
            effective_at_ns: wire.effective_at_ns,
            metadata: wire.metadata.into(),
        }
    }
}

pub(crate) fn write_request(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    with_balances: bool,
    transfers: &[Transfer],
) {
    write_orders(buffer, head, with_balances, transfers, |buffer, transfer| {
        put(buffer, TransferV1::from(transfer));
    });
}

pub(crate) fn read_request(body: &[u8]) -> Result<OrderBatch<Transfer>, FrameError> {
    read_orders(body, ITEM_BYTES_MIN, |reader| Ok(reader.value::<TransferV1<'_>>()?.into()))
}
