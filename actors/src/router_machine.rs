//! What a router decides: which operations of a request may begin, and which shard each of them goes to first.
//!
//! It checks what needs no wallet (shape, deadline, asset), claims each order's id, and sends every shard its part of
//! the request in one message. What is about another order goes by way of that ([`references`]). It keeps no state of
//! its own, and decides nothing that depends on a wallet.

use crate::claims::{Claim, Waiting};
use crate::core::{Core, KnownAsset};
use crate::expiry;
use crate::in_flight::{InFlight, outcome};
use crate::outbox::Post;
use crate::query;
use crate::references;
use crate::request::{Operations, Progress, Request, RequestItem, TransferView};
use crate::request_part::RequestPart;
use crate::shard_machine::ShardMessage;
use crate::ticket::Verdict;
use ledger::{
    Asset, Entry, ImportId, Order, Original, Outcome, Pending, RefusalDetail, Route, Status, WalletId,
};
use persistence::{Committed, PersistenceError, entry_codec};
use std::collections::{HashMap, btree_map};
use std::sync::Arc;

/// Begins the request: every operation is refused, answered, or on its way when this returns.
pub(crate) fn route(core: &Arc<Core>, request: &Arc<Request>, post: &mut dyn Post) {
    if request.is_past_deadline(core.sequencer.now_ns()) {
        if !request.operations().is_write() {
            return request.miss_deadline();
        }
        for index in 0..request.operations().len() {
            request.refuse(index as u32, Status::DeadlineExceeded.into());
        }
        return request.finish_one();
    }
    match request.operations() {
        Operations::CreateAssets(assets) => {
            for (index, asset) in assets.iter().enumerate() {
                match asset {
                    Ok(asset) => create_asset(core, request, index as u32, asset),
                    Err(refusal) => request.refuse(index as u32, *refusal),
                }
            }
        }
        Operations::CreateWallets(wallets) => {
            let mut parts = Parts::new(core, request);
            for (index, wallet) in wallets.iter().enumerate() {
                let index = index as u32;
                if let Err(refusal) = wallet.check_shape() {
                    request.refuse(index, refusal);
                } else if !core.assets.read().contains_key(&wallet.asset) {
                    request.refuse(index, Status::AssetNotFound.into());
                } else {
                    parts.add(core, wallet.id, index);
                }
            }
            parts.send(post, ShardMessage::CreateWallets);
        }
        Operations::CloseImports(imports) => {
            for (index, &import) in imports.iter().enumerate() {
                close_import(core, request, index as u32, import);
            }
        }
        Operations::ChangeWallets(changes) => {
            let mut parts = Parts::new(core, request);
            for (index, change) in changes.iter().enumerate() {
                let index = index as u32;
                match change.check_shape() {
                    Ok(()) => parts.add(core, change.wallet, index),
                    Err(refusal) => request.refuse(index, refusal),
                }
            }
            parts.send(post, ShardMessage::ChangeWallets);
        }
        Operations::Orders { orders, .. } => begin_orders(core, request, orders, post),
        Operations::ExpireHolds(ids) => {
            for index in 0..ids.len() as u32 {
                let item = RequestItem { request: Arc::clone(request), index };
                expiry::begin_expiry(core, InFlight::new(item, 0), post);
            }
        }
        Operations::LookupWallets(ids) => {
            let mut parts = Parts::new(core, request);
            for (index, &id) in ids.iter().enumerate() {
                parts.add(core, id, index as u32);
            }
            parts.send(post, ShardMessage::Read);
        }
        Operations::LookupTransfers(_) => look_transfers_up(core, request),
        Operations::TrialBalance => core.trial_balances.begin(core, request),
        Operations::Query(asked) => query::begin(core, request, asked),
    }
    request.finish_one();
}

/// The operations of a request by the shard that they go to first.
struct Parts(Vec<RequestPart>);

impl Parts {
    fn new(core: &Core, request: &Arc<Request>) -> Self {
        Self((0..core.shards()).map(|_| RequestPart::new(Arc::clone(request))).collect())
    }

    fn add(&mut self, core: &Core, wallet: WalletId, index: u32) {
        self.0[core.shard_of(wallet)].push(index);
    }

    /// Keeps the operations that `keep` is true for; the others are its business.
    fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        self.0.iter_mut().for_each(|part| part.retain(&mut keep));
    }

    fn send(self, post: &mut dyn Post, message: impl Fn(RequestPart) -> ShardMessage) {
        for (shard, part) in self.0.into_iter().enumerate() {
            if !part.is_empty() {
                post.post(shard, message(part));
            }
        }
    }
}

