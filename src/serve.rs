//! The server: opens the ledger, listens, and stops cleanly.
//!
//! `main` calls [`run`] with a configuration, the listeners and a future that ends when the server is to stop; tests
//! call it the same way.

use crate::config::Config;
use crate::connection::{self, ConnectionContext, OpenConnection};
use crate::event_feed::{self, Wake};
use crate::http::{self, HttpState};
use crate::telemetry::Telemetry;
use actors::{BooksOptions, Engine, EngineOptions, FaultHook, RecoveryReport, WalletsInMemory};
use anyhow::{Context, bail};
use persistence::free_bytes;
use protocol::{ErrorCode, ErrorReply, Reply, encode_reply};
use socket2::{SockRef, TcpKeepalive};
use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// How often the free space is looked at.
const DISK_INTERVAL: Duration = Duration::from_millis(250);

/// How often histograms are folded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long the clients' `unavailable` may take to go out when the journal has failed: on a busy machine, and to clients that are slow to
/// read.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The sockets that a server listens on.
#[derive(Debug)]
pub struct Listeners {
    clients: TcpListener,
    http: TcpListener,
}

impl Listeners {
    /// Binds both addresses. A port of 0 takes a free one.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind = |address: SocketAddr, what: &str| -> anyhow::Result<TcpListener> {
            let listener = TcpListener::bind(address).with_context(|| {
                format!("cannot listen on {address} for {what}: choose another address with --{what}")
            })?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        Ok(Self { clients: bind(config.listen, "listen")?, http: bind(config.http, "http")? })
    }

    /// Where clients connect.
    pub fn clients_address(&self) -> io::Result<SocketAddr> {
        self.clients.local_addr()
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }
}

/// Serves until `stop` ends, then drains and returns. An error means that the process must not go on.
///
/// Needs a running actix system. `announce` is given the lines that tell people what was opened; the last one says
/// where clients connect, and by then they can.
pub async fn run(
    config: Config,
    listeners: Listeners,
    telemetry: Arc<Telemetry>,
    announce: impl Fn(&str),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    run_with_faults(config, listeners, telemetry, None, announce, stop).await
}

/// Like [`run`], with the faults of a test.
pub async fn run_with_faults(
    config: Config,
    listeners: Listeners,
    telemetry: Arc<Telemetry>,
    fault_hook: Option<FaultHook>,
    announce: impl Fn(&str),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (fatal_sender, mut fatal) = oneshot::channel();
    let options = EngineOptions {
        data: config.data.clone(),
        shards: config.shard_count(),
        operations_max: config.operations_max,
        request_bytes_max: config.request_bytes_max,
        wallets_in_memory: WalletsInMemory {
            live_max: config.live_wallets_max,
            dormant_max: config.dormant_wallets_max,
        },
        books: BooksOptions::with_cache_bytes(config.books_cache_bytes),
        books_lag_max: config.books_lag_max,
        books_interval: config.books_interval,
        accept_clock: config.accept_clock,
        fault_hook,
    };
    let (engine, report) = Engine::start(
        &options,
        Box::new(move |reason| {
            let _already_stopping = fatal_sender.send(reason);
        }),
    )?;
    Telemetry::recovered(report.elapsed.as_secs_f64(), report.entries);
    announce_recovery(&config, &report, engine.status().wallets, &announce);
    look_at_disk(&config, &engine, &telemetry);

    let stopping = Arc::new(AtomicBool::new(false));
    let (clients_address, http_address) = (listeners.clients_address()?, listeners.http_address()?);
    let state = HttpState {
        engine: engine.clone(),
        telemetry: Arc::clone(&telemetry),
        stopping: Arc::clone(&stopping),
    };
    let http = http::serve(listeners.http, state).context("cannot serve HTTP")?;
    let http_handle = http.handle();
    actix_rt::spawn(http);
    announce(&format!("metrics and health on http://{http_address}"));

    let context = Arc::new(ConnectionContext {
        engine: engine.clone(),
        telemetry: Arc::clone(&telemetry),
        config: config.clone(),
        open: AtomicUsize::new(0),
        unwritten: AtomicU64::new(0),
        wake: watch::Sender::new(Wake::default()),
    });
    let listener = tokio::net::TcpListener::from_std(listeners.clients)?;
    let accepting = actix_rt::spawn(accept(listener, Arc::clone(&context)));
    let waking = actix_rt::spawn(event_feed::wake_subscriptions(Arc::clone(&context)));
    let housekeeping = actix_rt::spawn(keep_house(config.clone(), engine.clone(), telemetry));
    announce(&format!("listening on {clients_address}"));

    let failed = tokio::select! {
        () = stop => None,
        reason = &mut fatal => Some(reason.unwrap_or_else(|_| "the ledger is gone".to_owned())),
    };
    stopping.store(true, Ordering::Release);
    accepting.abort();
    engine.refuse_new();
    waking.abort();
    event_feed::end_subscriptions(&context);
    let patience = if failed.is_some() { LAST_WORDS } else { config.drain_timeout };
    let stop_begun = Instant::now();
    let drained = drain(&context, patience).await;
    http_handle.stop(false).await;
    housekeeping.abort();
    if !drained {
        tracing::warn!(
            unwritten = context.unwritten.load(Ordering::Relaxed),
            "stopping with replies unwritten"
        );
    }
    if let Some(reason) = failed {
        bail!("{reason}");
    }
    let rest = config.drain_timeout.saturating_sub(stop_begun.elapsed());
    engine.stop(rest).await.context("the stop is not a clean one")?;
    announce("stopped");
    Ok(())
}

