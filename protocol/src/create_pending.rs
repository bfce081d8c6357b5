//! `create_pending`: amounts to hold; one outcome each.

use crate::batch::{OrderBatch, read_orders, write_orders};
use crate::body::put;
use crate::create_transfers::{self, TransferV1};
use crate::frame::FrameError;
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::Pending;

const TIMEOUT_BYTES: u32 = 4;

const ITEM_BYTES_MIN: u32 = create_transfers::ITEM_BYTES_MIN + TIMEOUT_BYTES;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = create_transfers::ITEM_BYTES_MAX + TIMEOUT_BYTES;

/// The most bytes that the answer to one item takes.
pub(crate) const ANSWER_BYTES_MAX: u32 = create_transfers::ANSWER_BYTES_MAX;

#[derive(Encode, BorrowDecode)]
pub(crate) struct PendingV1<'a> {
    transfer: TransferV1<'a>,
    timeout_s: u32,
}

impl<'a> From<&'a Pending> for PendingV1<'a> {
    fn from(pending: &'a Pending) -> Self {
        Self { transfer: (&pending.transfer).into(), timeout_s: pending.timeout_s }
    }
}

impl From<PendingV1<'_>> for Pending {
    fn from(wire: PendingV1<'_>) -> Self {
        Self { transfer: wire.transfer.into(), timeout_s: wire.timeout_s }
    }
}

pub(crate) fn write_request(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    with_balances: bool,
    pending: &[Pending],
) {
    write_orders(buffer, head, with_balances, pending, |buffer, pending| {
        put(buffer, PendingV1::from(pending));
    });
}

pub(crate) fn read_request(body: &[u8]) -> Result<OrderBatch<Pending>, FrameError> {
    read_orders(body, ITEM_BYTES_MIN, |reader| Ok(reader.value::<PendingV1<'_>>()?.into()))
}
