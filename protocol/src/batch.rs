//! Batches of one kind: orders with their balances on request, and changes of settings. What their items are on the
//! wire is each message's own.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;
use crate::limits::OPERATIONS_PER_REQUEST_MAX;
use crate::request::RequestHead;

/// A request of orders of one kind. They are independent of each other: each has an outcome of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBatch<T> {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Whether the reply should carry the wallets' positions.
    pub with_balances: bool,
    /// What to do.
    pub orders: Vec<T>,
}

/// A request of changes of one setting, each of one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeBatch<T> {
    /// Deadline and trace.
    pub head: RequestHead,
    /// What is to hold from now on, in which wallets.
    pub changes: Vec<T>,
}

/// Appends a request of orders; `put_item` appends each of them.
#[inline]
pub(crate) fn write_orders<T>(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    with_balances: bool,
    orders: &[T],
    put_item: impl Fn(&mut Vec<u8>, &T),
) {
    put(buffer, head);
    put(buffer, with_balances);
    put_items(buffer, orders, put_item);
}

/// Reads a request of orders, each of at least `item_bytes_min` bytes.
#[inline]
pub(crate) fn read_orders<'a, T>(
    body: &'a [u8],
    item_bytes_min: u32,
    item: impl FnMut(&mut BodyReader<'a>) -> Result<T, FrameError>,
) -> Result<OrderBatch<T>, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let with_balances = reader.value()?;
    let orders = reader.elements(OPERATIONS_PER_REQUEST_MAX, item_bytes_min, item)?;
    reader.finish()?;
    Ok(OrderBatch { head, with_balances, orders })
}

/// Appends a request of changes; `put_item` appends each of them.
pub(crate) fn write_changes<T>(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    changes: &[T],
    put_item: impl Fn(&mut Vec<u8>, &T),
) {
    put(buffer, head);
    put_items(buffer, changes, put_item);
}

/// Reads a request of changes, each of at least `item_bytes_min` bytes.
pub(crate) fn read_changes<'a, T>(
    body: &'a [u8],
    item_bytes_min: u32,
    item: impl FnMut(&mut BodyReader<'a>) -> Result<T, FrameError>,
) -> Result<ChangeBatch<T>, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let changes = reader.elements(OPERATIONS_PER_REQUEST_MAX, item_bytes_min, item)?;
    reader.finish()?;
    Ok(ChangeBatch { head, changes })
}

#[inline]
fn put_items<T>(buffer: &mut Vec<u8>, items: &[T], put_item: impl Fn(&mut Vec<u8>, &T)) {
    put(buffer, items.len() as u64);
    for item in items {
        put_item(buffer, item);
    }
}
