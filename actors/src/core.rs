//! What all machines share: the sequencer, the claims, the assets, the ways to post a message and to read the disk.
//!
//! Nothing here knows actix: in the server the transport is the shards' mailboxes, in a simulation it is a seeded
//! scheduler's.

use crate::admission::{Admission, Permit, Rejection};
use crate::claims::Claims;
use crate::expiry::ExpiringInBooks;
use crate::imports::Imports;
use crate::originals::Originals;
use crate::outbox::{Outbox, Post};
use crate::request::{Operations, Request};
use crate::router_machine;
use crate::shard_machine::ShardMessage;
use crate::supervision::guard;
use crate::trial_balance::TrialBalances;
use foldhash::fast::FixedState;
use ledger::{Asset, AssetId, ImportId, WalletId};
use metrics::{Counter, counter};
use parking_lot::{Mutex, RwLock};
use persistence::{BooksView, LedgerReader, PersistenceError, Sequencer};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Carries messages to shards.
pub(crate) trait Transport: Send + Sync + fmt::Debug {
    /// Puts the message into the mailbox of the shard. Never waits.
    fn post(&self, shard: usize, message: ShardMessage);
}

/// A piece of work that reads the disk.
pub(crate) type ReadJob = Box<dyn FnOnce() + Send>;

/// Runs what reads the disk, away from the shards' threads.
pub(crate) trait Readers: Send + Sync + fmt::Debug {
    /// Runs the job soon. Never waits.
    fn run(&self, job: ReadJob);
}

/// Where a fault may be injected by a test: called with a name before each step that could fail.
pub type FaultHook = Arc<dyn Fn(&'static str, WalletId) + Send + Sync>;

/// The places at which a fault ends the process. At all others it is a wallet's, which is restarted.
pub const FATAL_FAULT_PLACES: &[&str] =
    &["route", "shard_create", "shard_live", "shard_read", "shard_deliver", "restart", "rebuild", "load"];

/// An asset, and the entry that created it.
#[derive(Clone, Debug)]
pub(crate) struct KnownAsset {
    pub(crate) asset: Asset,
    pub(crate) created_seq: u64,
    pub(crate) created_at_ns: u64,
}

/// Called once with the reason when the process cannot go on.
pub type OnFatal = Box<dyn FnOnce(String) + Send>;

#[derive(Debug)]
pub(crate) struct CoreMetrics {
    pub(crate) restarts: Counter,
    pub(crate) quarantines: Counter,
    pub(crate) retries: Counter,
}

/// How many wallets may be in memory, over all shards. The bounds are soft: what is under way is never turned away for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletsInMemory {
    /// With an actor.
    pub live_max: usize,
    /// As a record only, so that its actor is started without reading the disk.
    pub dormant_max: usize,
}

impl Default for WalletsInMemory {
    fn default() -> Self {
        Self { live_max: 100_000, dormant_max: 200_000 }
    }
}

/// What all machines share.
pub(crate) struct Core {
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) claims: Claims,
    pub(crate) originals: Originals,
    pub(crate) assets: RwLock<BTreeMap<AssetId, KnownAsset>>,
    pub(crate) imports: Imports,
    pub(crate) admission: Arc<Admission>,
    /// Reads durable entries and whatever follows from them, over the books and the journal.
    pub(crate) reader: LedgerReader,
    readers: Box<dyn Readers>,
    history_readers: Box<dyn Readers>,
    pub(crate) wallets_in_memory: WalletsInMemory,
    pub(crate) trial_balances: TrialBalances,
    pub(crate) expiring_in_books: ExpiringInBooks,
    restart_numbers: AtomicU64,
    pub(crate) live_wallets: AtomicU64,
    pub(crate) known_wallets: AtomicU64,
    pub(crate) disk_full: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) fault_hook: Option<FaultHook>,
    pub(crate) metrics: CoreMetrics,
    transport: OnceLock<Box<dyn Transport>>,
    shards: usize,
    shard_hasher: FixedState,
    on_fatal: Mutex<Option<OnFatal>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("shards", &self.shards).finish_non_exhaustive()
    }
}

