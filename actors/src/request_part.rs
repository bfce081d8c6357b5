//! A shard's part of a request, on its way to the shard: a drop guard.
//!
//! Whatever a stopped mailbox drops is ended all the same, operation by operation, so that claims are released and nobody
//! waits for ever.

use crate::in_flight::InFlight;
use crate::request::{PendingRead, Request, RequestItem};
use std::sync::Arc;

/// Operations of one request that begin at the same shard.
#[derive(Debug)]
pub(crate) struct RequestPart {
    request: Arc<Request>,
    indexes: std::vec::IntoIter<u32>,
}

impl RequestPart {
    pub(crate) fn new(request: Arc<Request>, indexes: Vec<u32>) -> Self {
        Self { request, indexes: indexes.into_iter() }
    }

    /// The next operation. It is the taker's to end.
    pub(crate) fn next(&mut self) -> Option<RequestItem> {
        let index = self.indexes.next()?;
        Some(RequestItem { request: Arc::clone(&self.request), index })
    }
}

impl Drop for RequestPart {
    fn drop(&mut self) {
        while let Some(item) = self.next() {
            // Dropped, each answers for itself.
            if item.request.operations().is_write() {
                drop(InFlight::new(item));
            } else {
                drop(PendingRead::new(item));
            }
        }
    }
}
