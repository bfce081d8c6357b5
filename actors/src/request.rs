//! A request under way: its operations, a slot for the outcome of each, and who is to be told.
//!
//! All parts of the house that work on a request share it; the operations never change, the slots are filled one by
//! one from any thread. When the last is filled, the request waits until the newest entry that its answer could have
//! seen is durable, and only then is it answered.

use crate::admission::Permit;
use crate::core::Core;
use crate::query::{Query, QueryAnswer};
use crate::ticket::{Fate, Ticket};
use ledger::fold::AssetTotals;
use ledger::{
    Asset, HoldState, HoldTerms, ImportId, NewWallet, Order, Outcome, Pending, Refusal, RefusalDetail, Route,
    Status, TransferId, Wallet, WalletChange, WalletId,
};
use parking_lot::Mutex;
use persistence::Poisoned;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};

/// What a request asks for: a batch of operations of one kind.
#[derive(Debug)]
pub enum Operations {
    /// Create assets; a refusal stands for one that cannot even be named.
    CreateAssets(Vec<Result<Asset, Refusal>>),
    /// Create wallets.
    CreateWallets(Vec<NewWallet>),
    /// Close imports, which shows their wallets.
    CloseImports(Vec<ImportId>),
    /// Change settings of wallets.
    ChangeWallets(Vec<WalletChange>),
    /// Do orders of any kind, each on its own.
    Orders {
        /// The orders.
        orders: Vec<Order>,
        /// Whether the positions of their wallets are asked for.
        with_balances: bool,
    },
    /// Let holds expire whose time has come; asked for by the server itself.
    ExpireHolds(Vec<TransferId>),
    /// Wallets as they are now.
    LookupWallets(Vec<WalletId>),
    /// Transfers as they were decided.
    LookupTransfers(Vec<TransferId>),
    /// The totals of each asset over all wallets, as of one moment.
    TrialBalance,
    /// What the ledger has kept.
    Query(Query),
}

impl Operations {
    /// How many operations there are in the batch.
    pub fn len(&self) -> usize {
        match self {
            Operations::CreateAssets(assets) => assets.len(),
            Operations::CreateWallets(wallets) => wallets.len(),
            Operations::CloseImports(imports) => imports.len(),
            Operations::ChangeWallets(changes) => changes.len(),
            Operations::Orders { orders, .. } => orders.len(),
            Operations::LookupWallets(ids) => ids.len(),
            Operations::LookupTransfers(ids) | Operations::ExpireHolds(ids) => ids.len(),
            Operations::Query(Query::BalancesAt { wallets, .. }) => wallets.len().max(1),
            Operations::TrialBalance | Operations::Query(_) => 1,
        }
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the journal may grow by it.
    pub fn is_write(&self) -> bool {
        match self {
            Operations::CreateAssets(_)
            | Operations::CreateWallets(_)
            | Operations::CloseImports(_)
            | Operations::ChangeWallets(_)
            | Operations::Orders { .. }
            | Operations::ExpireHolds(_) => true,
            Operations::LookupWallets(_)
            | Operations::LookupTransfers(_)
            | Operations::TrialBalance
            | Operations::Query(_) => false,
        }
    }
}

/// A wallet as of a moment: with every entry up to `as_of_seq` in it, and none above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletView {
    /// The wallet, without its holds: there may be very many.
    pub wallet: Wallet,
    /// What can be spent; `None` where there is no limit.
    pub available: Option<i128>,
    /// The moment.
    pub as_of_seq: u64,
    /// Ledger time when it was read: what has expired by then does not count.
    pub as_of_ns: u64,
}

impl WalletView {
    /// `None` if it was being imported when the request came.
    pub(crate) fn shown(request: &Request, wallet: &Wallet, as_of_seq: u64, as_of_ns: u64) -> Option<Self> {
        if !request.core.imports.shows(wallet.terms.import, request.came_at_seq) {
            return None;
        }
        let available = wallet.available(as_of_ns);
        Some(Self { wallet: wallet.without_holds(), available, as_of_seq, as_of_ns })
    }
}

/// An order, what it was first answered, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// As it was asked for.
    pub order: Order,
    /// Created, or refused for good.
    pub outcome: Outcome,
    /// What others have made of it.
    pub progress: Progress,
}

/// What has become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing can: it was refused, or is itself a void or a reversal.
    None,
    /// It is a hold.
    Hold {
        /// As it was made.
        terms: HoldTerms,
        /// How it has ended, if it has.
        state: HoldState,
    },
    /// It has moved money.
    Moved {
        /// How much; of a transaction 1, which is all of it.
        amount: u128,
        /// How much of that was moved back.
        reversed: u128,
    },
}

