//! The one place where a panic in an actor is caught.
//!
//! `actix::Supervisor` restarts an actor whose context stops; it does not survive a panic. So a handler runs its
//! machine in here: a wallet that panics stops its context and is restarted by its supervisor, and a router or shard
//! that panics takes the process down, because one half of it cannot be told from the other.

use std::panic::{self, AssertUnwindSafe};

/// The machine panicked. The panic hook has said where and why.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs a step of a machine.
pub(crate) fn guard(step: impl FnOnce()) -> Result<(), Panicked> {
    // What the step leaves half done is not used again: a wallet is rebuilt, the others end the process.
    panic::catch_unwind(AssertUnwindSafe(step)).map_err(|_panic| Panicked)
}
