//! The command line: what can be asked for, and how it is written.

use crate::config::LogFormat;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use client::EventKind;
use ledger::{AssetId, ImportId, OrderKind, TransferId, WalletFlags, WalletId};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// Create, show or change wallets
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Create an asset, such as a currency
    #[command(subcommand)]
    Asset(AssetCommand),
    /// Move an amount from one wallet to another, or show what has become of an order
    Transfer(TransferCommand),
    /// Hold an amount: it counts against what is available until it is posted, voided or has expired; or list open holds
    Hold(HoldCommand),
    /// Capture a hold, in full or in part; the rest of it is released
    Post(PostArguments),
    /// Release a hold
    Void(VoidArguments),
    /// Move back what a transfer, a capture or a transaction has moved
    Reverse(ReverseArguments),
    /// Move amounts between several wallets, all together or not at all
    Transaction(TransactionArguments),
    /// Show what was decided, entry by entry: what there is, or with --follow everything from now on
    Events(EventsArguments),
    /// Show all debits and credits per asset, exact as of one moment
    TrialBalance(ClientFlags),
    /// Ask whether a server is there, and how long it takes to answer
    Ping(ClientFlags),
    /// Write everything that is durable into one file, of a running server or of a stopped data directory
    Backup(BackupArguments),
    /// Write entries as a table or as JSON, for other programs
    Export(ExportArguments),
    /// Create wallets with their opening balances from a CSV; nothing of it is shown before all of it is there
    Import(ImportArguments),
    /// Make a data directory of a backup
    Restore {
        /// The backup
        backup: PathBuf,
        /// The data directory; nothing may be in it
        directory: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a stopped data directory, a copy of one, or a backup, from its first record to its last
    Verify {
        /// The data directory or backup
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the books of a stopped data directory again from their own records, when something else in them is damaged
    Rebuild {
        /// The data directory
        directory: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a script that completes this command line in a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a directory
    Man {
        /// The directory, made if there is none
        directory: Option<PathBuf>,
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
    /// How many wallets have an actor in memory; others take the place of those that are not used [default: 100000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    live_wallets_max: Option<usize>,
    /// How many wallets more are kept as a record in memory [default: 200000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dormant_wallets_max: Option<usize>,
    /// How much of the books is cached in memory [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    books_cache_bytes: Option<u64>,
    /// How many entries the books may lag behind before everything slows down to their pace [default: 500000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    books_lag_max: Option<u64>,
    /// How long entries that are too few to be worth it wait before they are folded into the books [default: 1m]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    books_interval: Option<String>,
    /// Below this much free space, writes are refused `disk_full` and reads go on [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes_min: Option<u64>,
    /// Start even if the clock is far from the ledger's newest entry
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    accept_clock: bool,
    /// What is logged, as in `RUST_LOG`: `warn`, `info,bursar=debug` [default: `info,actix_server=warn,sled=error,fjall=off,lsm_tree=off`]
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

/// Where a ledger's records come from.
#[derive(Clone, Debug, Args)]
pub struct RecordSource {
    /// A stopped data directory or a backup, in place of a running server
    #[arg(long, value_name = "PATH", conflicts_with_all = ["addr", "timeout"])]
    pub data: Option<PathBuf>,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `bursar backup …`
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The file to write, or a directory to write one into whose name says when. Nothing is overwritten
    pub to: PathBuf,
    /// Of what
    #[command(flatten)]
    pub source: RecordSource,
}

/// `bursar export …`
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The file to write. Nothing is overwritten
    pub to: PathBuf,
    /// What kind of file [default: as its name ends: .csv, .jsonl or .parquet]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ExportFormat>,
    /// Only entries from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, or nanoseconds since 1970
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub from: Option<u64>,
    /// Only entries before this time, so that one month ends where the next one begins
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub before: Option<u64>,
    /// Only entries from this one on, to go on after the last one of an earlier export
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub from_seq: Option<u64>,
    /// Of what
    #[command(flatten)]
    pub source: RecordSource,
}

/// `bursar import …`
#[derive(Debug, Args)]
#[command(after_help = "\
The first line names the columns: id and asset, and what there is of balance, owner, code,
flags (separated by spaces), overdraft_limit, balance_max and metadata. Amounts are integers
in the asset's smallest unit; a balance may be negative, within the overdraft limit.

  id,asset,balance,owner,overdraft_limit
  2,1,1050,ada,
  3,1,-200,ben,500

It may be cut off anywhere and run again: what is there already is not done twice.")]
pub struct ImportArguments {
    /// The CSV
    pub file: PathBuf,
    /// The import's id, a UUID or an integer: files of one id are one import [default: one that follows from what the file holds]
    #[arg(long, value_parser = parse_import_id, value_name = "ID")]
    pub id: Option<ImportId>,
    /// The wallet that opening balances come from, one for each asset; may be given several times. It may be in the file itself
    #[arg(long = "opening-wallet", value_name = "ID")]
    pub opening_wallets: Vec<WalletId>,
    /// The code of the transfers that give wallets their balances
    #[arg(long, default_value_t = 0)]
    pub code: u16,
    /// Only check the file
    #[arg(long)]
    pub check: bool,
    /// Do not close the import: another file of the same id follows
    #[arg(long, requires = "id", conflicts_with = "check")]
    pub keep_open: bool,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A header and a row for each wallet that an entry changes
    Csv,
    /// One entry a line, as `bursar events --json` prints it
    Jsonl,
    /// The columns of the CSV, with types
    Parquet,
}

impl ExportFormat {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
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
    /// List wallets in the order of their ids
    List {
        /// Only this owner's: a UUID, an integer, or any text
        #[arg(long)]
        owner: Option<String>,
        /// Only of this kind to you
        #[arg(long)]
        code: Option<u16>,
        /// Only with all of these flags, separated by commas
        #[arg(long, value_delimiter = ',', value_parser = flag_parser(), value_name = "FLAG")]
        flags: Vec<WalletFlags>,
        /// How many of them
        #[command(flatten)]
        count: ListCount,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show what wallets hold, now or at a moment
    Balance {
        /// Their ids, UUIDs or integers
        #[arg(required = true)]
        ids: Vec<WalletId>,
        /// With everything up to this time: `2026-01-31`, `2026-01-31T12:00:00Z`, or nanoseconds since 1970
        #[arg(long, value_parser = parse_time, value_name = "TIME")]
        at: Option<u64>,
        /// With everything up to this journal entry; 0 is before the first
        #[arg(long, value_name = "N", conflicts_with = "at")]
        at_seq: Option<u64>,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show what was done to a wallet, with its balance before and after
    Statement(StatementArguments),
    /// Set both limits of a wallet. They may lie below what is in use: then only what would make it worse is refused
    SetLimits {
        /// Its id, a UUID or an integer
        id: WalletId,
        /// How far below zero it may go, in the smallest unit; `unlimited` for any
        #[arg(long, value_name = "AMOUNT")]
        overdraft_limit: String,
        /// The most it may hold, in the smallest unit; 0 for no limit
        #[arg(long, value_name = "AMOUNT")]
        balance_max: u128,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Refuse new transfers and holds from a wallet, to it, or both. What was held before can still be posted or voided
    Freeze {
        /// Its id, a UUID or an integer
        id: WalletId,
        /// Which sides
        #[command(flatten)]
        sides: FrozenSides,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Take new transfers and holds from a wallet, to it, or both again
    Unfreeze {
        /// Its id, a UUID or an integer
        id: WalletId,
        /// Which sides
        #[command(flatten)]
        sides: FrozenSides,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Close a wallet. It needs a balance of zero and no open holds
    Close {
        /// Its id, a UUID or an integer
        id: WalletId,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Reopen a closed wallet
    Reopen {
        /// Its id, a UUID or an integer
        id: WalletId,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Replace the metadata of a wallet
    SetMetadata {
        /// Its id, a UUID or an integer
        id: WalletId,
        /// Any text of at most 1024 bytes
        metadata: String,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// `bursar wallet statement …`
#[derive(Debug, Args)]
pub struct StatementArguments {
    /// Its id, a UUID or an integer
    pub id: WalletId,
    /// From this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, or nanoseconds since 1970 [default: the beginning]
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub from: Option<u64>,
    /// Up to this time [default: now]
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub to: Option<u64>,
    /// The newest entry first
    #[arg(long)]
    pub newest_first: bool,
    /// Only orders of this kind
    #[arg(long, value_parser = order_kind_parser(), value_name = "KIND")]
    pub kind: Option<OrderKind>,
    /// Only orders of this kind to you
    #[arg(long)]
    pub code: Option<u16>,
    /// Only orders that are tied together by this: a UUID or an integer
    #[arg(long)]
    pub group: Option<TransferId>,
    /// How many entries
    #[command(flatten)]
    pub count: ListCount,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// How much of a list is shown.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListCount {
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub limit: u64,
    /// All there are
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

impl ListCount {
    /// At most so many.
    pub fn max(self) -> u64 {
        if self.all { u64::MAX } else { self.limit }
    }
}

/// `bursar events …`
#[derive(Debug, Args)]
pub struct EventsArguments {
    /// From this journal entry on [default: the first; with --follow, the next one]
    #[arg(long, value_name = "N")]
    pub from_seq: Option<u64>,
    /// Only what has to do with this wallet; may be given up to 64 times
    #[arg(long = "wallet", value_name = "ID")]
    pub wallets: Vec<WalletId>,
    /// Only events of this kind; may be given several times
    #[arg(long = "kind", value_parser = event_kind_parser(), value_name = "KIND")]
    pub kinds: Vec<EventKind>,
    /// Only orders of this kind to you
    #[arg(long)]
    pub code: Option<u16>,
    /// Go on with what is decided from now on, until interrupted
    #[arg(long)]
    pub follow: bool,
    /// How to reach the server. JSON is one object a line
    #[command(flatten)]
    pub client: ClientFlags,
}

fn order_kind_parser() -> impl TypedValueParser<Value = OrderKind> {
    PossibleValuesParser::new(OrderKind::ALL.map(OrderKind::name))
        .map(|name| OrderKind::ALL.into_iter().find(|kind| kind.name() == name).expect("one of them"))
}

fn event_kind_parser() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.map(EventKind::name))
        .map(|name| EventKind::ALL.into_iter().find(|kind| kind.name() == name).expect("one of them"))
}

fn flag_parser() -> impl TypedValueParser<Value = WalletFlags> {
    PossibleValuesParser::new(WalletFlags::ALL.map(|(_, name)| name))
        .map(|text| WalletFlags::ALL.into_iter().find(|(_, name)| *name == text).expect("one of them").0)
}

/// An id that is one: 0 is that of no import.
fn parse_import_id(text: &str) -> Result<ImportId, String> {
    match text.parse() {
        Ok(ImportId::NONE) => Err("an import's id is not 0".to_owned()),
        Ok(id) => Ok(id),
        Err(error) => Err(format!("{error}")),
    }
}

/// A time as people write it, or in nanoseconds since 1970.
fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(timestamp_ns) = text.parse() {
        return Ok(timestamp_ns);
    }
    let at_midnight = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).or_else(|_| humantime::parse_rfc3339_weak(&at_midnight));
    let time = time.map_err(|_| {
        format!("`{text}` is no time: 2026-01-31, 2026-01-31T12:00:00Z, or nanoseconds since 1970")
    })?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    u64::try_from(since.as_nanos()).map_err(|_| "after 2554".to_owned())
}

/// Which sides of a wallet are frozen or unfrozen.
#[derive(Clone, Copy, Debug, Args)]
pub struct FrozenSides {
    /// Only what would be taken from it [default: both sides]
    #[arg(long)]
    pub debits: bool,
    /// Only what would be put into it [default: both sides]
    #[arg(long)]
    pub credits: bool,
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
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct TransferCommand {
    /// Something else than to make one.
    #[command(subcommand)]
    pub command: Option<TransferSubcommand>,
    /// What is moved, and between whom; always there without a subcommand.
    #[command(flatten)]
    pub movement: Option<Movement>,
    /// Its id and notes
    #[command(flatten)]
    pub notes: OrderNotes,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `bursar transfer show …`
#[derive(Debug, Subcommand)]
pub enum TransferSubcommand {
    /// Show orders of any kind: transfers, holds, captures, releases, reversals, transactions, and what has become of them
    Show {
        /// Their ids, UUIDs or integers
        #[arg(required = true)]
        ids: Vec<TransferId>,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// An amount, and between whom.
#[derive(Debug, Args)]
pub struct Movement {
    /// The wallet to debit, a UUID or an integer
    pub from: WalletId,
    /// The wallet to credit, a UUID or an integer
    pub to: WalletId,
    /// How much, in the asset's smallest unit
    pub amount: u128,
    /// The asset, by id
    #[arg(long)]
    pub asset: u32,
}

/// What every order has beside what it does.
#[derive(Debug, Args)]
pub struct OrderNotes {
    /// The order's own id, its idempotency key: send it again to be told what became of it [default: a new UUID]
    #[arg(long)]
    pub id: Option<TransferId>,
    /// Ties orders together: a UUID or an integer
    #[arg(long, default_value = "0")]
    pub group: TransferId,
    /// What kind of order it is to you
    #[arg(long, default_value_t = 0)]
    pub code: u16,
    /// Any text of at most 256 bytes
    #[arg(long, default_value = "")]
    pub metadata: String,
}

/// `bursar hold …`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct HoldCommand {
    /// Something else than to make one.
    #[command(subcommand)]
    pub command: Option<HoldSubcommand>,
    /// What is held, and between whom; always there without a subcommand.
    #[command(flatten)]
    pub movement: Option<Movement>,
    /// The hold expires after so long, in whole seconds, as in `15m` or `7days`; 0 for never [default: never]
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = parse_seconds, value_name = "DURATION")]
    pub expires_after: u32,
    /// Its id and notes
    #[command(flatten)]
    pub notes: OrderNotes,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `bursar hold list …`
#[derive(Debug, Subcommand)]
pub enum HoldSubcommand {
    /// List the open holds from and for a wallet, in the order of their ids
    List {
        /// Its id, a UUID or an integer
        wallet: WalletId,
        /// How many of them
        #[command(flatten)]
        count: ListCount,
        /// How to reach the server
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// `bursar post …`
#[derive(Debug, Args)]
pub struct PostArguments {
    /// The id of the hold
    pub hold: TransferId,
    /// How much of it, in the asset's smallest unit [default: all]
    pub amount: Option<u128>,
    /// Its id and notes
    #[command(flatten)]
    pub notes: OrderNotes,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `bursar void …`
#[derive(Debug, Args)]
pub struct VoidArguments {
    /// The id of the hold
    pub hold: TransferId,
    /// Its id and notes
    #[command(flatten)]
    pub notes: OrderNotes,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `bursar reverse …`
#[derive(Debug, Args)]
pub struct ReverseArguments {
    /// The id of the transfer, the capture or the transaction to reverse
    pub original: TransferId,
    /// How much of it, in the asset's smallest unit; a transaction is reversed in full only [default: all that is left]
    pub amount: Option<u128>,
    /// Its id and notes
    #[command(flatten)]
    pub notes: OrderNotes,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `bursar transaction …`
#[derive(Debug, Args)]
#[command(after_help = "\
Example: ada (2) pays 100, of which ben (3) gets 95 and the house (9) a fee of 5:

  bursar transaction --asset 1 --debit 2:100 --credit 3:95 --credit 9:5

An exchange between two assets: --debit 2:100:1 --credit 8:100:1 --debit 9:90:2 --credit 4:90:2")]
pub struct TransactionArguments {
    /// Take AMOUNT out of WALLET, in ASSET's smallest unit; may be given several times
    #[arg(long = "debit", required = true, value_name = "WALLET:AMOUNT[:ASSET]")]
    pub debits: Vec<LegArgument>,
    /// Put AMOUNT into WALLET; may be given several times. In each asset, the debits must be the credits
    #[arg(long = "credit", required = true, value_name = "WALLET:AMOUNT[:ASSET]")]
    pub credits: Vec<LegArgument>,
    /// The asset, by id, of legs that do not say which
    #[arg(long)]
    pub asset: Option<u32>,
    /// Its id and notes
    #[command(flatten)]
    pub notes: OrderNotes,
    /// How to reach the server
    #[command(flatten)]
    pub client: ClientFlags,
}

/// One leg of a transaction as it is written: `WALLET:AMOUNT` or `WALLET:AMOUNT:ASSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegArgument {
    /// Whose balance changes.
    pub wallet: WalletId,
    /// In the asset's smallest unit.
    pub amount: u128,
    /// In what; `None` for what holds for the whole transaction.
    pub asset: Option<AssetId>,
}

impl FromStr for LegArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (Some(wallet), Some(amount), asset, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("a leg is WALLET:AMOUNT or WALLET:AMOUNT:ASSET".to_owned());
        };
        let asset = asset.map(|asset| asset.parse().map_err(|_| format!("`{asset}` is no id of an asset")));
        Ok(Self {
            wallet: wallet.parse().map_err(|error| format!("{error}"))?,
            amount: amount.parse().map_err(|_| format!("`{amount}` is no amount: an integer from 1"))?,
            asset: asset.transpose()?.map(AssetId),
        })
    }
}

/// A duration in whole seconds, such as `15m`; 0 without a unit, too.
fn parse_seconds(text: &str) -> Result<u32, String> {
    if text == "0" {
        return Ok(0);
    }
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.subsec_nanos() != 0 {
        return Err("a hold expires after whole seconds".to_owned());
    }
    u32::try_from(duration.as_secs()).map_err(|_| "a hold expires within 136 years, or never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_leg_is_a_wallet_an_amount_and_perhaps_an_asset() {
        let check = |text: &str, expected: Result<(u128, u128, Option<u32>), &str>| match (
            text.parse::<LegArgument>(),
            expected,
        ) {
            (Ok(leg), Ok(expected)) => {
                assert_eq!((leg.wallet.0, leg.amount, leg.asset.map(|asset| asset.0)), expected, "{text}");
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
            (found, _) => panic!("{text} is read as {found:?}"),
        };
        check("2:100", Ok((2, 100, None)));
        check("00000000-0000-0000-0000-000000000002:100:840", Ok((2, 100, Some(840))));
        check("2", Err("WALLET:AMOUNT"));
        check("2:100:840:1", Err("WALLET:AMOUNT"));
        check("ada:100", Err("neither a UUID nor an integer"));
        check("2:-100", Err("`-100` is no amount"));
        check("2:100:USD", Err("`USD` is no id of an asset"));
        check("2::1", Err("`` is no amount"));
    }

    #[test]
    fn a_time_is_a_date_a_date_and_a_time_or_nanoseconds() {
        let check = |text: &str, expected: Result<u64, &str>| match (parse_time(text), expected) {
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
            (found, expected) => assert_eq!(found.ok(), expected.ok(), "{text}"),
        };
        check("2026-01-01", Ok(1_767_225_600_000_000_000));
        check("2026-01-01T00:00:01Z", Ok(1_767_225_601_000_000_000));
        check("2026-01-01 00:00:01", Ok(1_767_225_601_000_000_000));
        check("2026-01-01T00:00:00.000000007Z", Ok(1_767_225_600_000_000_007));
        check("1767225600000000007", Ok(1_767_225_600_000_000_007));
        check("0", Ok(0));
        check("yesterday", Err("`yesterday` is no time"));
        check("2026-13-01", Err("is no time"));
    }

    #[test]
    fn a_hold_expires_after_whole_seconds() {
        let check = |text: &str, expected: Result<u32, &str>| match (parse_seconds(text), expected) {
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
            (found, expected) => assert_eq!(found.ok(), expected.ok(), "{text}"),
        };
        check("0", Ok(0));
        check("0s", Ok(0));
        check("15m", Ok(900));
        check("7days", Ok(604_800));
        check("1500ms", Err("whole seconds"));
        check("60", Err("unit"));
        check("200years", Err("136 years"));
    }
}
