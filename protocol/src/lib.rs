//! The wire: frames, messages, and how they are encoded.
//!
//! No sockets, no runtime, no clock: bytes in, messages out, and the other way round. `docs/PROTOCOL.md` says
//! the same for people who write a client in another language; the bytes in `golden/` pin both.
//!
//! | module | holds |
//! |---|---|
//! | [`frame`] | the header of every frame, and what can be wrong with a frame |
//! | [`operation`] | the messages and their numbers |
//! | [`limits`] | the limits, and how they follow from each other |
//! | [`request`], [`reply`] | any message in either direction, encoded and decoded |
//! | [`error_reply`] | the error frame and its codes |
//! | [`hello`], [`create_assets`], `create_transfers`, … | one message each, with its frozen wire structs |
//! | [`batch`], [`orders_answered`] | what the messages about orders have in common |
//! | [`query`] | what the reads of the past have in common |
//! | [`event`], [`subscribe`] | the entries of the journal as subscribers get them |
//!
//! Wire structs end in the version that they are frozen for. They are converted at once, so that nothing
//! outside this crate sees them: a new version is a new struct and a new conversion.

pub mod balances;
pub mod balances_at;
pub mod batch;
mod body;
pub mod close_imports;
pub mod create_assets;
mod create_pending;
mod create_transactions;
mod create_transfers;
pub mod create_wallets;
pub mod error_reply;
pub mod event;
pub mod frame;
pub mod hello;
pub mod limits;
pub mod list_pending;
pub mod list_wallets;
pub mod lookup_transfers;
pub mod lookup_wallets;
mod memo;
pub mod more_events;
pub mod operation;
mod order;
pub mod orders_answered;
mod outcome;
pub mod ping;
mod position;
mod post_pending;
pub mod query;
pub mod read_records;
pub mod reply;
pub mod request;
mod reverse;
pub mod set_flags;
pub mod set_limits;
pub mod set_metadata;
pub mod statement;
pub mod subscribe;
pub mod trial_balance;
mod unsubscribe;
mod void_pending;

pub use balances::{BalanceView, Balances};
pub use balances_at::{BalancesAt, Moment, PositionsAt};
pub use batch::{ChangeBatch, OrderBatch};
pub use close_imports::CloseImports;
pub use create_assets::{CreateAssets, NewAsset};
pub use create_wallets::CreateWallets;
pub use error_reply::{ErrorCode, ErrorReply};
pub use event::{Event, EventFilter, EventKind, Happening, Movement, PositionChange};
pub use frame::{FrameError, FrameHeader, HEADER_LENGTH, PROTOCOL_VERSION};
pub use hello::{Hello, Welcome};
pub use limits::{
    FRAME_HARD_MAX, FRAME_LIMIT_DEFAULT, FRAME_LIMIT_MIN, HELLO_FRAME_MAX, Limits,
    OPERATIONS_PER_REQUEST_MAX, PAGE_ITEMS_MAX, SUBSCRIPTIONS_MAX, batch_max, page_max,
};
pub use list_pending::{OpenHold, PendingPage, PendingQuery};
pub use list_wallets::{ListedWallet, WalletsPage, WalletsQuery};
pub use lookup_transfers::{LookupTransfers, Progress, TransferView};
pub use lookup_wallets::{LookupWallets, WalletView};
pub use more_events::MoreEvents;
pub use operation::Operation;
pub use orders_answered::{OrdersAnswered, WalletPosition};
pub use ping::Pong;
pub use query::{Queried, Query};
pub use read_records::{RecordsPage, RecordsQuery};
pub use reply::{Reply, decode_reply, encode_reply};
pub use request::{Request, RequestHead, RequestRef, decode_request, encode_hello, encode_request};
pub use set_flags::FlagChange;
pub use set_limits::WalletLimits;
pub use set_metadata::WalletMetadata;
pub use statement::{StatementCursor, StatementPage, StatementQuery, StatementRow};
pub use subscribe::{Events, EventsFrame, Subscribe};
pub use trial_balance::{AssetTrialBalance, TrialBalance};
