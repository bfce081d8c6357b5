//! A wallet that panics is rebuilt from the journal, and others notice nothing; what cannot be rebuilt ends the process.
//! With the engine in this process.
//!
//! | module | shows |
//! |---|---|
//! | `phases` | a panic in every handler, in every phase of a transfer, on either side |
//! | `restarts` | a panic while a wallet is being rebuilt, and a rebuilding that takes long |
//! | `quarantine` | the budget of restarts, and what a wallet that has used it up answers |
//! | `end_of_process` | a shard, a router, a reader or a restart that fails |
//! | `soak` | panics at random, again and again, across restarts of the process |
//!
//! `storm` is the traffic, and what must hold after it.

mod end_of_process;

mod phases;
mod quarantine;
mod restarts;
mod soak;
mod storm;
