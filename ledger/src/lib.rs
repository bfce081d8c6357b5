//! The rules of money.
//!
//! Everything here is pure: no I/O, no clock, no async, no logging, no serialization. The caller gives the
//! time and the state, and gets back a decision as data. State changes only by applying what was decided, so
//! live wallets, replay after a crash, verification and the tests' model all run the same few functions.
//!
//! | module | holds |
//! |---|---|
//! | [`identity`] | ids of assets, wallets and transfers, and how they are written |
//! | [`amount`] | the bound on every amount, limit and counter |
//! | [`asset`], [`wallet`], [`transfer`] | the records a ledger consists of |
//! | [`order`] | what can be asked for under an id: transfers, holds and their ends, reversals, transactions |
//! | [`change`] | changes of a wallet's settings |
//! | [`holds`] | the open holds of a wallet |
//! | [`route`] | what an order does to which wallet, and in which order they are asked |
//! | [`original`] | what may be done to an earlier order: capture, release, reverse |
//! | [`status`] | every answer an operation can get, numbered in the order of the checks |
//! | [`decide`] | operation + wallet + what is still open → accept, wait or refuse |
//! | [`entry`] | what was decided, as it is journaled, and its effect on wallets |
//! | [`fold`] | a journal folded into wallets: replay, verification, the reference for tests |
#![warn(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that panics has failed, which is what it is for"
    )
)]

pub mod amount;
pub mod asset;
pub mod change;
pub mod decide;
pub mod entry;
pub mod fold;
pub mod holds;
pub mod identity;
pub mod order;
pub mod original;
pub mod route;
pub mod status;
pub mod transfer;
pub mod wallet;

pub use amount::AMOUNT_MAX;
pub use asset::{Asset, AssetCode};
pub use change::{Setting, WalletChange};
pub use decide::{Circumstances, Decision, OpenReservations};
pub use entry::Entry;
pub use fold::Fold;
pub use identity::{AssetId, ImportId, TransferId, WalletId};
pub use order::{Leg, Memo, Order, OrderKind, Pending, Post, Reversal, Side, Transaction, Void};
pub use original::{Facts, HoldState, Original, ReversedFacts, Unresolved};
pub use route::{Effect, HoldTerms, Part, Role, Route};
pub use status::{Outcome, Refusal, RefusalDetail, Status};
pub use transfer::Transfer;
pub use wallet::{NewWallet, OverdraftLimit, Owner, Position, Wallet, WalletFlags};
