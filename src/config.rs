//! The configuration: built-in defaults < a TOML file < `BURSAR_*` in the environment < flags.
//!
//! Every value knows where it came from, so that `bursar config` can say so. It reads; it starts nothing.

use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile};
use protocol::{FRAME_HARD_MAX, FRAME_LIMIT_DEFAULT, FRAME_LIMIT_MIN};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The most that may be configured for requests under way: what they leave in the journal at once stays far below 4 GiB.
const REQUEST_BYTES_HARD_MAX: u64 = 1 << 30;

/// What the server can be told. Durations are written `5s`, `250ms`; 0 of a timeout means never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data directory; made if there is none.
    pub data: PathBuf,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics and health are served over HTTP.
    pub http: SocketAddr,
    /// How many shards, each with a thread of its own; 0 for one per processor.
    pub shards: usize,
    /// The largest frame, in bytes.
    pub frame_bytes_max: u32,
    /// How many connections at once.
    pub connections_max: usize,
    /// How many requests under way on one connection before the server stops reading from it.
    pub connection_requests_max: u32,
    /// How many operations under way on one connection before the server stops reading from it.
    pub connection_operations_max: u32,
    /// How many operations under way in all before requests are answered `overloaded`.
    pub operations_max: u64,
    /// How many bytes of requests under way in all before requests are answered `overloaded`.
    pub request_bytes_max: u64,
    /// How long a new connection may take for its hello.
    #[serde(with = "duration")]
    pub handshake_timeout: Duration,
    /// How long a connection may be silent with nothing under way.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a client may leave its replies unread.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// After how much silence TCP asks whether the other side is still there.
    #[serde(with = "duration")]
    pub keepalive: Duration,
    /// How long a stop waits for requests under way.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// How many wallets have an actor in memory; a wallet more takes the place of one that has not been used for a while.
    pub live_wallets_max: usize,
    /// How many more are kept as a record in memory, so that using them again does not read the disk.
    pub dormant_wallets_max: usize,
    /// How much of the books is cached in memory, in bytes.
    pub books_cache_bytes: u64,
    /// How many entries the books may lag behind the journal before everything slows down to their pace.
    pub books_lag_max: u64,
    /// How long entries that are too few to be worth it wait before they are folded into the books.
    #[serde(with = "duration")]
    pub books_interval: Duration,
    /// Below this much free space on the data directory's file system, writes are refused `disk_full`.
    pub free_bytes_min: u64,
    /// Start even if the wall clock is far from the newest entry.
    pub accept_clock: bool,
    /// What is logged, as in `RUST_LOG`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("bursar-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 7411)),
            http: SocketAddr::from(([127, 0, 0, 1], 7412)),
            shards: 0,
            frame_bytes_max: FRAME_LIMIT_DEFAULT,
            connections_max: 10_000,
            connection_requests_max: 1_024,
            connection_operations_max: 65_536,
            operations_max: 262_144,
            request_bytes_max: 256 << 20,
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(10),
            write_timeout: Duration::from_secs(30),
            keepalive: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(10),
            live_wallets_max: 100_000,
            dormant_wallets_max: 200_000,
            books_cache_bytes: 32 << 20,
            books_lag_max: 500_000,
            books_interval: Duration::from_mins(1),
            free_bytes_min: 1 << 30,
            accept_clock: false,
            log: "info,actix_server=warn,sled=error,fjall=off,lsm_tree=off".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there.
    #[error("there is no configuration file {}", .0.display())]
    NoFile(PathBuf),
    /// A value that cannot be read, or a name that is not known.
    #[error("{}", readable(.0))]
    Unreadable(Box<figment::Error>),
    /// A value that makes no sense.
    #[error("{key} = {value} (from {origin}): {reason}")]
    Value {
        /// Its name.
        key: &'static str,
        /// What it is.
        value: String,
        /// Where it came from.
        origin: String,
        /// Why not.
        reason: String,
    },
}

/// One line per fault, with the key and its source.
fn readable(error: &figment::Error) -> String {
    let lines = error.clone().into_iter().map(|fault| {
        let key = fault.path.join(".");
        let origin = fault.metadata.as_ref().map(origin_of);
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let origin = origin.map_or(String::new(), |origin| format!(" (from {origin})"));
        // A parser's message has a picture of the place over several lines; this is one.
        let kind = fault.kind.to_string();
        let kind: Vec<&str> = kind.split_whitespace().filter(|word| !["|", "^"].contains(word)).collect();
        format!("{key}{}{origin}", kind.join(" "))
    });
    // It quotes the file, which may name anything.
    without_controls(&lines.collect::<Vec<_>>().join("; "))
}

