//! One life of the process, from opening the disk to its end: the server's machines, and what they run on.
//!
//! A step is what some thread of the server does without being interrupted: a shard handling what has arrived, a wallet
//! handling one message, the writer taking what has gathered, or writing it. Which step is next is not decided here.

use super::clients::Asked;
use super::history::History;
use super::sources::{Injected, Jobs, Panics, SeededClock, SeededReaders, Wires};
use crate::admission::{Admission, Rejection};
use crate::core::{Core, CoreParts, WalletsInMemory};
use crate::expiry;
use crate::outbox::Outbox;
use crate::recovered_tail::RecoveredTail;
use crate::references;
use crate::request::{Answer, Request};
use crate::router_machine;
use crate::shard_machine::{ShardMachine, WalletHost};
use crate::wallet_machine::{REBUILD_PATIENCE_NS, Turn, WalletMachine, WalletMessage};
use ledger::original::Original;
use ledger::{Wallet, WalletId};
use parking_lot::Mutex;
use persistence::{
    Bookkeeper, BooksOptions, BooksView, Clock, GroupCommit, LedgerReader, PersistenceError, RecoveryReport,
    Sequencer, SimulatedDisk, WholeJournal,
};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// How much may be under way: little, so that requests are turned away as well.
const OPERATIONS_MAX: u64 = 24;

/// Why the process ends after a panic that nobody is restarted from.
pub(super) const PANICKED: &str = "an injected panic of a router, a shard, a reader or a restart";

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A router takes a request.
    Route(usize),
    /// A message, or several sent together, arrives: the queue that it is in.
    Deliver(usize),
    /// A wallet handles a message, or is restarted: its shard and its place there.
    Wallet(usize, usize),
    /// A wallet's timer goes off.
    Timer(usize, usize),
    /// A shard sends what its wallets have left.
    Flush(usize),
    /// The writer takes what has gathered.
    Take,
    /// The writer makes durable what it has taken, and tells who waits.
    Commit,
    /// A reader does a piece of work.
    Read,
    /// The bookkeeper folds what is durable.
    Fold,
}

/// A live wallet: its machine, and what its actor would hold.
#[derive(Debug)]
struct LiveWallet {
    id: WalletId,
    machine: WalletMachine,
    mailbox: VecDeque<WalletMessage>,
    has_failed: bool,
    timer: Option<(u64, u64)>,
}

/// A wallet that has left stays in its place, with nothing in its mailbox.
#[derive(Debug)]
struct Host {
    core: Arc<Core>,
    wallets: Vec<LiveWallet>,
}

impl WalletHost for Host {
    type Address = usize;

    fn activate(&mut self, id: WalletId, wallet: Option<Box<Wallet>>) -> usize {
        let machine = WalletMachine::new(id, wallet, self.core.sequencer.appended_seq());
        self.wallets.push(LiveWallet {
            id,
            machine,
            mailbox: VecDeque::new(),
            has_failed: false,
            timer: None,
        });
        self.wallets.len() - 1
    }

    fn deliver(&mut self, &address: &usize, message: WalletMessage) {
        self.wallets[address].mailbox.push_back(message);
    }
}

#[derive(Debug)]
struct Shard {
    machine: ShardMachine<usize>,
    host: Host,
    outbox: Outbox,
}

/// An answer, and the newest entry that was on the disk for sure when it was given.
pub(super) type Given = (usize, Answer, u64);

/// How a process is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) shards: usize,
    pub(super) shard_seed: u64,
    pub(super) wall_clock_ns: u64,
    pub(super) wallets_in_memory: WalletsInMemory,
    /// Entries in a window of the books.
    pub(super) window_entries: u64,
}

/// The process.
#[derive(Debug)]
pub(super) struct World {
    core: Arc<Core>,
    disk: SimulatedDisk,
    clock: Arc<SeededClock>,
    wires: Arc<Wires>,
    jobs: Arc<Jobs>,
    pub(super) panics: Arc<Panics>,
    commit: GroupCommit,
    bookkeeper: Bookkeeper,
    has_taken: bool,
    routers: Vec<VecDeque<Arc<Request>>>,
    shards: Vec<Shard>,
    answers: Arc<Mutex<Vec<Given>>>,
    is_alive: Arc<AtomicBool>,
    fatal: Arc<Mutex<Option<String>>>,
}