/// What a [`Core`] is made of.
pub(crate) struct CoreParts {
    /// Gives entries their place.
    pub sequencer: Arc<Sequencer>,
    /// The ids that are used up.
    pub claims: Claims,
    /// What orders can be about, as far as it has come.
    pub originals: Originals,
    /// The assets there are, with the entry that created each and its time.
    pub assets: Vec<(Asset, u64, u64)>,
    /// The imports that are closed, each with the entry that closed it and its time.
    pub imports: BTreeMap<ImportId, (u64, u64)>,
    /// How much may be under way.
    pub admission: Arc<Admission>,
    /// Reads durable entries and whatever follows from them.
    pub reader: LedgerReader,
    /// How many wallets may be in memory.
    pub wallets_in_memory: WalletsInMemory,
    /// Runs what reads the disk for wallets and orders.
    pub readers: Box<dyn Readers>,
    /// Runs what reads the past, so that no wallet waits for it.
    pub history_readers: Box<dyn Readers>,
    /// How many shards there are.
    pub shards: usize,
    /// Which wallets go to which shard depends on it; not to be guessed from outside.
    pub shard_seed: u64,
    /// A test's faults.
    pub fault_hook: Option<FaultHook>,
    /// Called when the process cannot go on.
    pub on_fatal: OnFatal,
}

impl fmt::Debug for CoreParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreParts").finish_non_exhaustive()
    }
}

impl Core {
    /// Puts the parts together. The transport follows, once there are shards.
    pub(crate) fn new(parts: CoreParts) -> Arc<Self> {
        let assets = parts.assets.into_iter().map(|(asset, created_seq, created_at_ns)| {
            (asset.id, KnownAsset { asset, created_seq, created_at_ns })
        });
        Arc::new(Self {
            sequencer: parts.sequencer,
            claims: parts.claims,
            originals: parts.originals,
            assets: RwLock::new(assets.collect()),
            imports: Imports::new(parts.imports),
            admission: parts.admission,
            reader: parts.reader,
            wallets_in_memory: parts.wallets_in_memory,
            readers: parts.readers,
            history_readers: parts.history_readers,
            trial_balances: TrialBalances::default(),
            expiring_in_books: ExpiringInBooks::default(),
            restart_numbers: AtomicU64::new(1),
            live_wallets: AtomicU64::new(0),
            known_wallets: AtomicU64::new(0),
            disk_full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            fault_hook: parts.fault_hook,
            metrics: CoreMetrics {
                restarts: counter!("bursar_wallet_restarts_total"),
                quarantines: counter!("bursar_wallet_quarantines_total"),
                retries: counter!("bursar_transfer_retries_total"),
            },
            transport: OnceLock::new(),
            shards: parts.shards,
            shard_hasher: FixedState::with_seed(parts.shard_seed),
            on_fatal: Mutex::new(Some(parts.on_fatal)),
        })
    }

    /// Sets the way to the shards, once.
    pub(crate) fn connect(&self, transport: Box<dyn Transport>) {
        assert!(self.transport.set(transport).is_ok(), "the shards are connected once");
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards
    }

    /// The shard that keeps the wallet.
    #[inline]
    pub(crate) fn shard_of(&self, wallet: WalletId) -> usize {
        // Multiply and shift instead of a remainder; the hash is uniform.
        let hash = self.shard_hasher.hash_one(wallet);
        ((u128::from(hash) * self.shards as u128) >> 64) as usize
    }

    /// Posts to a shard at once, from anywhere.
    pub(crate) fn post(&self, shard: usize, message: ShardMessage) {
        self.transport
            .get()
            .expect("no request is taken before the shards are connected")
            .post(shard, message);
    }

