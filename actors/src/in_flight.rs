//! An operation on its way from wallet to wallet: a drop guard.
//!
//! However it ends (committed, refused, dropped by a stopped mailbox, unwound by a panic), exactly once its ticket is
//! resolved, the wallets that reserved are told, the claim is decided or released, what it is about is let go of, and its
//! request gets an outcome. So nobody waits for ever and nothing stays reserved.

use crate::core::Core;
use crate::outbox::Post;
use crate::references;
use crate::request::{Operations, Request, RequestItem};
use crate::shard_machine::ShardMessage;
use crate::ticket::{NotCommitted, Verdict};
use ledger::original::{Original, Resolution};
use ledger::{
    Entry, Facts, Order, OrderKind, Outcome, Part, Pending, Refusal, RefusalDetail, Route, Side, Status,
    TransferId, WalletChange, WalletId,
};
use persistence::{Committed, entry_codec};
use std::cell::RefCell;
use std::sync::Arc;

/// How often an operation is attempted before it is refused `contended`.
pub(crate) const ATTEMPTS_MAX: u8 = 16;

/// A reservation that a wallet holds for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) wallet: WalletId,
    pub(crate) slot: u32,
}

/// An operation's attempt, on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// `None` once it has ended.
    item: Option<RequestItem>,
    attempt: u8,
    /// How many wallets of its route have accepted.
    step: u8,
    reserved: Option<Reserved>,
    /// What transfers and holds have no need of.
    errand: Option<Box<Errand>>,
}

/// What an order needs on its way that does not say everything itself.
#[derive(Debug, Default)]
struct Errand {
    /// The age of its claim: it waits only for older ones.
    claim_number: u64,
    about: About,
    /// Known once what it is about has been looked at.
    plan: Option<Resolution>,
    /// Of a transaction: what was reserved beyond the first wallet.
    reserved: Vec<Reserved>,
}

/// What the order has for itself alone while it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum About {
    /// Nothing, or not yet.
    #[default]
    Nothing,
    /// The order of this id.
    Original(TransferId),
    /// That there is no order of this id: it has claimed it, so that none can come meanwhile.
    Absent(TransferId),
}

/// An attempt at an operation, as a reservation knows it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) item: RequestItem,
    pub(crate) number: u8,
}

impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        self.item == other.item && self.number == other.number
    }
}