fn begin_orders(core: &Arc<Core>, request: &Arc<Request>, orders: &[Order], post: &mut dyn Post) {
    // Whatever is claimed is in a drop guard at once: should this fail, nobody is to wait for the claim for ever.
    let mut parts = Parts::new(core, request);
    let (mut decided, mut perhaps_in_books) = (Vec::new(), Vec::new());
    let first_number = core.claims.numbers(orders.len() as u64);
    let item = |index| RequestItem { request: Arc::clone(request), index };
    let number = |index: u32| first_number + u64::from(index);
    let in_flight = |index| InFlight::new(item(index), number(index));
    for (index, order) in orders.iter().enumerate() {
        let index = index as u32;
        if let Err(refusal) = order.check_shape() {
            request.refuse(index, refusal);
            continue;
        }
        core.inject_fault("route", first_wallet(order).unwrap_or_default());
        match core.claims.claim(order.id(), number(index), || item(index)) {
            Claim::Granted => match first_wallet(order) {
                Some(wallet) => parts.add(core, wallet, index),
                None if core.books_now().ids().may_contain(order.id()) => {
                    perhaps_in_books.push(in_flight(index));
                }
                None => references::resume(core, in_flight(index), post),
            },
            Claim::Waits => {}
            Claim::Decided(seq) => decided.push((seq, index)),
        }
    }
    // Once for all of them, and only now that they are claimed.
    let books = core.books_now();
    parts.retain(|index| {
        let is_surely_new = !books.ids().may_contain(orders[index as usize].id());
        if !is_surely_new {
            perhaps_in_books.push(in_flight(index));
        }
        is_surely_new
    });
    drop(books);
    parts.send(post, ShardMessage::Begin);
    if !decided.is_empty() {
        answer_from_journal(core, request, decided);
    }
    if !perhaps_in_books.is_empty() {
        look_into_books(core, perhaps_in_books);
    }
}

/// Looks up on a reader's thread whether ids that are claimed were decided before; answers those that were, and begins the
/// others.
fn look_into_books(core: &Arc<Core>, claimed: Vec<InFlight>) {
    let reading = Arc::clone(core);
    core.read_soon(move || {
        let mut decided = DecidedOrders::default();
        for in_flight in claimed {
            let id = in_flight.order().expect("only orders have ids").id();
            match reading.reader.seq_of(id) {
                Ok(None) => references::send_on(in_flight, &mut &*reading),
                Ok(Some(seq)) => {
                    let waiting = reading.claims.found(id);
                    decided.add(seq, in_flight.decided_before());
                    decided.add_waiting(seq, waiting, &reading);
                }
                // Dropped, they answer for themselves.
                Err(error) => return reading.cannot_read(&error),
            }
        }
        decided.answer(&reading);
    });
}

/// Orders whose ids turn out to be used up, by the request that they are of, so that each is answered by reading once.
#[derive(Default)]
pub(crate) struct DecidedOrders {
    /// In the order in which they came.
    requests: Vec<DecidedOf>,
    places: HashMap<*const Request, usize>,
}

/// A request, and the entries that decided its orders, each with the order's place in it.
type DecidedOf = (Arc<Request>, Vec<(u64, u32)>);

impl DecidedOrders {
    fn add(&mut self, seq: u64, RequestItem { request, index }: RequestItem) {
        let place = *self.places.entry(Arc::as_ptr(&request)).or_insert(self.requests.len());
        if place == self.requests.len() {
            self.requests.push((request, Vec::new()));
        }
        self.requests[place].1.push((seq, index));
    }

    /// Who waited for a claim that turns out to be decided by the entry `seq`.
    pub(crate) fn add_waiting(
        &mut self,
        seq: u64,
        waiting: Waiting<RequestItem, Box<InFlight>>,
        core: &Arc<Core>,
    ) {
        waiting.same.into_iter().for_each(|item| self.add(seq, item));
        for referring in waiting.referring {
            references::resume_waiter(core, referring, &mut &**core);
        }
    }

    pub(crate) fn answer(self, core: &Arc<Core>) {
        for (request, decided) in self.requests {
            answer_from_journal(core, &request, decided);
        }
    }
}

/// The wallet that an order goes to first; `None` if that depends on what it is about.
fn first_wallet(order: &Order) -> Option<WalletId> {
    match order {
        Order::Transfer(transfer) | Order::Pending(Pending { transfer, .. }) => Some(transfer.debit_wallet),
        Order::Transaction(transaction) => {
            Some(Route::of_legs(&transaction.legs).parts().first().expect("it has legs").wallet)
        }
        Order::Post(_) | Order::Void(_) | Order::Reversal(_) => None,
    }
}