impl World {
    /// Opens the disk and starts everything on it, as the engine does.
    pub(super) fn open(
        disk: &SimulatedDisk,
        start: Start,
    ) -> Result<(Self, RecoveryReport), PersistenceError> {
        let Start { shards, shard_seed, wall_clock_ns, wallets_in_memory, window_entries } = start;
        let mut tail = RecoveredTail::default();
        let opened = disk
            .open(&BooksOptions::for_simulation(window_entries), &mut |seq, timestamp_ns, entry| {
                tail.take_up(seq, timestamp_ns, &entry)
            })?;
        let books = opened.books;
        tail.add_books(&books.view())?;
        let clock = Arc::new(SeededClock::at(wall_clock_ns));
        let shared_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let sequencer = Arc::new(Sequencer::new(opened.last_seq, opened.last_timestamp_ns, shared_clock));
        let index = Arc::new(opened.index);
        let (jobs, panics) = (Arc::new(Jobs::default()), Arc::new(Panics::default()));
        let fatal = Arc::new(Mutex::new(None));
        let on_fatal = Arc::clone(&fatal);
        let (journal, trimmer) = (opened.journal.reader(), opened.journal.trimmer());
        let core = Core::new(CoreParts {
            sequencer: Arc::clone(&sequencer),
            claims: tail.claims,
            originals: tail.originals,
            assets: tail.assets,
            imports: tail.imports,
            admission: Arc::new(Admission::new(OPERATIONS_MAX, u64::MAX / 2)),
            reader: LedgerReader::new(Arc::clone(&journal), Arc::clone(&books), Arc::clone(&index)),
            wallets_in_memory,
            readers: Box::new(SeededReaders(Arc::clone(&jobs))),
            history_readers: Box::new(SeededReaders(Arc::clone(&jobs))),
            shards,
            shard_seed,
            fault_hook: Some(panics.hook()),
            on_fatal: Box::new(move |reason| *on_fatal.lock() = Some(reason)),
        });
        // A thread for each shard, the writer's, the readers', and the bookkeeper's.
        let wires = Arc::new(Wires::new(shards + 3, shards));
        core.connect(Box::new(Arc::clone(&wires)));
        let forgets = Arc::clone(&core);
        let on_view = Box::new(move |view: &Arc<BooksView>| forgets.forget_what_books_hold(view));
        let shard = |number| Shard {
            machine: ShardMachine::new(number, Arc::clone(&core)),
            host: Host { core: Arc::clone(&core), wallets: Vec::new() },
            outbox: Outbox::new(shards),
        };
        let world = Self {
            shards: (0..shards).map(shard).collect(),
            commit: GroupCommit::new(sequencer, opened.journal, index),
            bookkeeper: Bookkeeper::new(books, journal, trimmer, on_view),
            core,
            disk: disk.clone(),
            clock,
            wires,
            jobs,
            panics,
            has_taken: false,
            routers: (0..shards).map(|_| VecDeque::new()).collect(),
            answers: Arc::default(),
            is_alive: Arc::new(AtomicBool::new(true)),
            fatal,
        };
        Ok((world, opened.report))
    }

    /// Sends a request to a router. The answer comes under its number.
    pub(super) fn submit(
        &mut self,
        number: usize,
        asked: &Asked,
        deadline_in_ns: Option<u64>,
        via: usize,
    ) -> Result<(), Rejection> {
        let operations = asked.operations();
        let permit = self.core.admit(&operations, 100)?;
        let deadline_ns = deadline_in_ns.map_or(u64::MAX, |in_ns| self.now_ns() + in_ns);
        let (answers, is_alive) = (Arc::clone(&self.answers), Arc::clone(&self.is_alive));
        let disk = self.disk.clone();
        let reply = Box::new(move |answered: crate::request::Answered| {
            if is_alive.load(Ordering::Relaxed) {
                answers.lock().push((number, answered.into_answer(), disk.synced_head_seq()));
            }
        });
        let request = Request::new(Arc::clone(&self.core), operations, deadline_ns, Some(permit), reply);
        let router = via % self.routers.len();
        self.routers[router].push_back(request);
        Ok(())
    }

