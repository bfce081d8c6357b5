//! Admission: how much may be under way at once, in operations and in bytes.
//!
//! No mailbox here has a bound of its own that would hold (actix's `do_send` ignores it), so this is the bound on all
//! of them together: what is not admitted is turned away at once, before it costs anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a request was turned away before anything of it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Too much is under way; try again later.
    Overloaded,
    /// Free space is below the reserve; reads go on.
    DiskFull,
    /// The server is stopping.
    ShuttingDown,
    /// The journal has failed; the process is about to end.
    Unavailable,
}

/// What is under way, and how much may be.
#[derive(Debug)]
pub(crate) struct Admission {
    operations: AtomicU64,
    operations_max: u64,
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Admission {
    /// At most so many operations, in at most so many bytes of requests.
    pub(crate) fn new(operations_max: u64, bytes_max: u64) -> Self {
        Self { operations: AtomicU64::new(0), operations_max, bytes: AtomicU64::new(0), bytes_max }
    }

    /// Admits a request, or says no. A request larger than the bound is admitted when nothing else is under way, so
    /// that no legal request is refused for ever.
    pub(crate) fn admit(self: &Arc<Self>, operations: u64, bytes: u64) -> Option<Permit> {
        let operations_before = self.operations.fetch_add(operations, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let permit = Permit { admission: Arc::clone(self), operations, bytes };
        let fits =
            operations_before + operations <= self.operations_max && bytes_before + bytes <= self.bytes_max;
        let alone = operations_before == 0 && bytes_before == 0;
        (fits || alone).then_some(permit)
    }

    /// Operations under way.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Bytes of requests under way.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Room for one request. Dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    operations: u64,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.operations.fetch_sub(self.operations, Ordering::Relaxed);
        self.admission.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_turned_away_and_leaves_no_trace() {
        let admission = Arc::new(Admission::new(10, 1000));
        let first = admission.admit(6, 10).expect("fits");
        assert!(admission.admit(5, 10).is_none(), "too many operations");
        assert!(admission.admit(1, 1000).is_none(), "too many bytes");
        assert_eq!((admission.operations(), admission.bytes()), (6, 10));
        let second = admission.admit(4, 990).expect("fills it up");
        drop((first, second));
        assert_eq!((admission.operations(), admission.bytes()), (0, 0));
        assert!(admission.admit(8190, 10).is_some(), "alone, a larger one is admitted");
        assert!(admission.admit(1, 1001).is_some(), "also in bytes");
    }

    #[test]
    fn alone_is_who_has_neither_operations_nor_bytes_beside_it() {
        for (operations, bytes) in [(6, 0), (0, 600)] {
            let admission = Arc::new(Admission::new(10, 1000));
            let _other = admission.admit(operations, bytes).expect("fits");
            assert!(admission.admit(11, 1001).is_none());
            assert!(admission.admit(10 - operations, 1000 - bytes).is_some(), "to the last one");
        }
    }
}
