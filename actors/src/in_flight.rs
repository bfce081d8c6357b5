//! An operation on its way from wallet to wallet: a drop guard.
//!
//! However it ends (committed, refused, dropped by a stopped mailbox, unwound by a panic), exactly once its ticket is
//! resolved, the wallets that reserved are told, the claim is decided or released, and its request gets an outcome. So
//! nobody waits for ever and nothing stays reserved.

use crate::core::Core;
use crate::outbox::Post;
use crate::request::{Request, RequestItem};
use crate::shard_machine::ShardMessage;
use crate::ticket::{NotOpen, Verdict};
use ledger::{Outcome, Refusal, RefusalDetail, Status, Transfer, TransferId, WalletId};
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
    reserved: Option<Reserved>,
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
    /// The first or next attempt at the operation, which nobody else has begun.
    pub(crate) fn new(item: RequestItem) -> Self {
        let attempt = item.ticket().attempt();
        Self { item: Some(item), attempt, reserved: None }
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

    pub(crate) fn transfer(&self) -> &Transfer {
        self.item().transfer()
    }

    /// What a reservation keeps of it.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt { item: self.item().clone(), number: self.attempt }
    }

    /// A wallet has reserved for it.
    pub(crate) fn set_reserved(&mut self, reserved: Reserved) {
        assert!(self.reserved.is_none(), "of the two wallets of a transfer only the first reserves");
        self.reserved = Some(reserved);
    }

    pub(crate) fn is_past_deadline(&self, now_ns: u64) -> bool {
        self.request().is_past_deadline(now_ns)
    }

    /// Journals the transfer. `Err` gives it back: somebody has cancelled this attempt.
    pub(crate) fn commit_transfer(mut self, now_ns: u64) -> Result<CommittedTransfer, Self> {
        let transfer = self.transfer();
        let wallets = [transfer.debit_wallet, transfer.credit_wallet];
        let committed = self.journal(Verdict::Done, now_ns, &wallets, |payload| {
            entry_codec::encode_transferred(transfer, payload);
        });
        match committed {
            Ok(committed) => {
                let item = self.item.take().expect("it has just been committed");
                let (number, reserved) = (self.attempt, self.reserved.take());
                Ok(CommittedTransfer { item, number, reserved, announced: false, committed })
            }
            Err(NotOpen) => Err(self),
        }
    }

    /// Journals the creation of the wallet, tells the request, and returns where it stands.
    pub(crate) fn commit_wallet(mut self, now_ns: u64) -> Option<Committed> {
        let item = self.item();
        let terms = item.request.new_wallet(item.index);
        let committed = self.journal(Verdict::Done, now_ns, &[terms.id], |payload| {
            entry_codec::encode_wallet_created(terms, payload);
        });
        let committed = committed.ok()?;
        let item = self.item.take().expect("it has just been committed");
        item.request.finish(item.index, &outcome(Status::Created, committed, RefusalDetail::None));
        Some(committed)
    }

    /// Answers an operation that has no claim and journals nothing: the creation of a wallet that is there already.
    pub(crate) fn finish_unclaimed(mut self, outcome: &Outcome) {
        let item = self.item.take().expect("an operation ends once");
        item.request.finish(item.index, outcome);
    }

    /// Refuses the transfer for good: journals the refusal, so that its id is used up.
    pub(crate) fn refuse_for_good(mut self, refusal: Refusal, now_ns: u64, post: &mut dyn Post) {
        debug_assert!(refusal.status.is_final(), "{} is not final", refusal.status);
        let transfer = self.transfer();
        let committed = self.journal(Verdict::Refused, now_ns, &[], |payload| {
            entry_codec::encode_transfer_refused(transfer, &refusal, payload);
        });
        match committed {
            Ok(committed) => {
                let item = self.item.take().expect("it has just been committed");
                release(&item, self.attempt, self.reserved.take(), post);
                settle_claim(&item, &outcome(refusal.status, committed, refusal.detail));
            }
            Err(NotOpen) => self.attempt_again(now_ns, post),
        }
    }

    /// Refuses the operation for now: nothing is journaled, and the same id may be sent again.
    pub(crate) fn refuse_for_now(mut self, status: Status, post: &mut dyn Post) {
        self.end(status, post);
    }

    /// Cancels this attempt and begins the next one, a bounded number of times.
    pub(crate) fn attempt_again(mut self, now_ns: u64, post: &mut dyn Post) {
        let core = Arc::clone(self.core());
        // Whoever has cancelled the attempt before has opened the next one.
        let _already_cancelled =
            self.item().ticket().cancel_to_retry(self.attempt, &mut core.sequencer.enter());
        let reserved = self.reserved.take();
        release(self.item(), self.attempt, reserved, post);
        self.attempt = self.item().ticket().attempt();
        core.metrics.retries.increment(1);
        if self.attempt >= ATTEMPTS_MAX {
            return self.end(Status::Contended, post);
        }
        if self.is_past_deadline(now_ns) {
            return self.end(Status::DeadlineExceeded, post);
        }
        let shard = core.shard_of(self.transfer().debit_wallet);
        post.post(shard, ShardMessage::BeginOne(self));
    }

    fn journal(
        &self,
        verdict: Verdict,
        now_ns: u64,
        wallets: &[WalletId],
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Committed, NotOpen> {
        PAYLOAD.with_borrow_mut(|payload| {
            payload.clear();
            encode(payload);
            let item = self.item();
            let mut section = self.core().sequencer.enter();
            item.ticket().commit(self.attempt, verdict, &mut section, now_ns, payload, wallets)
        })
    }

    /// Ends it without an entry. The item is taken first: nothing that fails in here is tried again.
    fn end(&mut self, status: Status, post: &mut dyn Post) {
        let item = self.item.take().expect("an operation ends once");
        let core = Arc::clone(&item.request.core);
        let closed = item.ticket().close(&mut core.sequencer.enter());
        assert!(
            closed.is_ok(),
            "only its holder ends an operation, so some attempt of it is open until then"
        );
        release(&item, self.attempt, self.reserved.take(), post);
        if matches!(item.request.operations(), crate::request::Operations::CreateTransfers { .. }) {
            pass_claim_on(&core, item.transfer().id, post);
        }
        item.request.refuse(item.index, status.into());
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

/// A transfer that stands in the journal and of which nobody has been told yet. Dropped, it tells them all the same:
/// what is committed stays committed, whatever becomes of the wallet that committed it.
#[derive(Debug)]
pub(crate) struct CommittedTransfer {
    item: RequestItem,
    number: u8,
    reserved: Option<Reserved>,
    announced: bool,
    pub(crate) committed: Committed,
}

impl CommittedTransfer {
    pub(crate) fn transfer(&self) -> &Transfer {
        self.item.transfer()
    }

    /// Tells the wallet that reserved, whoever waited on the claim, and the request.
    pub(crate) fn announce(mut self, post: &mut dyn Post) {
        self.tell(post);
    }

    fn tell(&mut self, post: &mut dyn Post) {
        self.announced = true;
        if let Some(reserved) = self.reserved {
            let shard = self.item.request.core.shard_of(reserved.wallet);
            let attempt = Attempt { item: self.item.clone(), number: self.number };
            post.post(shard, ShardMessage::Settled { reserved, attempt, seq: self.committed.seq });
        }
        settle_claim(&self.item, &outcome(Status::Created, self.committed, RefusalDetail::None));
    }
}

impl Drop for CommittedTransfer {
    fn drop(&mut self) {
        if !self.announced {
            let core = Arc::clone(&self.item.request.core);
            self.tell(&mut &*core);
        }
    }
}

/// What was reserved for the attempt is not needed any more.
fn release(item: &RequestItem, number: u8, reserved: Option<Reserved>, post: &mut dyn Post) {
    if let Some(reserved) = reserved {
        let shard = item.request.core.shard_of(reserved.wallet);
        let attempt = Attempt { item: item.clone(), number };
        post.post(shard, ShardMessage::Released { reserved, attempt });
    }
}

/// The id is not used up, so whoever waited for it goes on in its place.
fn pass_claim_on(core: &Core, id: TransferId, post: &mut dyn Post) {
    while let Some(next) = core.claims.release(id) {
        if !core.is_ending() {
            let shard = core.shard_of(next.transfer().debit_wallet);
            return post.post(shard, ShardMessage::BeginOne(InFlight::new(next)));
        }
        // Mailboxes may be closed by now, and what they drop would end in here again, however many there are.
        next.request.refuse(next.index, Status::Unavailable.into());
    }
}

fn outcome(status: Status, committed: Committed, detail: RefusalDetail) -> Outcome {
    Outcome { status, replayed: false, seq: committed.seq, timestamp_ns: committed.timestamp_ns, detail }
}

/// The transfer's id is decided: tells everybody who asked for it.
fn settle_claim(item: &RequestItem, outcome: &Outcome) {
    let transfer = item.transfer();
    for waiter in item.request.core.claims.decide(transfer.id, outcome.seq) {
        waiter.finish_from_original(transfer, outcome);
    }
    item.request.finish(item.index, outcome);
}
