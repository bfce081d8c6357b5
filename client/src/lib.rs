//! The Rust client of Bursar.
//!
//! [`Client`] is for those who just want answers: it keeps a pool of connections, splits long slices, and
//! sends a request again when its connection breaks or the server has no room; the ids make that safe.
//! [`Connection`] is one pipelined connection for those who want control. [`Subscription`] is the feed of everything
//! that is decided, across breaks of the connection.
//!
//! Refusals are outcomes, not errors: look at [`ledger::Status::is_success`] of every [`ledger::Outcome`].
//! Nothing here knows how messages are encoded (`protocol` does) or what a transfer may do (`ledger` does).

mod call;
mod client;
mod connection;
mod endpoint;
mod error;
mod event_stream;
#[cfg(test)]
mod fake_server;
mod frame_reader;
mod options;
mod statement_pages;
mod subscription;
#[cfg(test)]
mod subscription_tests;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use connection::Connection;
pub use error::ClientError;
pub use event_stream::EventStream;
pub use options::ClientOptions;
pub use statement_pages::StatementPages;
pub use subscription::Subscription;

// The vocabulary of a caller, so that one dependency is enough.
pub use ledger;
pub use protocol::{
    AssetTrialBalance, BalanceView, ErrorCode, Event, EventFilter, EventKind, Events, FlagChange, Happening,
    Limits, ListedWallet, Moment, Movement, NewAsset, OpenHold, Operation, OrdersAnswered, PendingPage,
    PendingQuery, Pong, PositionChange, PositionsAt, Progress, RecordsPage, RecordsQuery, StatementCursor,
    StatementPage, StatementQuery, StatementRow, Subscribe, TransferView, TrialBalance, WalletLimits,
    WalletMetadata, WalletPosition, WalletView, WalletsPage, WalletsQuery, Welcome,
};