    /// Everything that may happen next.
    pub(super) fn enabled(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend(
            (0..self.routers.len()).filter(|&router| !self.routers[router].is_empty()).map(Step::Route),
        );
        steps.extend(self.wires.busy().into_iter().map(Step::Deliver));
        for (number, shard) in self.shards.iter().enumerate() {
            if !shard.outbox.is_empty() {
                steps.push(Step::Flush(number));
            }
            for (place, wallet) in shard.host.wallets.iter().enumerate() {
                if wallet.has_failed || !wallet.mailbox.is_empty() {
                    steps.push(Step::Wallet(number, place));
                }
                if wallet.timer.is_some_and(|(at_ns, _)| at_ns <= self.now_ns()) {
                    steps.push(Step::Timer(number, place));
                }
            }
        }
        if self.has_taken {
            steps.push(Step::Commit);
        } else if self.core.sequencer.appended_seq() > self.core.sequencer.durable_seq() {
            steps.push(Step::Take);
        }
        if self.jobs.len() > 0 {
            steps.push(Step::Read);
        }
        steps
    }

    /// Whether the books lag behind. Nobody waits for them, so they are left out of [`Self::enabled`].
    pub(super) fn can_fold(&self) -> bool {
        self.core.sequencer.durable_seq() > self.core.reader.view().seq()
    }