thread_local! {
    /// Entries are encoded before the critical section; the buffer is kept.
    static PAYLOAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl InFlight {
    /// The first or next attempt at the operation, which nobody else has begun. `claim_number` is the age of its claim.
    pub(crate) fn new(item: RequestItem, claim_number: u64) -> Self {
        let attempt = item.ticket().attempt();
        let errand = match item.request.operations() {
            Operations::Orders { orders, .. } => match &orders[item.index as usize] {
                Order::Transfer(_) | Order::Pending(_) => None,
                Order::Transaction(transaction) => {
                    let route = Route::of_legs(&transaction.legs);
                    Some(Errand { claim_number, plan: Some(of_route(route)), ..Errand::default() })
                }
                Order::Post(_) | Order::Void(_) | Order::Reversal(_) => {
                    Some(Errand { claim_number, ..Errand::default() })
                }
            },
            Operations::ExpireHolds(_) => Some(Errand::default()),
            _ => None,
        };
        Self { item: Some(item), attempt, step: 0, reserved: None, errand: errand.map(Box::new) }
    }

    fn item(&self) -> &RequestItem {
        self.item.as_ref().expect("an operation that has ended is not on its way")
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.item().request.core
    }

    pub(crate) fn request(&self) -> &Arc<Request> {
        &self.item().request
    }

    pub(crate) fn index(&self) -> u32 {
        self.item().index
    }

    /// The order, if that is what it is: not the creation or the change of a wallet, nor the end of a hold by its time.
    pub(crate) fn order(&self) -> Option<&Order> {
        self.item().order()
    }

    /// The change of a wallet, if that is what it is.
    pub(crate) fn change(&self) -> Option<&WalletChange> {
        match self.request().operations() {
            Operations::ChangeWallets(changes) => Some(&changes[self.index() as usize]),
            _ => None,
        }
    }

    /// The order that it is about.
    pub(crate) fn refers_to(&self) -> Option<TransferId> {
        match self.request().operations() {
            Operations::ExpireHolds(ids) => Some(ids[self.index() as usize]),
            _ => self.order()?.refers_to(),
        }
    }

    /// What a reservation keeps of it.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt { item: self.item().clone(), number: self.attempt }
    }

    /// Its part at the wallet that is to decide next.
    #[inline]
    pub(crate) fn part(&self) -> Part {
        let step = usize::from(self.step);
        match self.order() {
            Some(Order::Transfer(transfer)) => {
                Part::of_transfer(transfer, if step == 0 { Side::Debit } else { Side::Credit })
            }
            Some(Order::Pending(Pending { transfer, timeout_s })) => {
                Route::of_pending(transfer, *timeout_s).parts()[step]
            }
            _ => self.plan().route.parts()[step],
        }
    }

    /// Whether the wallet that is to decide next is the last.
    pub(crate) fn is_at_last(&self) -> bool {
        let parts = match self.order() {
            Some(Order::Transfer(_) | Order::Pending(_)) => 2,
            _ => self.plan().route.parts().len(),
        };
        usize::from(self.step) + 1 == parts
    }

    fn plan(&self) -> &Resolution {
        let plan = self.errand.as_ref().and_then(|errand| errand.plan.as_ref());
        plan.expect("what an order is about is looked at before its wallets are asked")
    }

    fn errand(&mut self) -> &mut Errand {
        self.errand.as_mut().expect("an order that is about another has an errand")
    }

    /// The age of its claim.
    pub(crate) fn claim_number(&self) -> u64 {
        self.errand.as_ref().map_or(0, |errand| errand.claim_number)
    }

    /// What it has for itself alone.
    pub(crate) fn about(&self) -> About {
        self.errand.as_ref().map_or(About::Nothing, |errand| errand.about)
    }

    /// From now on this is let go of when it ends.
    pub(crate) fn set_about(&mut self, about: About) {
        self.errand().about = about;
    }

    /// What it comes to.
    pub(crate) fn set_plan(&mut self, plan: Resolution) {
        let wallets = plan.route.parts().iter().map(|part| part.wallet);
        self.item().request.note_route(self.index(), wallets);
        self.errand().plan = Some(plan);
    }

    /// A wallet has accepted and reserved for it: the next one is to decide.
    pub(crate) fn set_reserved(&mut self, reserved: Reserved) {
        self.step += 1;
        if self.reserved.is_none() {
            self.reserved = Some(reserved);
        } else {
            self.errand().reserved.push(reserved);
        }
    }

    pub(crate) fn is_past_deadline(&self, now_ns: u64) -> bool {
        self.request().is_past_deadline(now_ns)
    }

    /// Journals the order, or the end of the hold. `Err` gives it back: somebody has cancelled this attempt, or what it
    /// was decided on has expired.
    pub(crate) fn commit_order(mut self, now_ns: u64) -> Result<CommittedOrder, Self> {
        let valid_until_ns = match &self.errand {
            Some(errand) => errand.plan.as_ref().map_or(u64::MAX, |plan| plan.valid_until_ns),
            None => u64::MAX,
        };
        let committed = match self.order() {
            Some(Order::Transfer(transfer)) => {
                let route = Route::of_transfer(transfer);
                self.journal(Verdict::Done, now_ns, valid_until_ns, &route, |payload| {
                    entry_codec::encode_transferred(transfer, payload);
                })
            }
            Some(Order::Pending(pending)) => {
                let route = Route::of_pending(&pending.transfer, pending.timeout_s);
                self.journal(Verdict::Done, now_ns, valid_until_ns, &route, |payload| {
                    entry_codec::encode_entry(&Entry::Pended(pending.clone()), payload);
                })
            }
            order => {
                let plan = self.plan();
                let entry = match order {
                    Some(Order::Transaction(transaction)) => Entry::TransactionDone(transaction.clone()),
                    Some(order) => Entry::done(order.clone(), plan.facts.clone()),
                    None => match (self.refers_to(), &plan.facts) {
                        (Some(pending_id), Some(Facts::Hold(hold))) => {
                            Entry::Expired { pending_id, hold: *hold }
                        }
                        other => panic!("only a hold expires: {other:?}"),
                    },
                };
                self.journal(Verdict::Done, now_ns, valid_until_ns, &plan.route, |payload| {
                    entry_codec::encode_entry(&entry, payload);
                })
            }
        };
        match committed {
            Ok(committed) => {
                let item = self.item.take().expect("it has just been committed");
                let (number, reserved) = (self.attempt, self.reserved.take());
                Ok(CommittedOrder {
                    item,
                    number,
                    reserved,
                    errand: self.errand.take(),
                    announced: false,
                    committed,
                })
            }
            Err(_) => Err(self),
        }
    }

    /// Journals the creation of the wallet, tells the request, and returns where it stands.
    pub(crate) fn commit_wallet(self, now_ns: u64) -> Option<Committed> {
        let terms = self.request().new_wallet(self.index()).clone();
        self.commit_unclaimed(terms.id, &Entry::WalletCreated(terms), now_ns)
    }

    /// Journals the change of a wallet, tells the request, and returns where it stands.
    pub(crate) fn commit_change(self, now_ns: u64) -> Option<Committed> {
        let change = self.change().expect("it is the change of a wallet").clone();
        self.commit_unclaimed(change.wallet, &Entry::WalletChanged(change), now_ns)
    }

    fn commit_unclaimed(mut self, wallet: WalletId, entry: &Entry, now_ns: u64) -> Option<Committed> {
        let committed = self.journal_for(Verdict::Done, now_ns, u64::MAX, &[wallet], |payload| {
            entry_codec::encode_entry(entry, payload);
        });
        let committed = committed.ok()?;
        let item = self.item.take().expect("it has just been committed");
        item.request.finish(item.index, &outcome(Status::Created, committed, RefusalDetail::None));
        Some(committed)
    }

    /// Answers an operation that has no claim and journals nothing: a wallet that is so already.
    pub(crate) fn finish_unclaimed(mut self, outcome: &Outcome) {
        let item = self.item.take().expect("an operation ends once");
        item.request.finish(item.index, outcome);
    }

    /// Ends it without a word in the journal: there is nothing to be done. Only for what the server itself asks for.
    pub(crate) fn finish_needless(mut self, post: &mut dyn Post) {
        self.end(Status::Exists, post);
    }

    /// Its id was decided before, and its claim is no more: it is to be answered from what decided it.
    pub(crate) fn decided_before(mut self) -> RequestItem {
        self.item.take().expect("it has not been begun")
    }

    /// Refuses the order for good: journals the refusal, so that its id is used up. If an entry now would have a time of
    /// `valid_until_ns` or later, it is attempted again.
    pub(crate) fn refuse_for_good(
        mut self,
        refusal: Refusal,
        valid_until_ns: u64,
        now_ns: u64,
        post: &mut dyn Post,
    ) {
        debug_assert!(refusal.status.is_final(), "{} is not final", refusal.status);
        let order = self.order().expect("only an order is refused for good");
        let committed = match order {
            Order::Transfer(transfer) => {
                self.journal(Verdict::Refused, now_ns, valid_until_ns, &Route::None, |payload| {
                    entry_codec::encode_transfer_refused(transfer, &refusal, payload);
                })
            }
            order => {
                let entry = Entry::refused(order.clone(), refusal);
                self.journal(Verdict::Refused, now_ns, valid_until_ns, &Route::None, |payload| {
                    entry_codec::encode_entry(&entry, payload);
                })
            }
        };
        match committed {
            Ok(committed) => {
                let item = self.item.take().expect("it has just been committed");
                let errand = self.errand.take();
                release(&item, self.attempt, self.reserved.take(), errand.as_deref(), post);
                let_go(&item.request.core, errand.as_deref(), post);
                let wallets = planned_wallets(errand.as_deref());
                settle_claim(&item, &wallets, &outcome(refusal.status, committed, refusal.detail), post);
            }
            Err(_) => self.attempt_again(now_ns, post),
        }
    }

    /// Refuses the operation for now: nothing is journaled, and the same id may be sent again.
    pub(crate) fn refuse_for_now(mut self, status: impl Into<Refusal>, post: &mut dyn Post) {
        self.end(status, post);
    }

    /// What it was to have for itself alone is somebody else's to let go of; then it is refused for now.
    pub(crate) fn give_up_reference(mut self, post: &mut dyn Post) {
        if let Some(errand) = &mut self.errand {
            errand.about = About::Nothing;
        }
        self.end(Status::Unavailable, post);
    }

    /// Cancels this attempt and begins the next one, a bounded number of times.
    pub(crate) fn attempt_again(mut self, now_ns: u64, post: &mut dyn Post) {
        let core = Arc::clone(self.core());
        // Whoever has cancelled the attempt before has opened the next one.
        let _already_cancelled =
            self.item().ticket().cancel_to_retry(self.attempt, &mut core.sequencer.enter());
        let reserved = self.reserved.take();
        release(self.item(), self.attempt, reserved, self.errand.as_deref(), post);
        if let Some(errand) = &mut self.errand {
            errand.reserved.clear();
        }
        self.attempt = self.item().ticket().attempt();
        self.step = 0;
        core.metrics.retries.increment(1);
        if self.attempt >= ATTEMPTS_MAX {
            return self.end(Status::Contended, post);
        }
        if self.is_past_deadline(now_ns) {
            return self.end(Status::DeadlineExceeded, post);
        }
        references::send_on(self, post);
    }

    fn journal(
        &self,
        verdict: Verdict,
        now_ns: u64,
        valid_until_ns: u64,
        route: &Route,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Committed, NotCommitted> {
        match route.parts() {
            [] => self.journal_for(verdict, now_ns, valid_until_ns, &[], encode),
            [debit, credit] => {
                self.journal_for(verdict, now_ns, valid_until_ns, &[debit.wallet, credit.wallet], encode)
            }
            parts => {
                let wallets: Vec<WalletId> = parts.iter().map(|part| part.wallet).collect();
                self.journal_for(verdict, now_ns, valid_until_ns, &wallets, encode)
            }
        }
    }

    fn journal_for(
        &self,
        verdict: Verdict,
        now_ns: u64,
        valid_until_ns: u64,
        wallets: &[WalletId],
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Committed, NotCommitted> {
        PAYLOAD.with_borrow_mut(|payload| {
            payload.clear();
            encode(payload);
            let item = self.item();
            let mut section = self.core().sequencer.enter();
            let times = (now_ns, valid_until_ns);
            item.ticket().commit(self.attempt, verdict, &mut section, times, payload, wallets)
        })
    }

    /// Ends it without an entry. The item is taken first: nothing that fails in here is tried again.
    fn end(&mut self, refusal: impl Into<Refusal>, post: &mut dyn Post) {
        let item = self.item.take().expect("an operation ends once");
        let core = Arc::clone(&item.request.core);
        let closed = item.ticket().close(&mut core.sequencer.enter());
        assert!(
            closed.is_ok(),
            "only its holder ends an operation, so some attempt of it is open until then"
        );
        let errand = self.errand.take();
        release(&item, self.attempt, self.reserved.take(), errand.as_deref(), post);
        let_go(&core, errand.as_deref(), post);
        if let Some(order) = item.order() {
            pass_claim_on(&core, order.id(), post);
        }
        item.request.refuse(item.index, refusal.into());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.item.is_some() {
            let core = Arc::clone(self.core());
            let status = if core.is_stopping() { Status::Unavailable } else { Status::InternalError };
            self.end(status, &mut &*core);
        }
    }
}

/// A route that follows from the order alone.
fn of_route(route: Route) -> Resolution {
    Resolution { route, valid_until_ns: u64::MAX, facts: None }
}

/// An order that stands in the journal and of which nobody has been told yet. Dropped, it tells them all the same:
/// what is committed stays committed, whatever becomes of the wallet that committed it.
#[derive(Debug)]
pub(crate) struct CommittedOrder {
    item: RequestItem,
    number: u8,
    reserved: Option<Reserved>,
    errand: Option<Box<Errand>>,
    announced: bool,
    pub(crate) committed: Committed,
}

impl CommittedOrder {
    /// The order; `None` if it is the end of a hold by its time.
    #[cfg(test)]
    pub(crate) fn order(&self) -> Option<&Order> {
        self.item.order()
    }

    /// Tells the wallets that reserved, whoever waited on the claim, and the request.
    pub(crate) fn announce(mut self, post: &mut dyn Post) {
        self.tell(post);
    }

    fn tell(&mut self, post: &mut dyn Post) {
        self.announced = true;
        let core = Arc::clone(&self.item.request.core);
        let errand = self.errand.take();
        let committed = self.committed;
        for reserved in all_reserved(self.reserved, errand.as_deref()) {
            let attempt = Attempt { item: self.item.clone(), number: self.number };
            let message = ShardMessage::Settled { reserved, attempt, committed };
            post.post(core.shard_of(reserved.wallet), message);
        }
        match self.item.order() {
            // Before anybody who refers to it can be told of it.
            Some(Order::Pending(pending)) => {
                let original = Original::of_pending(pending, committed.timestamp_ns);
                core.originals.note(pending.transfer.id, original, committed.seq);
            }
            Some(Order::Transfer(_) | Order::Transaction(_)) => {}
            order => {
                let kind = order.map_or(OrderKind::Expire, Order::kind);
                let facts = errand.as_ref().and_then(|errand| errand.plan.as_ref()?.facts.as_ref());
                if let (Some(About::Original(id)), Some(facts)) =
                    (errand.as_ref().map(|errand| errand.about), facts)
                {
                    core.originals.progress(id, kind, facts, committed.seq);
                }
                let_go(&core, errand.as_deref(), post);
            }
        }
        let wallets = planned_wallets(errand.as_deref());
        settle_claim(&self.item, &wallets, &outcome(Status::Created, committed, RefusalDetail::None), post);
    }
}

impl Drop for CommittedOrder {
    fn drop(&mut self) {
        if !self.announced {
            let core = Arc::clone(&self.item.request.core);
            self.tell(&mut &*core);
        }
    }
}

fn all_reserved(first: Option<Reserved>, errand: Option<&Errand>) -> impl Iterator<Item = Reserved> {
    let others = errand.map_or(&[][..], |errand| &errand.reserved);
    #[cfg(bursar_broken = "half_transaction")]
    let others = &others[..0];
    first.into_iter().chain(others.iter().copied())
}

/// The wallets of an order that does not name them itself.
fn planned_wallets(errand: Option<&Errand>) -> Vec<WalletId> {
    let plan = errand.and_then(|errand| errand.plan.as_ref());
    plan.map_or_else(Vec::new, |plan| plan.route.parts().iter().map(|part| part.wallet).collect())
}

/// What was reserved for the attempt is not needed any more.
fn release(
    item: &RequestItem,
    number: u8,
    first: Option<Reserved>,
    errand: Option<&Errand>,
    post: &mut dyn Post,
) {
    for reserved in all_reserved(first, errand) {
        let shard = item.request.core.shard_of(reserved.wallet);
        let attempt = Attempt { item: item.clone(), number };
        post.post(shard, ShardMessage::Released { reserved, attempt });
    }
}

/// What it had for itself alone is the next one's.
fn let_go(core: &Arc<Core>, errand: Option<&Errand>, post: &mut dyn Post) {
    match errand.map(|errand| errand.about) {
        Some(About::Original(id)) => references::let_go(core, id, post),
        Some(About::Absent(id)) => pass_claim_on(core, id, post),
        Some(About::Nothing) | None => {}
    }
}

/// The id is not used up: whoever waited for it goes on in its place, and who is about it looks at it again.
fn pass_claim_on(core: &Arc<Core>, id: TransferId, post: &mut dyn Post) {
    loop {
        let released = core.claims.release(id);
        for referrer in released.referring {
            references::resume_waiter(core, referrer, post);
        }
        let Some((next, claim_number)) = released.next else { return };
        if !core.is_ending() {
            return references::send_on(InFlight::new(next, claim_number), post);
        }
        // Mailboxes may be closed by now, and what they drop would end in here again, however many there are.
        next.request.refuse(next.index, Status::Unavailable.into());
    }
}

/// What the entry `committed` answers to an operation; told again if that exists already.
pub(crate) fn outcome(status: Status, committed: Committed, detail: RefusalDetail) -> Outcome {
    let Committed { seq, timestamp_ns } = committed;
    Outcome { status, replayed: status == Status::Exists, seq, timestamp_ns, detail }
}

/// The order's id is decided: tells everybody who asked for it, and whoever is about it. `wallets` are those that it went to, if
/// it does not name them itself.
fn settle_claim(item: &RequestItem, wallets: &[WalletId], outcome: &Outcome, post: &mut dyn Post) {
    if let Some(order) = item.order() {
        let core = &item.request.core;
        let waiting = core.claims.decide(order.id(), outcome.seq);
        for waiter in waiting.same {
            waiter.request.note_route_of(waiter.index, order, wallets.iter().copied());
            waiter.finish_from_original(order, outcome);
        }
        for referrer in waiting.referring {
            references::resume_waiter(core, referrer, post);
        }
    }
    item.request.finish(item.index, outcome);
}