/// The totals of all assets as of a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalanceView {
    /// The moment: everything up to this entry is in the totals, and nothing above.
    pub as_of_seq: u64,
    /// Assets in the order of their ids.
    pub assets: Vec<(Asset, AssetTotals)>,
}

/// What a request is answered.
#[derive(Debug)]
pub enum Answer {
    /// One outcome per operation, in order; if asked for, the positions of each operation's wallets.
    Outcomes {
        /// The outcomes.
        outcomes: Vec<Outcome>,
        /// Per operation the wallets of its route that exist, debit first; empty if not asked for.
        balances: Vec<Vec<WalletView>>,
    },
    /// One view per wallet asked for, in order.
    Wallets(Vec<Option<WalletView>>),
    /// One view per order asked for, in order.
    Transfers(Vec<Option<TransferView>>),
    /// The totals.
    TrialBalance(TrialBalanceView),
    /// What the ledger has kept.
    Query(QueryAnswer),
    /// A read that was not begun by its deadline.
    DeadlineExceeded,
    /// The request as a whole could not be answered, though nothing was left half done: ask again.
    Unavailable,
    /// The journal failed: whether the outcome is on disk is not known.
    OutcomeUnknown,
}

/// Called once, from any thread, with the answer. It hands over and returns.
pub type Reply = Box<dyn FnOnce(Answered) + Send>;

/// A request whose answer is ready. The answer is put together by who takes it, on its own thread.
pub struct Answered {
    /// `None` if there is nothing to be put together.
    request: Option<Arc<Request>>,
    durable: Result<(), Poisoned>,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").field("durable", &self.durable).finish_non_exhaustive()
    }
}

impl Answered {
    /// The answer.
    pub fn into_answer(self) -> Answer {
        match (self.durable, self.request) {
            (Ok(()), Some(request)) => request.take_answer(),
            _ => Answer::OutcomeUnknown,
        }
    }
}

/// What one operation needs beside its fields.
#[derive(Debug, Default)]
struct Slot {
    ticket: Ticket,
    seq: AtomicU64,
    timestamp_ns: AtomicU64,
    status: AtomicU16,
    replayed: AtomicU8,
}

/// What reads find.
#[derive(Debug, Default)]
enum Views {
    #[default]
    None,
    Wallets(Vec<Option<WalletView>>),
    Transfers(Vec<Option<TransferView>>),
    TrialBalance(Option<TrialBalanceView>),
    Query(QueryAnswer),
    DeadlineExceeded,
}

/// A request under way.
pub(crate) struct Request {
    pub(crate) core: Arc<Core>,
    operations: Operations,
    slots: Box<[Slot]>,
    details: Mutex<Vec<(u32, RefusalDetail)>>,
    views: Mutex<Views>,
    /// Positions that were asked for beside the outcomes, filled by a read that follows the transfers.
    balances: Mutex<Vec<Option<WalletView>>>,
    /// The wallets of orders that do not name them themselves, if positions are asked for.
    routes: Mutex<HashMap<u32, Vec<WalletId>>>,
    /// Operations without an outcome, and one for the router until it has given them all out.
    unfinished: AtomicUsize,
    /// The newest entry that the answer depends on.
    seen_seq: AtomicU64,
    /// The newest entry when it came: what an import shows, it shows to all parts of a request or to none.
    came_at_seq: u64,
    deadline_ns: u64,
    reply: Mutex<Option<Reply>>,
    permit: Mutex<Option<Permit>>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("operations", &self.operations.len()).finish_non_exhaustive()
    }
}

