//! Who does what, and when.
//!
//! A request goes one way: a router claims its ids and sends each shard its part; the shard activates its wallets and
//! passes operations on; the debit wallet decides and reserves; the credit wallet decides and commits in the
//! sequencer; the journal makes it durable; the answer leaves.
//!
//! What a router, shard or wallet *decides* is a plain machine (`*_machine`): state and a message in, messages out. The
//! actors (`*_actor`) only feed them from their mailboxes. So the same machines can be driven by a seeded scheduler.
//! No file here knows a socket or a frame, and none but the actors and the engine knows actix.

mod admission;
mod claims;
mod core;
mod engine;
mod expiry;
mod imports;
mod in_flight;
#[cfg(test)]
mod in_flight_tests;
#[cfg(all(test, bursar_loom))]
mod memory_order_tests;
mod originals;
mod outbox;
mod query;
mod reader_pool;
mod recovered_tail;
mod references;
mod request;
mod request_part;
mod router_actor;
mod router_machine;
mod shard_actor;
mod shard_machine;
#[cfg(test)]
mod simulation;
mod supervision;
#[cfg(test)]
mod test_house;
mod ticket;
mod trial_balance;
mod wallet_actor;
mod wallet_machine;
#[cfg(test)]
mod wallet_machine_tests;

pub use admission::Rejection;
pub use core::{FATAL_FAULT_PLACES, FaultHook, OnFatal, WalletsInMemory};
pub use engine::{Engine, EngineOptions, EngineStatus, StartError};
pub use persistence::{BooksOptions, PersistenceError, RecoveryReport};
pub use query::{
    Cursor, Moment, PAGE_ITEMS_MAX, Query, QueryAnswer, Statement, StatementRequest, StatementRow,
};
pub use request::{
    Answer, Answered, Operations, Progress, Reply, TransferView, TrialBalanceView, WalletView,
};
