//! The running ledger: its threads, actors and journal writer, behind one handle.
//!
//! Whoever serves clients submits requests here and is called back with the answers. It never sees a socket.

use crate::admission::{Admission, Rejection};
use crate::core::{Core, CoreParts, FaultHook, OnFatal, Transport, WalletsInMemory};
use crate::reader_pool::ReaderPool;
use crate::recovered_tail::RecoveredTail;
use crate::request::{Operations, Reply, Request};
use crate::router_actor::{Route, RouterActor};
use crate::shard_actor::{Connect, ShardActor};
use crate::shard_machine::ShardMessage;
use actix::{Actor, Addr};
use actix_rt::{Arbiter, ArbiterHandle};
use parking_lot::Mutex;
use persistence::{
    Bookkeeper, BookkeeperThread, BooksOptions, BooksView, FoldLag, FoldPace, GroupCommit, JournalWriter,
    LedgerClock, LedgerReader, OpenOptions, PersistenceError, RecoveryReport, Sequencer, Waiter, open_ledger,
};
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a ledger is to be run.
#[derive(Clone)]
pub struct EngineOptions {
    /// The data directory; made if there is none.
    pub data: PathBuf,
    /// How many shards, each with a thread of its own.
    pub shards: usize,
    /// How many operations may be under way at once.
    pub operations_max: u64,
    /// How many bytes of requests may be under way at once.
    pub request_bytes_max: u64,
    /// How many wallets may be in memory.
    pub wallets_in_memory: WalletsInMemory,
    /// How the books are kept.
    pub books: BooksOptions,
    /// By how many entries the books may lag behind before everything slows down to their pace.
    pub books_lag_max: u64,
    /// How long entries that are too few to be worth it wait before they are folded into the books.
    pub books_interval: Duration,
    /// Start even if the wall clock is far from the newest entry.
    pub accept_clock: bool,
    /// A test's faults; `None` in production.
    pub fault_hook: Option<FaultHook>,
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions")
            .field("data", &self.data)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// Why a ledger did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something about the data directory.
    #[error(transparent)]
    Persistence(#[from] PersistenceError),
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the engine is doing, for metrics and people.
#[derive(Clone, Copy, Debug)]
pub struct EngineStatus {
    /// The newest entry that has a place.
    pub appended_seq: u64,
    /// The newest entry that is durable.
    pub durable_seq: u64,
    /// Wallets with an actor.
    pub live_wallets: u64,
    /// All wallets.
    pub wallets: u64,
    /// Operations under way.
    pub operations: u64,
    /// Bytes of requests under way.
    pub request_bytes: u64,
    /// Whether writes are refused for lack of space.
    pub disk_full: bool,
    /// Whether the journal has failed.
    pub poisoned: bool,
}

/// A running ledger. Cheap to clone; all clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Engine {
    core: Arc<Core>,
    routers: Arc<[Addr<RouterActor>]>,
    arbiters: Arc<[ArbiterHandle]>,
    threads: Arc<Mutex<Option<Threads>>>,
}

#[derive(Debug)]
struct Threads {
    arbiters: Vec<Arbiter>,
    writer: JournalWriter,
    bookkeeper: BookkeeperThread,
    lag: Arc<FoldLag>,
}

#[derive(Debug)]
struct Mailboxes(Vec<Addr<ShardActor>>);

impl Transport for Mailboxes {
    fn post(&self, shard: usize, message: ShardMessage) {
        self.0[shard].do_send(message);
    }
}

impl Engine {
    /// Opens the data directory, replays it, and starts the actors. Needs a running actix system.
    ///
    /// `on_fatal` is called once, from any thread, if the process cannot go on: a journal that failed, a shard that
    /// died. Nothing is answered from then on but that the outcome is not known.
    pub fn start(options: &EngineOptions, on_fatal: OnFatal) -> Result<(Self, RecoveryReport), StartError> {
        let tail = RefCell::new(RecoveredTail::default());
        let opened = open_ledger(
            &options.data,
            &OpenOptions::default(),
            &options.books,
            options.accept_clock,
            &mut |seq, timestamp_ns, entry| tail.borrow_mut().take_up(seq, timestamp_ns, &entry),
            &mut |books| tail.borrow_mut().add_books(books),
        )?;
        let (tail, books) = (tail.into_inner(), opened.books);
        let clock = Arc::new(LedgerClock::start(opened.last_timestamp_ns));
        let sequencer = Arc::new(Sequencer::new(opened.last_seq, opened.last_timestamp_ns, clock));
        let index = Arc::new(opened.index);
        let journal = opened.journal.reader();
        let trimmer = opened.journal.trimmer();
        let core = Core::new(CoreParts {
            sequencer: Arc::clone(&sequencer),
            claims: tail.claims,
            originals: tail.originals,
            assets: tail.assets,
            imports: tail.imports,
            admission: Arc::new(Admission::new(options.operations_max, options.request_bytes_max)),
            reader: LedgerReader::new(Arc::clone(&journal), Arc::clone(&books), Arc::clone(&index)),
            wallets_in_memory: options.wallets_in_memory,
            readers: Box::new(ReaderPool::start()?),
            history_readers: Box::new(ReaderPool::start()?),
            shards: options.shards,
            shard_seed: foldhash::fast::RandomState::default().hash_one(0),
            fault_hook: options.fault_hook.clone(),
            on_fatal,
        });
        core.known_wallets.store(tail.wallets, Ordering::Relaxed);
        let lag = Arc::new(FoldLag::new(books.view().seq(), options.books_lag_max));
        let commit =
            GroupCommit::new(Arc::clone(&sequencer), opened.journal, index).held_back_by(Arc::clone(&lag));
        let failed = Arc::clone(&core);
        let writer = JournalWriter::start(commit, Box::new(move |reason| failed.fatal(&reason)))?;

        let on_view = {
            let (core, lag) = (Arc::clone(&core), Arc::clone(&lag));
            Box::new(move |view: &Arc<BooksView>| {
                core.forget_what_books_hold(view);
                lag.advance(view.seq());
            })
        };
        let failed = Arc::clone(&core);
        let bookkeeper = BookkeeperThread::start(
            Bookkeeper::new(books, journal, trimmer, on_view),
            sequencer,
            FoldPace::new(options.books_interval, options.books_lag_max),
            Box::new(move |reason| failed.fatal(&reason)),
        )?;

        let arbiters: Vec<Arbiter> = (0..options.shards).map(|_| Arbiter::new()).collect();
        let handles: Arc<[ArbiterHandle]> = arbiters.iter().map(Arbiter::handle).collect();
        let mut shards = Vec::with_capacity(options.shards);
        for (number, arbiter) in handles.iter().enumerate() {
            let core = Arc::clone(&core);
            shards.push(ShardActor::start_in_arbiter(arbiter, move |context| {
                ShardActor::new(number, core, context)
            }));
        }
        for shard in &shards {
            // The first message in the mailbox: nobody else has the address yet.
            shard.do_send(Connect(shards.clone()));
        }
        core.connect(Box::new(Mailboxes(shards.clone())));
        let routers = handles
            .iter()
            .enumerate()
            .map(|(number, arbiter)| {
                let (core, shards) = (Arc::clone(&core), shards.clone());
                RouterActor::start_in_arbiter(arbiter, move |_| RouterActor::new(core, shards, number == 0))
            })
            .collect();
        let threads = Arc::new(Mutex::new(Some(Threads { arbiters, writer, bookkeeper, lag })));
        Ok((Self { core, routers, arbiters: handles, threads }, opened.report))
    }