impl Request {
    /// A request whose operations all wait to be begun. `deadline_ns` is in ledger time; `u64::MAX` for none.
    pub(crate) fn new(
        core: Arc<Core>,
        operations: Operations,
        deadline_ns: u64,
        permit: Option<Permit>,
        reply: Reply,
    ) -> Arc<Self> {
        let count = operations.len();
        let slots = if operations.is_write() {
            (0..count).map(|_| Slot::default()).collect()
        } else {
            Box::default()
        };
        let views = match &operations {
            Operations::LookupWallets(ids) => Views::Wallets(vec![None; ids.len()]),
            Operations::LookupTransfers(ids) => Views::Transfers(vec![None; ids.len()]),
            Operations::TrialBalance => Views::TrialBalance(None),
            _ => Views::None,
        };
        // A query is answered as a whole.
        let parts = if matches!(operations, Operations::Query(_)) { 1 } else { count };
        let came_at_seq = core.sequencer.appended_seq();
        Arc::new(Self {
            core,
            came_at_seq,
            operations,
            slots,
            details: Mutex::default(),
            views: Mutex::new(views),
            balances: Mutex::default(),
            routes: Mutex::default(),
            unfinished: AtomicUsize::new(parts + 1),
            seen_seq: AtomicU64::new(0),
            deadline_ns,
            reply: Mutex::new(Some(reply)),
            permit: Mutex::new(permit),
        })
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The order at `index`, if the request is one for orders.
    #[inline]
    pub(crate) fn order(&self, index: u32) -> Option<&Order> {
        match &self.operations {
            Operations::Orders { orders, .. } => Some(&orders[index as usize]),
            _ => None,
        }
    }

    fn wants_balances(&self) -> bool {
        matches!(self.operations, Operations::Orders { with_balances: true, .. })
    }

    /// Notes which wallets the order at `index` goes to, which it does not say itself.
    pub(crate) fn note_route(&self, index: u32, wallets: impl Iterator<Item = WalletId>) {
        if self.wants_balances() {
            self.routes.lock().insert(index, wallets.collect());
        }
    }

    /// The same, for an order about another that is answered from `original`, which had the same id and went to `wallets`. Only
    /// what is the same goes to the same wallets.
    pub(crate) fn note_route_of(
        &self,
        index: u32,
        original: &Order,
        wallets: impl Iterator<Item = WalletId>,
    ) {
        let is_same = self
            .order(index)
            .is_some_and(|order| order.refers_to().is_some() && original.compare(order) == Status::Exists);
        if is_same {
            self.note_route(index, wallets);
        }
    }

    /// The wallets of the order at `index`, in the order in which they were asked.
    fn route_of(&self, index: u32) -> Vec<WalletId> {
        if let Some(noted) = self.routes.lock().get(&index) {
            return noted.clone();
        }
        let route = match self.order(index) {
            Some(Order::Transfer(transfer)) => Route::of_transfer(transfer),
            Some(Order::Pending(Pending { transfer, timeout_s })) => Route::of_pending(transfer, *timeout_s),
            Some(Order::Transaction(transaction)) => Route::of_legs(&transaction.legs),
            Some(Order::Post(_) | Order::Void(_) | Order::Reversal(_)) | None => Route::None,
        };
        route.parts().iter().map(|part| part.wallet).collect()
    }

    /// The wallet at `index` of a request that creates wallets.
    pub(crate) fn new_wallet(&self, index: u32) -> &NewWallet {
        match &self.operations {
            Operations::CreateWallets(wallets) => &wallets[index as usize],
            other => panic!("only a request that creates wallets has them: {other:?}"),
        }
    }

    pub(crate) fn ticket(&self, index: u32) -> &Ticket {
        &self.slots[index as usize].ticket
    }

    pub(crate) fn is_past_deadline(&self, now_ns: u64) -> bool {
        now_ns >= self.deadline_ns
    }

    /// The answer will depend on the entry `seq`.
    pub(crate) fn saw(&self, seq: u64) {
        // Most operations of a batch come in order; a plain load spares the write that nobody needs.
        if self.seen_seq.load(Ordering::Relaxed) < seq {
            self.seen_seq.fetch_max(seq, Ordering::Relaxed);
        }
    }

    /// Sets the outcome of the operation at `index`. Each operation gets exactly one.
    pub(crate) fn finish(self: &Arc<Self>, index: u32, outcome: &Outcome) {
        let slot = &self.slots[index as usize];
        slot.status.store(outcome.status.number(), Ordering::Relaxed);
        slot.replayed.store(u8::from(outcome.replayed), Ordering::Relaxed);
        slot.seq.store(outcome.seq, Ordering::Relaxed);
        slot.timestamp_ns.store(outcome.timestamp_ns, Ordering::Relaxed);
        if outcome.detail != RefusalDetail::None {
            self.details.lock().push((index, outcome.detail));
        }
        self.saw(outcome.seq);
        self.finish_one();
    }

    /// Sets the outcome of an operation that made no entry.
    pub(crate) fn refuse(self: &Arc<Self>, index: u32, refusal: Refusal) {
        self.finish(index, &Outcome::refused(refusal));
    }

    /// Sets what was found for the wallet at `index`.
    pub(crate) fn finish_wallet(self: &Arc<Self>, index: u32, view: Option<WalletView>) {
        if let Some(view) = view {
            self.saw(view.as_of_seq);
            // Otherwise the request has been given up.
            if let Views::Wallets(views) = &mut *self.views.lock() {
                views[index as usize] = Some(view);
            }
        }
        self.finish_one();
    }

    /// Sets what was found for some orders of a request that looks orders up.
    pub(crate) fn finish_transfers(self: &Arc<Self>, found: Vec<(u32, TransferView)>, count: usize) {
        if let Views::Transfers(views) = &mut *self.views.lock() {
            for (index, view) in found {
                views[index as usize] = Some(view);
            }
        }
        self.finish_many(count);
    }

    /// Sets the totals.
    pub(crate) fn finish_trial_balance(self: &Arc<Self>, view: TrialBalanceView) {
        self.saw(view.as_of_seq);
        *self.views.lock() = Views::TrialBalance(Some(view));
        self.finish_one();
    }

    /// Sets what was read as of the entry `as_of_seq`.
    pub(crate) fn finish_query(self: &Arc<Self>, answer: QueryAnswer, as_of_seq: u64) {
        self.saw(as_of_seq);
        *self.views.lock() = Views::Query(answer);
        self.finish_one();
    }

    /// One more part of the request is done.
    pub(crate) fn finish_one(self: &Arc<Self>) {
        self.finish_many(1);
    }

    pub(crate) fn finish_many(self: &Arc<Self>, count: usize) {
        // AcqRel: whoever finishes last sees what all others have put into the slots.
        if count > 0 && self.unfinished.fetch_sub(count, Ordering::AcqRel) == count {
            self.complete();
        }
    }

    /// The read was not begun by its deadline. Takes the place of the router's own part.
    pub(crate) fn miss_deadline(self: &Arc<Self>) {
        assert!(!self.operations.is_write(), "of a write, each operation is refused");
        *self.views.lock() = Views::DeadlineExceeded;
        self.deliver(Ok(()));
    }

    /// Gives the request up as a whole, whatever was still to come. Only for reads.
    pub(crate) fn give_up(self: &Arc<Self>) {
        assert!(!self.operations.is_write(), "what may have been journaled is never given up");
        *self.views.lock() = Views::None;
        self.deliver(Ok(()));
    }

    fn complete(self: &Arc<Self>) {
        if self.wants_balances() {
            let mut wallets: Vec<WalletId> =
                (0..self.operations.len() as u32).flat_map(|index| self.route_of(index)).collect();
            wallets.sort_unstable();
            wallets.dedup();
            let orders = Arc::clone(self);
            let reply = Box::new(move |answered: Answered| orders.complete_with_balances(answered));
            let read = Request::new(
                Arc::clone(&self.core),
                Operations::LookupWallets(wallets),
                u64::MAX,
                None,
                reply,
            );
            // What the read sees is at least as new as what the orders did.
            self.core.route(&read);
            return;
        }
        self.deliver_when_durable();
    }

    fn complete_with_balances(self: &Arc<Self>, answered: Answered) {
        let durable = answered.durable;
        if let Answer::Wallets(views) = answered.into_answer() {
            *self.balances.lock() = views;
        }
        // Should the read have failed, the outcomes still stand; but they wait for their own entries.
        match durable {
            Ok(()) => self.deliver_when_durable(),
            Err(Poisoned) => self.deliver(Err(Poisoned)),
        }
    }

    fn deliver_when_durable(self: &Arc<Self>) {
        let request = Arc::clone(self);
        #[cfg(not(bursar_broken = "early_reply"))]
        let seen_seq = self.seen_seq.load(Ordering::Relaxed);
        #[cfg(bursar_broken = "early_reply")]
        let seen_seq = 0;
        self.core.sequencer.when_durable(seen_seq, Box::new(move |durable| request.deliver(durable)));
    }

    fn deliver(self: &Arc<Self>, durable: Result<(), Poisoned>) {
        let reply = self.reply.lock().take();
        // Answered, it is under way no more: what its client leaves unread is the connection's to bound.
        drop(self.permit.lock().take());
        if let Some(reply) = reply {
            reply(Answered { request: Some(Arc::clone(self)), durable });
        }
    }

    fn take_answer(&self) -> Answer {
        match std::mem::take(&mut *self.views.lock()) {
            Views::Wallets(views) => return Answer::Wallets(views),
            Views::Transfers(views) => return Answer::Transfers(views),
            Views::TrialBalance(Some(view)) => return Answer::TrialBalance(view),
            Views::TrialBalance(None) => return Answer::Unavailable,
            Views::Query(answer) => return Answer::Query(answer),
            Views::DeadlineExceeded => return Answer::DeadlineExceeded,
            Views::None if !self.operations.is_write() => return Answer::Unavailable,
            Views::None => {}
        }
        let mut outcomes: Vec<Outcome> = self.slots.iter().map(Slot::outcome).collect();
        for (index, detail) in self.details.lock().drain(..) {
            outcomes[index as usize].detail = detail;
        }
        Answer::Outcomes { outcomes, balances: self.take_balances() }
    }

    fn take_balances(&self) -> Vec<Vec<WalletView>> {
        if !self.wants_balances() {
            return Vec::new();
        }
        let views = std::mem::take(&mut *self.balances.lock());
        let by_id: HashMap<WalletId, WalletView> =
            views.into_iter().flatten().map(|view| (view.wallet.terms.id, view)).collect();
        let of_order =
            |index| self.route_of(index).iter().filter_map(|wallet| by_id.get(wallet)).cloned().collect();
        (0..self.operations.len() as u32).map(of_order).collect()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Nobody works on it any more, and it was never answered: it was lost with a part of the house that died, or
        // with a mailbox that was closed. Whether anything of it was done is not known here.
        if let Some(reply) = self.reply.get_mut().take() {
            drop(self.permit.get_mut().take());
            reply(Answered { request: None, durable: Err(Poisoned) });
        }
    }
}

impl Slot {
    fn outcome(&self) -> Outcome {
        let number = self.status.load(Ordering::Relaxed);
        Outcome {
            status: Status::from_number(number).expect("only statuses are stored"),
            replayed: self.replayed.load(Ordering::Relaxed) != 0,
            seq: self.seq.load(Ordering::Relaxed),
            timestamp_ns: self.timestamp_ns.load(Ordering::Relaxed),
            detail: RefusalDetail::None,
        }
    }
}

/// One operation of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestItem {
    pub(crate) request: Arc<Request>,
    pub(crate) index: u32,
}