/// Waits until every reply has been written; false if that took too long.
async fn drain(context: &ConnectionContext, patience: Duration) -> bool {
    let drained = async {
        count_what_was_read(context).await;
        while context.unwritten.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(patience, drained).await.is_ok()
}

/// Waits until each thread of connections has done what it was doing. A connection reads a request and counts it as one that waits for
/// its reply without a pause in between, so what was read before this is counted after it.
async fn count_what_was_read(context: &ConnectionContext) {
    for arbiter in context.engine.arbiters() {
        let (sender, done) = oneshot::channel();
        arbiter.spawn_fn(move || {
            // Nobody waits any more once that took too long.
            let _ = sender.send(());
        });
        // A thread that has ended has dropped its connections.
        let _ended = done.await;
    }
}

fn announce_recovery(config: &Config, report: &RecoveryReport, wallets: u64, announce: &impl Fn(&str)) {
    let data = config.data.display();
    let shards = config.shard_count();
    let mut line = format!("bursar {} with {shards} shards, data in {data}: ", env!("CARGO_PKG_VERSION"));
    let written = if report.created {
        write!(line, "new ledger")
    } else {
        let stop = if report.clean { "a clean stop" } else { "a crash" };
        let (entries, seconds) = (report.entries, report.elapsed.as_secs_f64());
        write!(line, "{wallets} wallets from {entries} entries, recovered in {seconds:.2} s after {stop}")
    };
    written.expect("writing to a string does not fail");
    announce(&line);
    if let Some(dropped) = &report.dropped_tail {
        announce(&format!(
            "dropped {} unfinished records after entry {}, none of them acknowledged: {}",
            dropped.records, report.last_seq, dropped.damage
        ));
    }
    for warning in &report.warnings {
        announce(&format!("warning: {warning}"));
    }
}

async fn accept(listener: tokio::net::TcpListener, context: Arc<ConnectionContext>) {
    let threads = context.engine.arbiters().len();
    let mut next = 0;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly no file descriptor left: others have to close first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        context.telemetry.connections_accepted.increment(1);
        let Some(counted) = OpenConnection::count(&context) else {
            actix_rt::spawn(turn_away(stream, Arc::clone(&context)));
            continue;
        };
        if let Err(error) = set_options(&stream, &context.config) {
            tracing::debug!(%peer, %error, "cannot set socket options");
        }
        let via = next;
        next = (next + 1) % threads;
        let Ok(stream) = stream.into_std() else { continue };
        let started =
            context.engine.arbiters()[via].spawn_fn(move || match tokio::net::TcpStream::from_std(stream) {
                Ok(stream) => {
                    actix_rt::spawn(connection::serve(stream, peer, via, counted));
                }
                Err(error) => tracing::warn!(%peer, %error, "cannot take a connection over"),
            });
        if !started {
            return;
        }
    }
}

fn set_options(stream: &tokio::net::TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if !config.keepalive.is_zero() {
        SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(config.keepalive))?;
    }
    Ok(())
}

async fn turn_away(mut stream: tokio::net::TcpStream, context: Arc<ConnectionContext>) {
    let error = ErrorReply::new(ErrorCode::TooManyConnections, "as many connections as may be are open");
    context.telemetry.error_reply(error.code);
    let mut bytes = Vec::new();
    encode_reply(0, &Reply::Error(error), context.config.frame_bytes_max, &mut bytes);
    // A courtesy, that must not cost more than the connection would.
    let _sent = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&bytes)).await;
}

async fn keep_house(config: Config, engine: Engine, telemetry: Arc<Telemetry>) {
    let mut disk = tokio::time::interval(DISK_INTERVAL);
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = disk.tick() => look_at_disk(&config, &engine, &telemetry),
            _ = upkeep.tick() => telemetry.upkeep(),
        }
    }
}

fn look_at_disk(config: &Config, engine: &Engine, telemetry: &Telemetry) {
    match free_bytes(&config.data) {
        Ok(free) => {
            telemetry.disk_free(free);
            let full = free < config.free_bytes_min;
            if full != engine.status().disk_full {
                let (free, reserve) = (free, config.free_bytes_min);
                if full {
                    tracing::error!(free, reserve, "free space is below the reserve: writes are refused");
                } else {
                    tracing::info!(free, reserve, "there is room again: writes are taken");
                }
            }
            engine.set_disk_full(full);
        }
        Err(error) => tracing::error!(%error, "cannot tell the free space"),
    }
}

/// Ends when the process is asked to stop: SIGTERM or SIGINT.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prints one line for people and programs that wait for it.
pub fn print_line(line: &str) {
    // Standard output may be closed; the server goes on.
    let _closed = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}