/// Answers orders whose ids are used up. The original has to be read from the disk, which is no shard's business.
fn answer_from_journal(core: &Arc<Core>, request: &Arc<Request>, decided: Vec<(u64, u32)>) {
    let request = Arc::clone(request);
    read_when_durable(core, decided, move |found| match found {
        Ok(found) => {
            for (index, Found { view, route, .. }) in found {
                let item = RequestItem { request: Arc::clone(&request), index };
                request.note_route_of(index, &view.order, route.parts().iter().map(|part| part.wallet));
                item.finish_from_original(&view.order, &view.outcome);
            }
        }
        // Refused for now, not given up: other orders of the request may have been done.
        Err(unread) => {
            for (_, index) in unread {
                request.refuse(index, Status::Unavailable.into());
            }
        }
    });
}

fn look_transfers_up(core: &Arc<Core>, request: &Arc<Request>) {
    let Operations::LookupTransfers(ids) = request.operations() else {
        panic!("only a request that looks orders up gets here");
    };
    let (mut decided, mut unknown) = (Vec::new(), Vec::new());
    for (index, &id) in ids.iter().enumerate() {
        match core.claims.decided(id) {
            Some(seq) => decided.push((seq, index as u32)),
            None => unknown.push((id, index as u32)),
        }
    }
    let books = core.books_now();
    let asked = unknown.len();
    let mut perhaps_in_books = unknown;
    perhaps_in_books.retain(|(id, _)| books.ids().may_contain(*id));
    drop(books);
    request.finish_many(asked - perhaps_in_books.len());
    if !decided.is_empty() {
        view_orders(core, request, decided);
    }
    if !perhaps_in_books.is_empty() {
        let (reading, request) = (Arc::clone(core), Arc::clone(request));
        core.read_soon(move || {
            let mut decided = Vec::new();
            for (id, index) in perhaps_in_books {
                match reading.reader.seq_of(id) {
                    Ok(Some(seq)) => decided.push((seq, index)),
                    Ok(None) => request.finish_one(),
                    Err(error) => return reading.cannot_read(&error),
                }
            }
            if !decided.is_empty() {
                view_orders(&reading, &request, decided);
            }
        });
    }
}

fn view_orders(core: &Arc<Core>, request: &Arc<Request>, decided: Vec<(u64, u32)>) {
    let request = Arc::clone(request);
    read_when_durable(core, decided, move |found| match found {
        Ok(found) => {
            let count = found.len();
            for (_, found) in &found {
                request.saw(found.as_of_seq);
            }
            let views = found.into_iter().map(|(index, found)| (index, found.view)).collect();
            request.finish_transfers(views, count);
        }
        Err(_) => request.give_up(),
    });
}

/// An order that was found in the journal.
#[derive(Clone, Debug)]
struct Found {
    view: TransferView,
    route: Route,
    /// The newest entry that the view depends on.
    as_of_seq: u64,
}

type FoundOrders = Result<Vec<(u32, Found)>, Vec<(u64, u32)>>;

/// Reads the entries that decided some orders, once they are durable, on a reader's thread.
fn read_when_durable(
    core: &Arc<Core>,
    mut decided: Vec<(u64, u32)>,
    then: impl FnOnce(FoundOrders) + Send + 'static,
) {
    decided.sort_unstable();
    let newest = decided.last().expect("somebody asked for something").0;
    let reading = Arc::clone(core);
    let waiter = move |durable: Result<(), _>| {
        if durable.is_err() {
            return then(Err(decided));
        }
        let core = Arc::clone(&reading);
        reading.read_soon(move || match read_orders(&core, &decided) {
            Ok(found) => then(Ok(found)),
            Err(error) => {
                core.cannot_read(&error);
                then(Err(decided));
            }
        });
    };
    core.sequencer.when_durable(newest, Box::new(waiter));
}