impl PartialEq for RequestItem {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.request, &other.request) && self.index == other.index
    }
}

impl Eq for RequestItem {}

impl RequestItem {
    /// The order, if that is what it is.
    #[inline]
    pub(crate) fn order(&self) -> Option<&Order> {
        self.request.order(self.index)
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        self.request.ticket(self.index)
    }

    /// What became of an attempt at this operation.
    pub(crate) fn fate(&self, attempt: u8) -> Fate {
        self.ticket().fate(attempt)
    }

    /// Answers this operation from the outcome of an earlier one with the same id.
    pub(crate) fn finish_from_original(&self, original: &Order, outcome: &Outcome) {
        let again = self.order().expect("only orders have ids");
        self.request.finish(self.index, &replayed(original, outcome, again));
    }
}

/// What `again` is answered when `original` had its id and was answered `outcome`.
fn replayed(original: &Order, outcome: &Outcome, again: &Order) -> Outcome {
    match original.compare(again) {
        Status::Exists if outcome.status.is_success() => {
            Outcome { status: Status::Exists, replayed: true, ..*outcome }
        }
        Status::Exists => Outcome {
            status: Status::IdAlreadyRefused,
            replayed: true,
            detail: RefusalDetail::AlreadyRefused { first_status: outcome.status },
            ..*outcome
        },
        // Seen in the journal, so the answer waits for it; but it says nothing about this operation.
        different => Outcome {
            status: different,
            replayed: false,
            seq: outcome.seq,
            timestamp_ns: outcome.timestamp_ns,
            detail: RefusalDetail::None,
        },
    }
}

/// A wallet's part of a read, on its way to the wallet: dropped without an answer, it gives the read up, so that nobody
/// waits for ever.
#[derive(Debug)]
pub(crate) struct PendingRead(Option<RequestItem>);

impl PendingRead {
    pub(crate) fn new(item: RequestItem) -> Self {
        Self(Some(item))
    }

    /// Answers it with the wallet as it is; `None` if there is none.
    pub(crate) fn finish(mut self, wallet: Option<&Wallet>, as_of_seq: u64, as_of_ns: u64) {
        let item = self.0.take().expect("a read is finished once");
        let view = wallet.and_then(|wallet| WalletView::shown(&item.request, wallet, as_of_seq, as_of_ns));
        item.request.finish_wallet(item.index, view);
    }
}

impl Drop for PendingRead {
    fn drop(&mut self) {
        if let Some(item) = self.0.take() {
            item.request.give_up();
        }
    }
}