/// With control characters as one would write them, so that nothing breaks the line or talks to a terminal.
fn without_controls(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A configuration, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub config: Config,
    /// Each key with its value and its source, in the order of [`Config`].
    pub origins: Vec<(String, String, String)>,
}

/// Puts the configuration together. `flags` serializes to the keys that were given on the command line.
pub fn load(file: Option<&Path>, flags: impl Serialize) -> Result<Effective, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = file {
        if !file.exists() {
            return Err(ConfigError::NoFile(file.to_owned()));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let figment = figment
        // BURSAR_CONFIG names the file and is no key of it; BURSAR_ADDR is where the person's commands go.
        .merge(Env::prefixed("BURSAR_").ignore(&["config", "addr"]))
        .merge(Serialized::from(flags, Profile::Default));
    effective(&figment)
}

/// What the layers together say, if it makes sense.
pub fn effective(figment: &Figment) -> Result<Effective, ConfigError> {
    let config: Config = figment.extract().map_err(|error| ConfigError::Unreadable(Box::new(error)))?;
    let origin = |key: &str| figment.find_metadata(key).map_or_else(|| "default".to_owned(), origin_of);
    check(&config, &origin)?;
    let values = serde_json::to_value(&config).expect("a configuration has names and plain values");
    let origins = values
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned), origin(key))
        })
        .collect();
    Ok(Effective { config, origins })
}

fn origin_of(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ if metadata.name.contains("environment") => "environment".to_owned(),
        _ if metadata.name.contains("bursar::config::Config") => "default".to_owned(),
        _ => "flag".to_owned(),
    }
}

fn check(config: &Config, origin: &dyn Fn(&str) -> String) -> Result<(), ConfigError> {
    let require = |holds: bool, key: &'static str, value: String, reason: &str| {
        if holds {
            return Ok(());
        }
        Err(ConfigError::Value { key, value, origin: origin(key), reason: reason.to_owned() })
    };
    let frame = config.frame_bytes_max;
    require(
        (FRAME_LIMIT_MIN..=FRAME_HARD_MAX).contains(&frame),
        "frame_bytes_max",
        frame.to_string(),
        &format!("must be from {FRAME_LIMIT_MIN} to {FRAME_HARD_MAX}"),
    )?;
    require(config.shards <= 256, "shards", config.shards.to_string(), "must be at most 256")?;
    let positive = [
        ("connections_max", config.connections_max as u64),
        ("connection_requests_max", u64::from(config.connection_requests_max)),
        ("connection_operations_max", u64::from(config.connection_operations_max)),
        ("operations_max", config.operations_max),
        ("request_bytes_max", config.request_bytes_max),
        ("live_wallets_max", config.live_wallets_max as u64),
        ("books_lag_max", config.books_lag_max),
    ];
    for (key, value) in positive {
        require(value > 0, key, value.to_string(), "must be at least 1")?;
    }
    require(
        config.request_bytes_max <= REQUEST_BYTES_HARD_MAX,
        "request_bytes_max",
        config.request_bytes_max.to_string(),
        &format!("must be at most {REQUEST_BYTES_HARD_MAX}"),
    )?;
    require(
        u64::from(config.connection_operations_max) <= config.operations_max,
        "connection_operations_max",
        config.connection_operations_max.to_string(),
        "must not be more than operations_max: one connection could never use it",
    )?;
    require(
        config.listen != config.http || config.listen.port() == 0,
        "http",
        config.http.to_string(),
        "must differ from listen",
    )
}

impl Config {
    /// The number of shards, with 0 resolved.
    pub fn shard_count(&self) -> usize {
        match self.shards {
            0 => thread::available_parallelism().map_or(1, usize::from),
            shards => shards,
        }
    }
}

/// Durations as people write them.
mod duration {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&humantime::format_duration(*duration).to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        // An environment variable `0` arrives as a number.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(u64),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => humantime::parse_duration(&text).map_err(de::Error::custom),
            Written::Number(0) => Ok(Duration::ZERO),
            Written::Number(number) => {
                Err(de::Error::custom(format!("`{number}` has no unit: write `{number}s`")))
            }
        }
    }
}
