//! The command line: what can be asked for, and how it is written.

use crate::config::LogFormat;
use clap::{Args, Parser, Subcommand};
use ledger::{TransferId, WalletId};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Bursar keeps wallets: a durable, in-memory, double-entry ledger server.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110, propagate_version = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the ledger in a data directory until SIGTERM or SIGINT
    Serve(ServerFlags),
    /// Print the configuration that `serve` would use, and where each value comes from
    Config(ServerFlags),
    /// Create or show wallets
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Create an asset, such as a currency
    #[command(subcommand)]
    Asset(AssetCommand),
    /// Move an amount from one wallet to another
    Transfer(TransferArguments),
    /// Show all debits and credits per asset, exact as of one moment
    TrialBalance(ClientFlags),
    /// Ask whether a server is there, and how long it takes to answer
    Ping(ClientFlags),
    /// Check a stopped data directory, or a copy of one, from its first record to its last
    Verify {
        /// The data directory
        directory: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `serve` and `config`. Each can also stand in a TOML file or in the environment as `BURSAR_…`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct ServerFlags {
    /// A TOML file with any of these settings, with `_` for `-`
    #[arg(long, env = "BURSAR_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The data directory; made if there is none [default: bursar-data]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Where /metrics, /healthz and /readyz are served [default: 127.0.0.1:7412]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<SocketAddr>,
    /// How many shards, each with a thread of its own; 0 for one per processor [default: 0]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<usize>,
    /// The largest frame, in bytes [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_bytes_max: Option<u32>,
    /// How many connections at once [default: 10000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_max: Option<usize>,
    /// How many requests under way on one connection before it is not read from [default: 1024]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_requests_max: Option<u32>,
    /// How many operations under way on one connection before it is not read from [default: 65536]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_operations_max: Option<u32>,
    /// How many operations under way in all before requests are answered `overloaded` [default: 262144]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    operations_max: Option<u64>,
    /// How many bytes of requests under way in all before requests are answered `overloaded` [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes_max: Option<u64>,
    /// How long a new connection may take for its hello; 0 for ever [default: 5s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_timeout: Option<String>,
    /// How long a connection may be silent with nothing under way; 0 for ever [default: 10m]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<String>,
    /// How long a client may leave its replies unread; 0 for ever [default: 30s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    write_timeout: Option<String>,
    /// After how much silence TCP asks whether the other side is still there; 0 for never [default: 1m]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    keepalive: Option<String>,
    /// How long a stop waits for requests under way [default: 10s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_timeout: Option<String>,
    /// Below this much free space, writes are refused `disk_full` and reads go on [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes_min: Option<u64>,
    /// Start even if the clock is far from the ledger's newest entry
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    accept_clock: bool,
    /// What is logged, as in `RUST_LOG`: `warn`, `info,bursar=debug` [default: `info,actix_server=warn,sled=error`]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// How it is logged [default: text]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
}

/// How a person's command reaches the server, and how it prints.
#[derive(Clone, Debug, Args)]
pub struct ClientFlags {
    /// The server's address
    #[arg(long, env = "BURSAR_ADDR", default_value = "127.0.0.1:7411", value_name = "ADDR")]
    pub addr: String,
    /// How long to wait for an answer
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub timeout: std::time::Duration,
    /// Print JSON for programs instead of a table for people
    #[arg(long)]
    pub json: bool,
}

/// `bursar wallet …`
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// Create a wallet
    Create {
        /// Its id, a UUID or an integer [default: a new UUID]
        id: Option<WalletId>,
        /// The asset that it holds, by id
        #[arg(long)]
        asset: u32,
        /// Whose it is: a UUID, an integer, or any text of at most 64 bytes
        #[arg(long, default_value = "0")]
        owner: String,
        /// What kind of wallet it is to you
        #[arg(long, default_value_t = 0)]
        code: u16,
        /// A house, bank or fee wallet, which may go negative without limit
        #[arg(long)]
        system: bool,
        /// Create it frozen for debits
        #[arg(long)]
        debit_frozen: bool,
        /// Create it frozen for credits
        #[arg(long)]
        credit_frozen: bool,
        /// How far below zero it may go, in the smallest unit; `unlimited` for any
        #[arg(long, default_value = "0", value_name = "AMOUNT")]
        overdraft_limit: String,
        /// The most it may hold, in the smallest unit; 0 for no limit
        #[arg(long, default_value_t = 0, value_name = "AMOUNT")]
        balance_max: u128,
        /// Any text of at most 1024 bytes
        #[arg(long, default_value = "")]
        metadata: String,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show wallets
    Show {
        /// Their ids, UUIDs or integers
        #[arg(required = true)]
        ids: Vec<WalletId>,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// `bursar asset …`
#[derive(Debug, Subcommand)]
pub enum AssetCommand {
    /// Create an asset
    Create {
        /// Its id, an integer from 1
        id: u32,
        /// Its code, such as USD: 1 to 16 of A–Z 0–9 _ . -
        code: String,
        /// How many decimal digits are behind the point: 2 for cents
        #[arg(long, default_value_t = 2)]
        scale: u8,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// `bursar transfer …`
#[derive(Debug, Args)]
pub struct TransferArguments {
    /// The wallet to debit
    pub from: WalletId,
    /// The wallet to credit
    pub to: WalletId,
    /// How much, in the asset's smallest unit
    pub amount: u128,
    /// The asset, by id
    #[arg(long)]
    pub asset: u32,
    /// The transfer's id, its idempotency key: send it again to be told what became of it [default: a new UUID]
    #[arg(long)]
    pub id: Option<TransferId>,
    /// Ties transfers together: a UUID or an integer
    #[arg(long, default_value = "0")]
    pub group: TransferId,
    /// What kind of transfer it is to you
    #[arg(long, default_value_t = 0)]
    pub code: u16,
    /// Any text of at most 256 bytes
    #[arg(long, default_value = "")]
    pub metadata: String,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}
