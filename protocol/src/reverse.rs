//! `reverse`: earlier orders to move back, in full or in part; one outcome each.

use crate::batch::{OrderBatch, read_orders, write_orders};
use crate::body::put;
use crate::frame::FrameError;
use crate::memo::{MEMO_BYTES_MAX, MEMO_BYTES_MIN, MemoV1};
use crate::orders_answered::{POSITIONS_MAX, answer_bytes_max};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::{Reversal, TransferId};

const FIXED_BYTES: u32 = 16 + 16 + 16;

const ITEM_BYTES_MIN: u32 = FIXED_BYTES + MEMO_BYTES_MIN;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = FIXED_BYTES + MEMO_BYTES_MAX;

/// The most bytes that the answer to one item takes: what is reversed may be a transaction.
pub(crate) const ANSWER_BYTES_MAX: u32 = answer_bytes_max(POSITIONS_MAX);

#[derive(Encode, BorrowDecode)]
pub(crate) struct ReversalV1<'a> {
    id: u128,
    reverses_id: u128,
    amount: u128,
    memo: MemoV1<'a>,
}

impl<'a> From<&'a Reversal> for ReversalV1<'a> {
    fn from(reversal: &'a Reversal) -> Self {
        let Reversal { id, reverses_id, amount, memo } = reversal;
        Self { id: id.0, reverses_id: reverses_id.0, amount: *amount, memo: memo.into() }
    }
}

impl From<ReversalV1<'_>> for Reversal {
    fn from(wire: ReversalV1<'_>) -> Self {
        let ReversalV1 { id, reverses_id, amount, memo } = wire;
        Self { id: TransferId(id), reverses_id: TransferId(reverses_id), amount, memo: memo.into() }
    }
}

pub(crate) fn write_request(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    with_balances: bool,
    reversals: &[Reversal],
) {
    write_orders(buffer, head, with_balances, reversals, |buffer, reversal| {
        put(buffer, ReversalV1::from(reversal));
    });
}

pub(crate) fn read_request(body: &[u8]) -> Result<OrderBatch<Reversal>, FrameError> {
    read_orders(body, ITEM_BYTES_MIN, |reader| Ok(reader.value::<ReversalV1<'_>>()?.into()))
}