    /// The shards' threads. Connections live there too, each beside the router that it uses.
    pub fn arbiters(&self) -> &[ArbiterHandle] {
        &self.arbiters
    }

    /// Submits a request to the router on the thread `via`; `reply` is called with the answer, from any thread.
    ///
    /// `bytes` is what the request weighs in memory. `deadline` counts from now: an operation that has not been begun
    /// by then is surely not executed.
    pub fn submit(
        &self,
        via: usize,
        operations: Operations,
        bytes: u64,
        deadline: Option<Duration>,
        reply: Reply,
    ) -> Result<(), Rejection> {
        let permit = self.core.admit(&operations, bytes)?;
        let deadline_ns = deadline.map_or(u64::MAX, |deadline| {
            let deadline_ns = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
            self.core.sequencer.now_ns().saturating_add(deadline_ns)
        });
        let request = Request::new(Arc::clone(&self.core), operations, deadline_ns, Some(permit), reply);
        self.routers[via % self.routers.len()].do_send(Route(request));
        Ok(())
    }

    /// The newest entry that is durable.
    pub fn durable_seq(&self) -> u64 {
        self.core.sequencer.durable_seq()
    }

    /// Calls back once this entry is durable, at once if it is, or when it is known that it will not be. From the journal
    /// writer's thread, so the callback hands over and returns.
    pub fn when_durable(&self, seq: u64, waiter: Waiter) {
        self.core.sequencer.when_durable(seq, waiter);
    }

    /// Reads the history, on a thread on which nobody else's work waits for it but other reads of that kind. What it reads
    /// above [`Self::durable_seq`] is not to be told to anybody.
    pub fn read_history(&self, job: impl FnOnce(&LedgerReader) + Send + 'static) {
        let core = Arc::clone(&self.core);
        self.core.read_history_soon(move || job(&core.reader));
    }

    /// A read of the history has failed. That is fatal, unless the server is stopping.
    pub fn cannot_read_history(&self, error: &PersistenceError) {
        self.core.cannot_read(error);
    }

    /// Ledger time, in nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        self.core.sequencer.now_ns()
    }

    /// What it is doing.
    pub fn status(&self) -> EngineStatus {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        EngineStatus {
            appended_seq: self.core.sequencer.appended_seq(),
            durable_seq: self.core.sequencer.durable_seq(),
            live_wallets: load(&self.core.live_wallets),
            wallets: load(&self.core.known_wallets),
            operations: self.core.admission.operations(),
            request_bytes: self.core.admission.bytes(),
            disk_full: self.core.disk_full.load(Ordering::Relaxed),
            poisoned: self.core.sequencer.is_poisoned(),
        }
    }

    /// Says whether there is too little space for writes.
    pub fn set_disk_full(&self, disk_full: bool) {
        self.core.disk_full.store(disk_full, Ordering::Relaxed);
    }

    /// From now on, new requests are turned away with [`Rejection::ShuttingDown`].
    pub fn refuse_new(&self) {
        self.core.stopping.store(true, Ordering::Release);
    }

    /// Stops: refuses new requests, waits (at most for `patience`) until those under way are answered, writes what
    /// there is, closes the journal and ends the threads. The first call does it; others return at once.
    pub async fn stop(&self, patience: Duration) -> Result<(), PersistenceError> {
        self.refuse_new();
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        let drained = async {
            while self.core.admission.operations() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!(operations = self.core.admission.operations(), "stopping with requests under way");
        }
        // Blocks this thread for as long as the last commit takes; nothing else is left to do.
        // The books first: they read the journal. What is written after them is folded by the next start.
        let kept = threads.bookkeeper.stop();
        threads.lag.release();
        let written = threads.writer.stop();
        for arbiter in threads.arbiters {
            arbiter.stop();
            // A thread that panicked has been reported by the panic hook.
            let _ended = arbiter.join();
        }
        written.and(kept)
    }
}
