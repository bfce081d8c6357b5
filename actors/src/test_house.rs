//! A core of its own for a test: mailboxes that the test reads, a simulated disk on which entries are durable when the test says so,
//! and requests whose answers it looks at. It decides nothing.

use crate::admission::Admission;
use crate::claims::{Claim, Claims};
use crate::core::{Core, CoreParts, FaultHook, ReadJob, Readers, Transport, WalletsInMemory};
use crate::in_flight::InFlight;
use crate::originals::Originals;
use crate::outbox::Post;
use crate::request::{Answer, Answered, Operations, Request, RequestItem};
use crate::shard_machine::ShardMessage;
use ledger::{
    AssetId, NewWallet, Order, Outcome, OverdraftLimit, Owner, Transfer, TransferId, WalletFlags, WalletId,
};
use parking_lot::Mutex;
use persistence::{BooksOptions, GroupCommit, LedgerClock, LedgerReader, Sequencer, SimulatedDisk};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

const SHARDS: usize = 8;
pub(crate) const NOW: u64 = 1_000;

/// Mailboxes: what was posted, in order; or closed ones, which drop it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailboxes {
    closed: bool,
    posted: Arc<Mutex<Vec<(usize, ShardMessage)>>>,
}

impl Transport for Mailboxes {
    fn post(&self, shard: usize, message: ShardMessage) {
        if !self.closed {
            self.posted.lock().push((shard, message));
        }
    }
}

impl Post for Mailboxes {
    fn post(&mut self, shard: usize, message: ShardMessage) {
        Transport::post(self, shard, message);
    }
}

/// Work for readers, which the test does: see [`House::read`].
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<VecDeque<ReadJob>>>);

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.0.lock().len()).finish()
    }
}

impl Readers for Jobs {
    fn run(&self, job: ReadJob) {
        self.0.lock().push_back(job);
    }
}

/// A core whose mailboxes the test reads.
pub(crate) struct House {
    pub(crate) core: Arc<Core>,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) commit: GroupCommit,
    jobs: Jobs,
}

impl House {
    pub(crate) fn new(closed: bool) -> Self {
        Self::with_faults(closed, None)
    }

    pub(crate) fn with_faults(closed: bool, fault_hook: Option<FaultHook>) -> Self {
        let jobs = Jobs::default();
        let disk = SimulatedDisk::default();
        let opened = disk.open(&BooksOptions::default(), &mut |_, _, _| Ok(()));
        let opened = opened.expect("an empty disk can be opened");
        let sequencer = Arc::new(Sequencer::new(0, 0, Arc::new(LedgerClock::start(0))));
        let index = Arc::new(opened.index);
        let reader = LedgerReader::new(opened.journal.reader(), opened.books, Arc::clone(&index));
        let core = Core::new(CoreParts {
            sequencer: Arc::clone(&sequencer),
            claims: Claims::default(),
            originals: Originals::default(),
            assets: Vec::new(),
            imports: std::collections::BTreeMap::new(),
            admission: Arc::new(Admission::new(1, 1)),
            reader,
            wallets_in_memory: WalletsInMemory::default(),
            readers: Box::new(jobs.clone()),
            history_readers: Box::new(jobs.clone()),
            shards: SHARDS,
            shard_seed: 0,
            fault_hook,
            on_fatal: Box::new(|reason| panic!("nothing here is fatal: {reason}")),
        });
        let mailboxes = Mailboxes { closed, ..Mailboxes::default() };
        core.connect(Box::new(mailboxes.clone()));
        let commit = GroupCommit::new(sequencer, opened.journal, index);
        Self { core, mailboxes, commit, jobs }
    }

    /// Does the next piece of a reader's work; false if there is none.
    pub(crate) fn read(&self) -> bool {
        let job = self.jobs.0.lock().pop_front();
        job.map(|job| job()).is_some()
    }

    /// A request with the router's part done.
    pub(crate) fn request(&self, operations: Operations, deadline_ns: u64) -> Asked {
        let (sender, answer) = channel();
        let reply = Box::new(move |answered: Answered| {
            // The test may have failed meanwhile.
            let _sent = sender.send(answered);
        });
        let request = Request::new(Arc::clone(&self.core), operations, deadline_ns, None, reply);
        request.finish_one();
        Asked { request, answer }
    }

    /// A request for one transfer.
    pub(crate) fn transfer(&self, id: u128, deadline_ns: u64) -> Asked {
        let orders = vec![Order::Transfer(transfer(id))];
        self.request(Operations::Orders { orders, with_balances: false }, deadline_ns)
    }

    /// A request for one order of any kind.
    pub(crate) fn order(&self, order: Order, deadline_ns: u64) -> Asked {
        self.request(Operations::Orders { orders: vec![order], with_balances: false }, deadline_ns)
    }

    /// One that has claimed its id, on its way.
    pub(crate) fn granted(&self, asked: &Asked) -> InFlight {
        let item = asked.item();
        let id = item.order().expect("it is an order").id();
        let number = self.core.claims.numbers(1);
        assert_eq!(self.core.claims.claim(id, number, || panic!("nobody waits")), Claim::Granted);
        InFlight::new(item, number)
    }

    /// One that waits for the same id.
    pub(crate) fn waits(&self, asked: &Asked) {
        let item = asked.item();
        let id = item.order().expect("it is an order").id();
        assert_eq!(self.core.claims.claim(id, 0, || item.clone()), Claim::Waits);
    }

    pub(crate) fn posted(&self) -> Vec<(usize, ShardMessage)> {
        std::mem::take(&mut *self.mailboxes.posted.lock())
    }

    pub(crate) fn outcome(&mut self, asked: &Asked) -> Outcome {
        if self.commit.take() {
            self.commit.commit_taken().expect("the disk does not fail");
        }
        asked.outcome()
    }
}

pub(crate) struct Asked {
    pub(crate) request: Arc<Request>,
    answer: Receiver<Answered>,
}

impl Asked {
    pub(crate) fn item(&self) -> RequestItem {
        RequestItem { request: Arc::clone(&self.request), index: 0 }
    }

    pub(crate) fn is_answered(&self) -> bool {
        // Not taken away: looked at by whether the request still has to be answered.
        self.answer.try_recv().is_ok()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.answer.try_recv().expect("it is answered").into_answer() {
            Answer::Outcomes { outcomes, .. } => outcomes[0],
            other => panic!("not outcomes: {other:?}"),
        }
    }
}

pub(crate) fn transfer(id: u128) -> Transfer {
    Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(1),
        credit_wallet: WalletId(2),
        asset: AssetId(1),
        amount: 5,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

/// A wallet in the same asset, which may only spend what it has.
pub(crate) fn wallet_terms(id: u128) -> NewWallet {
    NewWallet {
        id: WalletId(id),
        owner: Owner::Number(0),
        asset: AssetId(1),
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit: OverdraftLimit::Limited(0),
        balance_max: 0,
        metadata: Box::default(),
        import: ledger::ImportId::NONE,
    }
}
