//! An order of any kind on the wire: the number of its kind, then its fields as in the request that makes it.

use crate::body::{BodyReader, put};
use crate::create_pending::PendingV1;
use crate::create_transactions::{self, put_transaction, transaction};
use crate::create_transfers::TransferV1;
use crate::frame::FrameError;
use crate::post_pending::PostV1;
use crate::reverse::ReversalV1;
use crate::void_pending::VoidV1;
use ledger::{Order, OrderKind};

/// How many bytes the number of its kind takes.
const KIND_BYTES: u32 = 1;

/// The most bytes that a right order takes: a transaction is the largest.
pub(crate) const ORDER_BYTES_MAX: u32 = KIND_BYTES + create_transactions::ITEM_BYTES_MAX;

pub(crate) fn put_order(buffer: &mut Vec<u8>, order: &Order) {
    put(buffer, order.kind().number());
    match order {
        Order::Transfer(transfer) => put(buffer, TransferV1::from(transfer)),
        Order::Pending(pending) => put(buffer, PendingV1::from(pending)),
        Order::Post(post) => put(buffer, PostV1::from(post)),
        Order::Void(void) => put(buffer, VoidV1::from(void)),
        Order::Reversal(reversal) => put(buffer, ReversalV1::from(reversal)),
        Order::Transaction(transaction) => put_transaction(buffer, transaction),
    }
}

pub(crate) fn order(reader: &mut BodyReader<'_>) -> Result<Order, FrameError> {
    let number = reader.value()?;
    order_of_kind(number, reader)
}

/// An order, when the number of its kind has been read.
pub(crate) fn order_of_kind(number: u8, reader: &mut BodyReader<'_>) -> Result<Order, FrameError> {
    Ok(match OrderKind::from_number(number) {
        Some(OrderKind::Transfer) => Order::Transfer(reader.value::<TransferV1<'_>>()?.into()),
        Some(OrderKind::Pending) => Order::Pending(reader.value::<PendingV1<'_>>()?.into()),
        Some(OrderKind::Post) => Order::Post(reader.value::<PostV1<'_>>()?.into()),
        Some(OrderKind::Void) => Order::Void(reader.value::<VoidV1<'_>>()?.into()),
        Some(OrderKind::Reversal) => Order::Reversal(reader.value::<ReversalV1<'_>>()?.into()),
        Some(OrderKind::Transaction) => Order::Transaction(transaction(reader)?),
        // An expiry is made by the server alone, and has no id to be looked up by.
        Some(OrderKind::Expire) | None => {
            return Err(FrameError::malformed(format!("an order of kind {number}")));
        }
    })
}
