//! `void_pending`: holds to release; one outcome each.

use crate::batch::{OrderBatch, read_orders, write_orders};
use crate::body::put;
use crate::create_transfers;
use crate::frame::FrameError;
use crate::memo::{MEMO_BYTES_MAX, MEMO_BYTES_MIN, MemoV1};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::{TransferId, Void};

const FIXED_BYTES: u32 = 16 + 16;

const ITEM_BYTES_MIN: u32 = FIXED_BYTES + MEMO_BYTES_MIN;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = FIXED_BYTES + MEMO_BYTES_MAX;

/// The most bytes that the answer to one item takes: the two wallets are the hold's.
pub(crate) const ANSWER_BYTES_MAX: u32 = create_transfers::ANSWER_BYTES_MAX;

#[derive(Encode, BorrowDecode)]
pub(crate) struct VoidV1<'a> {
    id: u128,
    pending_id: u128,
    memo: MemoV1<'a>,
}

impl<'a> From<&'a Void> for VoidV1<'a> {
    fn from(void: &'a Void) -> Self {
        let Void { id, pending_id, memo } = void;
        Self { id: id.0, pending_id: pending_id.0, memo: memo.into() }
    }
}

impl From<VoidV1<'_>> for Void {
    fn from(wire: VoidV1<'_>) -> Self {
        let VoidV1 { id, pending_id, memo } = wire;
        Self { id: TransferId(id), pending_id: TransferId(pending_id), memo: memo.into() }
    }
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, with_balances: bool, voids: &[Void]) {
    write_orders(buffer, head, with_balances, voids, |buffer, void| put(buffer, VoidV1::from(void)));
}

pub(crate) fn read_request(body: &[u8]) -> Result<OrderBatch<Void>, FrameError> {
    read_orders(body, ITEM_BYTES_MIN, |reader| Ok(reader.value::<VoidV1<'_>>()?.into()))
}
