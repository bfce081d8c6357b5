//! The server and its command line.
//!
//! | module | is for |
//! |---|---|
//! | [`command_line`] | what can be asked for |
//! | [`config`] | where every setting comes from |
//! | [`serve`] | opening the ledger, listening, stopping |
//! | [`connection`], `answers` | one client, from frames to operations and back |
//! | `event_feed` | what one client has subscribed to |
//! | [`http`], [`telemetry`] | what the server tells about itself |
//! | [`commands`] | a person's client, and `verify` |

mod answers;
pub mod command_line;
pub mod commands;
pub mod config;
pub mod connection;
mod event_feed;
pub mod http;
pub mod serve;
pub mod telemetry;