    /// Routes a request from outside a router.
    pub(crate) fn route(self: &Arc<Self>, request: &Arc<Request>) {
        let mut outbox = Outbox::new(self.shards);
        router_machine::route(self, request, &mut outbox);
        outbox.drain_into(|shard, messages| {
            for message in messages {
                self.post(shard, message);
            }
        });
    }

    /// The books as they are now. What leaves the table of claims is in the books before: so an id that was not in the table
    /// before this was called is surely new if these surely do not hold it.
    pub(crate) fn books_now(&self) -> Arc<BooksView> {
        self.reader.view()
    }

    /// The books hold everything up to the view's moment: it need not be in memory any more.
    pub(crate) fn forget_what_books_hold(&self, view: &BooksView) {
        // The claims first: who finds no claim looks into the books, and there finds what has become of it as well.
        let is_hasty = cfg!(bursar_broken = "hasty_forgetting");
        self.claims.forget_through(if is_hasty { u64::MAX } else { view.seq() });
        self.originals.forget_through(view.seq());
        self.reader.forget_through(view.seq());
    }

    /// Admits a request of so many bytes, or says why not.
    pub(crate) fn admit(&self, operations: &Operations, bytes: u64) -> Result<Permit, Rejection> {
        if self.sequencer.is_poisoned() {
            return Err(Rejection::Unavailable);
        }
        if self.is_stopping() {
            return Err(Rejection::ShuttingDown);
        }
        if operations.is_write() && self.disk_full.load(Ordering::Relaxed) {
            return Err(Rejection::DiskFull);
        }
        let weight = operations.len().max(1) as u64;
        self.admission.admit(weight, bytes).ok_or(Rejection::Overloaded)
    }

    /// A number for a wallet's restart, or its loading, that no other has: what was asked for by a wallet that has left memory
    /// since is not taken by the one that has come back.
    pub(crate) fn next_restart_number(&self) -> u64 {
        self.restart_numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs what a wallet or an order needs of the disk, away from the shards' threads. A panic in there leaves somebody without an
    /// answer for ever, so the process cannot go on.
    pub(crate) fn read_soon(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        self.readers.run(self.guarded(job, "a reader of the journal has failed"));
    }

    /// The same for reads of the past, which may take long: nobody else's work waits for them.
    pub(crate) fn read_history_soon(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        self.history_readers.run(self.guarded(job, "a reader of the history has failed"));
    }

    fn guarded(self: &Arc<Self>, job: impl FnOnce() + Send + 'static, failed: &'static str) -> ReadJob {
        let core = Arc::clone(self);
        Box::new(move || {
            if guard(job).is_err() {
                core.fatal(failed);
            }
        })
    }

    /// The journal cannot give back what it has acknowledged; unless it was closed meanwhile, by a stop that does not
    /// wait for those who read.
    pub(crate) fn cannot_read(&self, error: &PersistenceError) {
        if !(matches!(error, PersistenceError::Closed) && self.is_stopping()) {
            self.fatal(&error.to_string());
        }
    }

    /// The process cannot go on. Says why to whoever asked for it, once; and to everybody who waits or will ask, that
    /// the outcome is not known.
    pub(crate) fn fatal(&self, reason: &str) {
        let Some(on_fatal) = self.on_fatal.lock().take() else { return };
        tracing::error!(reason, "the ledger stops");
        self.sequencer.poison();
        on_fatal(reason.to_owned());
    }

    #[inline]
    pub(crate) fn inject_fault(&self, place: &'static str, wallet: WalletId) {
        if let Some(hook) = &self.fault_hook {
            hook(place, wallet);
        }
    }

    /// Whether mailboxes may be closed: the server stops, or the process cannot go on.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_stopping() || self.sequencer.is_poisoned()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl Post for &Core {
    fn post(&mut self, shard: usize, message: ShardMessage) {
        Core::post(self, shard, message);
    }
}