fn read_orders(core: &Core, decided: &[(u64, u32)]) -> Result<Vec<(u32, Found)>, PersistenceError> {
    let mut seqs: Vec<u64> = decided.iter().map(|&(seq, _)| seq).collect();
    seqs.dedup();
    let mut found = Vec::with_capacity(decided.len());
    let mut rest = decided.iter().peekable();
    core.reader.entries(&seqs, &mut |seq, timestamp_ns, entry| {
        let route = entry.route();
        let made = entry.original(timestamp_ns);
        let (order, refusal) =
            entry.into_order().unwrap_or_else(|| panic!("only orders use up ids, and entry {seq} is none"));
        let (status, detail) = refusal
            .map_or((Status::Created, RefusalDetail::None), |refusal| (refusal.status, refusal.detail));
        // What others have made of it is in memory until the books hold it; without a word in either, it is as it was made.
        let (original, progress_seq) = match core.originals.known(order.id()) {
            Some(known) => known,
            None => (core.reader.original(order.id())?.1.map_or(made, |(_, original)| original), seq),
        };
        let progress = match original {
            Original::Neither => Progress::None,
            Original::Hold { terms, state } => Progress::Hold { terms, state },
            Original::Moved { amount, reversed, .. } => Progress::Moved { amount, reversed },
        };
        let outcome = Outcome { status, replayed: false, seq, timestamp_ns, detail };
        let view = TransferView { order, outcome, progress };
        let one = Found { view, route, as_of_seq: progress_seq.max(seq) };
        while let Some(&(_, index)) = rest.next_if(|(wanted, _)| *wanted == seq) {
            found.push((index, one.clone()));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Assets are few, never change and belong to no wallet: one lock, and the creation is journaled under it.
fn create_asset(core: &Core, request: &Arc<Request>, index: u32, asset: &Asset) {
    if let Err(refusal) = asset.check_shape() {
        return request.refuse(index, refusal);
    }
    let mut assets = core.assets.write();
    let (status, committed) = match assets.entry(asset.id) {
        btree_map::Entry::Occupied(known) => {
            let KnownAsset { asset: known, created_seq, created_at_ns } = known.get();
            (known.compare(asset), Committed { seq: *created_seq, timestamp_ns: *created_at_ns })
        }
        btree_map::Entry::Vacant(vacant) => {
            let mut payload = Vec::new();
            entry_codec::encode_asset_created(asset, &mut payload);
            let committed = journal_alone(core, request, index, &payload);
            let Committed { seq: created_seq, timestamp_ns: created_at_ns } = committed;
            vacant.insert(KnownAsset { asset: asset.clone(), created_seq, created_at_ns });
            (Status::Created, committed)
        }
    };
    drop(assets);
    request.finish(index, &outcome(status, committed, RefusalDetail::None));
}

/// Shows all wallets of an import at once, as of its entry. In the same way.
fn close_import(core: &Core, request: &Arc<Request>, index: u32, import: ImportId) {
    if let Err(refusal) = Entry::ImportClosed(import).check_shape() {
        return request.refuse(index, refusal);
    }
    let mut closed = core.imports.write();
    let (status, committed) = match closed.entry(import) {
        btree_map::Entry::Occupied(known) => (Status::Exists, *known.get()),
        btree_map::Entry::Vacant(vacant) => {
            let mut payload = Vec::new();
            entry_codec::encode_import_closed(import, &mut payload);
            (Status::Created, *vacant.insert(journal_alone(core, request, index, &payload)))
        }
    };
    drop(closed);
    request.finish(index, &outcome(status, committed, RefusalDetail::None));
}

/// Journals an entry that belongs to no wallet.
fn journal_alone(core: &Core, request: &Arc<Request>, index: u32, payload: &[u8]) -> Committed {
    let validity = (core.sequencer.now_ns(), u64::MAX);
    let section = &mut core.sequencer.enter();
    let committed = request.ticket(index).commit(0, Verdict::Done, section, validity, payload, &[]);
    committed.expect("nobody else knows of this ticket")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::guard;
    use crate::test_house::{House, transfer};
    use ledger::{Transfer, TransferId};

    #[test]
    fn only_a_shard_that_has_a_part_in_a_request_is_sent_one() {
        let house = House::new(false);
        let operations = Operations::LookupWallets(vec![WalletId(1)]);
        let request = Request::new(Arc::clone(&house.core), operations, u64::MAX, None, Box::new(|_| {}));
        route(&house.core, &request, &mut house.mailboxes.clone());
        let posted = house.posted();
        assert!(
            matches!(&posted[..], [(shard, ShardMessage::Read(_))] if *shard == house.core.shard_of(WalletId(1))),
            "{posted:?}"
        );
    }

    #[test]
    fn a_router_that_fails_leaves_no_claim_that_somebody_could_wait_for_for_ever() {
        let fails_at_the_second = |_: &str, wallet| assert_ne!(wallet, WalletId(3), "on purpose");
        let house = House::with_faults(false, Some(Arc::new(fails_at_the_second)));
        let from = |id, debit| Order::Transfer(Transfer { debit_wallet: WalletId(debit), ..transfer(id) });
        let operations = Operations::Orders { orders: vec![from(7, 1), from(8, 3)], with_balances: false };
        let request = Request::new(Arc::clone(&house.core), operations, u64::MAX, None, Box::new(|_| {}));
        let routed = guard(|| route(&house.core, &request, &mut house.mailboxes.clone()));
        assert!(routed.is_err());
        assert!(house.posted().is_empty(), "nothing has been sent");
        let free = house.core.claims.claim(TransferId(7), 0, || panic!("nobody decides it any more"));
        assert_eq!(free, Claim::Granted);
    }
}