    /// Does a step; `choose` says which of several messages arrives first. A panic that was injected where nobody is
    /// restarted ends the process, as the actors of routers and shards have it.
    pub(super) fn run(&mut self, step: Step, choose: &mut dyn FnMut(usize) -> usize) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run_unguarded(step, choose))) {
            if !panic.is::<Injected>() {
                resume_unwind(panic);
            }
            self.core.fatal(PANICKED);
        }
    }

    fn run_unguarded(&mut self, step: Step, choose: &mut dyn FnMut(usize) -> usize) {
        let shards = self.shards.len();
        match step {
            Step::Route(router) => {
                self.wires.run_as(router);
                let request = self.routers[router].pop_front().expect("the step is enabled");
                let mut outbox = Outbox::new(shards);
                router_machine::route(&self.core, &request, &mut outbox);
                outbox.drain_into(|shard, messages| self.wires.send(shard, messages));
            }
            Step::Deliver(queue) => {
                let place = choose(self.wires.len(queue));
                let (number, messages) = self.wires.take(queue, place);
                self.wires.run_as(number);
                let Shard { machine, host, .. } = &mut self.shards[number];
                let mut send = |shard, messages| self.wires.send(shard, messages);
                machine.handle_all(messages.into_iter(), host, &mut send);
            }
            Step::Flush(number) => {
                self.wires.run_as(number);
                let Shard { machine, host, outbox } = &mut self.shards[number];
                let mut send = |shard, messages| self.wires.send(shard, messages);
                let for_self = machine.send_others(outbox, &mut send);
                machine.handle_all(for_self.into_iter(), host, &mut send);
            }
            Step::Wallet(number, place) => {
                self.wires.run_as(number);
                let now_ns = self.now_ns();
                let Shard { host, outbox, .. } = &mut self.shards[number];
                let wallet = &mut host.wallets[place];
                let mut turn = Turn { core: &self.core, now_ns, post: outbox };
                wallet.run(&mut turn);
            }
            Step::Timer(number, place) => {
                let wallet = &mut self.shards[number].host.wallets[place];
                let (_, restart) = wallet.timer.take().expect("the step is enabled");
                wallet.mailbox.push_back(WalletMessage::LosePatience { restart });
            }
            Step::Take => {
                assert!(self.commit.take(), "an entry has gathered");
                self.has_taken = true;
            }
            Step::Commit => {
                self.wires.run_as(shards);
                self.has_taken = false;
                if let Err(error) = self.commit.commit_taken() {
                    self.core.fatal(&error.to_string());
                }
            }
            Step::Read => {
                self.wires.run_as(shards + 1);
                let place = choose(self.jobs.len());
                self.jobs.take(place)();
            }
            Step::Fold => {
                self.wires.run_as(shards + 2);
                if let Err(error) = self.bookkeeper.step() {
                    self.core.fatal(&error.to_string());
                }
            }
        }
    }

    /// Holds whose time has come expire, as the server's clock ticks.
    pub(super) fn expire_holds(&self) {
        self.wires.run_as(0);
        expiry::expire_due(&self.core);
    }

    /// What was answered since the last time.
    pub(super) fn take_answers(&self) -> Vec<Given> {
        std::mem::take(&mut *self.answers.lock())
    }

    /// Why the process has to end, if it has to.
    pub(super) fn fatal(&self) -> Option<String> {
        self.fatal.lock().clone()
    }

    /// All entries, wherever they lie.
    pub(super) fn whole_journal(&self) -> WholeJournal {
        self.core.reader.whole_journal()
    }

    pub(super) fn durable_seq(&self) -> u64 {
        self.core.sequencer.durable_seq()
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    pub(super) fn pass_time(&self, nanoseconds: u64) {
        self.clock.pass(nanoseconds);
    }

    pub(super) fn set_disk_full(&self, disk_full: bool) {
        self.core.disk_full.store(disk_full, Ordering::Relaxed);
    }

    /// Nothing is under way any more: nothing may be left of it, and the wallets in memory are the journal's.
    pub(super) fn assert_at_rest(&self, history: &History) {
        let fold = history.fold();
        assert!(self.core.originals.is_at_rest(), "somebody still decides on {:?}", self.core.originals);
        for (id, state) in history.holds() {
            let known = self.core.originals.known(id).map(|(original, _)| original);
            let known = known.unwrap_or_else(|| {
                let recent_seq = self.core.claims.decided(id).unwrap_or_default();
                references::read_original(&self.core, id, recent_seq).expect("it can be read").0
            });
            assert!(
                matches!(known, Original::Hold { state: known, .. } if known == state),
                "the hold {id} is {state:?}, and known as {known:?}"
            );
        }
        assert_eq!(self.core.admission.operations(), 0, "permits come back");
        assert_eq!(self.core.admission.bytes(), 0, "permits come back");
        assert_eq!(self.core.sequencer.appended_seq(), fold.last_seq);
        for wallet in self.shards.iter().flat_map(|shard| &shard.host.wallets) {
            assert!(wallet.machine.is_idle(), "wallet {} is left with {:?}", wallet.id, wallet.machine);
            if !wallet.machine.is_quarantined() && !wallet.machine.is_gone() {
                assert_eq!(wallet.machine.committed(), fold.wallets.get(&wallet.id), "wallet {}", wallet.id);
            }
        }
        let reader = &self.core.reader;
        for (id, wallet) in &fold.wallets {
            let read = reader.wallet_as_of(*id, fold.last_seq).expect("what is durable can be read");
            assert_eq!(read.as_ref(), Some(wallet), "wallet {id} in the books and above them");
        }
        assert_eq!(reader.totals_as_of(fold.last_seq).expect("what is durable can be read"), fold.totals());
    }

    /// How many wallets have been given up.
    pub(super) fn quarantined(&self) -> usize {
        let wallets = self.shards.iter().flat_map(|shard| &shard.host.wallets);
        wallets.filter(|wallet| wallet.machine.is_quarantined()).count()
    }

    /// The process is gone; nobody hears of it again, and nothing of it is left. The disk must have failed or crashed.
    pub(super) fn end(mut self) {
        self.is_alive.store(false, Ordering::Relaxed);
        // Whoever waits for the journal is told that it has failed, also who comes to wait only while all is dropped; what
        // that makes others send is lost.
        self.core.sequencer.poison();
        while self.has_taken || self.commit.take() {
            self.has_taken = false;
            assert!(self.commit.commit_taken().is_err(), "nothing is written after the end");
        }
        self.routers.clear();
        self.shards.clear();
        loop {
            let busy = self.wires.busy();
            if busy.is_empty() && self.jobs.len() == 0 {
                break;
            }
            for queue in busy {
                drop(self.wires.take(queue, 0));
            }
            // A reader that has begun ends what it does.
            while self.jobs.len() > 0 {
                self.jobs.take(0)();
            }
        }
        let core: Weak<Core> = Arc::downgrade(&self.core);
        drop(self);
        assert!(core.upgrade().is_none(), "somebody still holds on to the core after everything was dropped");
    }
}

impl LiveWallet {
    /// One message, or the restart after a failure, as the wallet's actor and its supervisor do it.
    fn run(&mut self, turn: &mut Turn<'_>) {
        if self.has_failed {
            self.has_failed = false;
            if let Some(restart) = self.machine.restart(turn) {
                self.timer = Some((turn.now_ns + REBUILD_PATIENCE_NS, restart));
            }
            return;
        }
        let message = self.mailbox.pop_front().expect("the step is enabled");
        let handled = catch_unwind(AssertUnwindSafe(|| self.machine.handle(message, turn)));
        if let Err(panic) = handled {
            if !panic.is::<Injected>() {
                resume_unwind(panic);
            }
            self.has_failed = true;
        }
    }
}
