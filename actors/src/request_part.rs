//! A shard's part of a request, on its way to the shard: a drop guard.
//!
//! Whatever a stopped mailbox or a router that fails drops is ended all the same, operation by operation, so that claims
//! are released and nobody waits for ever.

use crate::in_flight::InFlight;
use crate::request::{PendingRead, Request, RequestItem};
use std::collections::VecDeque;
use std::sync::Arc;

/// Operations of one request that begin at the same shard.
#[derive(Debug)]
pub(crate) struct RequestPart {
    request: Arc<Request>,
    indexes: VecDeque<u32>,
}

impl RequestPart {
    pub(crate) fn new(request: Arc<Request>) -> Self {
        Self { request, indexes: VecDeque::new() }
    }

    /// One more operation.
    pub(crate) fn push(&mut self, index: u32) {
        self.indexes.push_back(index);
    }

    /// Keeps the operations that `keep` is true for; the others are its business.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        self.indexes.retain(|&index| keep(index));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    /// The next operation. It is the taker's to end.
    pub(crate) fn next(&mut self) -> Option<RequestItem> {
        let index = self.indexes.pop_front()?;
        Some(RequestItem { request: Arc::clone(&self.request), index })
    }
}

impl Drop for RequestPart {
    fn drop(&mut self) {
        while let Some(item) = self.next() {
            // Dropped, each answers for itself.
            if item.request.operations().is_write() {
                drop(InFlight::new(item, 0));
            } else {
                drop(PendingRead::new(item));
            }
        }
    }
}
