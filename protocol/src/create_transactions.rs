//! `create_transactions`: transactions of many legs to do, each all or nothing; one outcome each.

use crate::batch::{OrderBatch, read_orders, write_orders};
use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::memo::{MEMO_BYTES_MAX, MEMO_BYTES_MIN, MemoV1};
use crate::orders_answered::{POSITIONS_MAX, answer_bytes_max};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Decode, Encode};
use ledger::order::LEGS_MAX;
use ledger::{AssetId, Leg, Side, Transaction, TransferId, WalletId};

/// The most legs that are read at all: as many as the index of a leg can count. More than [`LEGS_MAX`] of them are
/// refused with a status of their own, as any other item of a wrong shape is; more than this with the whole request.
const LEGS_READ_MAX: u32 = u8::MAX as u32;

const LEG_BYTES: u32 = 16 + 1 + 4 + 16;

/// The fewest bytes that an item takes: without metadata and without legs.
const ITEM_BYTES_MIN: u32 = 16 + MEMO_BYTES_MIN + LENGTH_BYTES;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = 16 + MEMO_BYTES_MAX + LENGTH_BYTES + LEGS_MAX as u32 * LEG_BYTES;

/// The most bytes that the answer to one item takes.
pub(crate) const ANSWER_BYTES_MAX: u32 = answer_bytes_max(POSITIONS_MAX);

/// What stands before the legs.
#[derive(Encode, BorrowDecode)]
struct TransactionV1<'a> {
    id: u128,
    memo: MemoV1<'a>,
    // A sequence of `LegV1` follows.
}

#[derive(Encode, Decode)]
struct LegV1 {
    wallet: u128,
    is_credit: bool,
    asset: u32,
    amount: u128,
}

impl From<&Leg> for LegV1 {
    fn from(leg: &Leg) -> Self {
        let &Leg { wallet, side, asset, amount } = leg;
        Self { wallet: wallet.0, is_credit: side == Side::Credit, asset: asset.0, amount }
    }
}

impl From<LegV1> for Leg {
    fn from(wire: LegV1) -> Self {
        let LegV1 { wallet, is_credit, asset, amount } = wire;
        let side = if is_credit { Side::Credit } else { Side::Debit };
        Self { wallet: WalletId(wallet), side, asset: AssetId(asset), amount }
    }
}

pub(crate) fn put_transaction(buffer: &mut Vec<u8>, transaction: &Transaction) {
    let Transaction { id, legs, memo } = transaction;
    put(buffer, TransactionV1 { id: id.0, memo: memo.into() });
    put_sequence(buffer, legs.iter().map(LegV1::from));
}

pub(crate) fn transaction(reader: &mut BodyReader<'_>) -> Result<Transaction, FrameError> {
    let TransactionV1 { id, memo } = reader.value()?;
    let legs = reader.sequence(LEGS_READ_MAX, LEG_BYTES, |wire: LegV1| Ok(Leg::from(wire)))?;
    Ok(Transaction { id: TransferId(id), legs: legs.into(), memo: memo.into() })
}

pub(crate) fn write_request(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    with_balances: bool,
    transactions: &[Transaction],
) {
    write_orders(buffer, head, with_balances, transactions, put_transaction);
}

pub(crate) fn read_request(body: &[u8]) -> Result<OrderBatch<Transaction>, FrameError> {
    read_orders(body, ITEM_BYTES_MIN, transaction)
}
