//! Orders about other orders: what a post, a void, a reversal or the end of a hold by its time refers to.
//!
//! First the id that it is about: if somebody is deciding that id, an order waits for it, provided that its own claim is
//! the younger one; so nobody waits in a circle. If there is no such id, the order claims it while it is refused, so
//! that none can come meanwhile. Then the original, which it has for itself alone until it has ended. What that allows
//! is `ledger::original`'s to say; then its wallets are asked as those of any order.

use crate::claims::Referred;
use crate::core::Core;
use crate::in_flight::{About, InFlight};
use crate::originals::Acquired;
use crate::outbox::Post;
use crate::request::{Operations, Request};
use crate::shard_machine::ShardMessage;
use ledger::original::{Original, Unresolved, expire, resolve};
use ledger::{Status, TransferId, WalletId};
use persistence::read_entries;
use std::sync::Arc;

/// How many holds are let expire by one request.
const EXPIRED_PER_REQUEST_MAX: usize = 4_096;

/// Sends an order to its first wallet; one about another goes by way of that.
pub(crate) fn send_on(in_flight: InFlight, post: &mut dyn Post) {
    if in_flight.refers_to().is_some() {
        // By way of a mailbox: it may end at once, and very many may wait for its id, each of them the next one's.
        let core = Arc::clone(in_flight.core());
        return post_resume(&core, in_flight, post);
    }
    let shard = in_flight.core().shard_of(in_flight.part().wallet);
    post.post(shard, ShardMessage::BeginOne(in_flight));
}

/// Goes on with an order about another from wherever it is. Those that waited come here only by way of a mailbox.
pub(crate) fn resume(core: &Arc<Core>, mut in_flight: InFlight, post: &mut dyn Post) {
    let id = in_flight.refers_to().expect("it is about another order");
    if in_flight.about() != About::Nothing {
        return decide(core, in_flight, post);
    }
    let claim_number = in_flight.claim_number();
    let mut waits = Some(in_flight);
    let referred = core.claims.refer(id, claim_number, || Box::new(waits.take().expect("it waits once")));
    let Some(asks) = waits else { return };
    in_flight = asks;
    match referred {
        Referred::Waits => panic!("who waits has been handed over"),
        Referred::Younger => in_flight.refuse_for_now(Status::Contended, post),
        Referred::Absent => {
            in_flight.set_about(About::Absent(id));
            decide(core, in_flight, post);
        }
        // It has the original from the moment on that it is granted, also if that comes later.
        Referred::Decided(_) => {
            in_flight.set_about(About::Original(id));
            match core.originals.acquire(id, in_flight) {
                Acquired::Granted(in_flight) => decide(core, in_flight, post),
                Acquired::Waits => {}
            }
        }
    }
}

/// Goes on with an order that waited for the id that it is about. By way of a mailbox, because very many may wait for
/// one, and each may be decided at once.
pub(crate) fn resume_waiter(core: &Arc<Core>, in_flight: Box<InFlight>, post: &mut dyn Post) {
    if core.is_ending() {
        // Not from here: others may wait for it, and others for those, one inside the other.
        let ending = Arc::clone(core);
        return core.read_soon(move || in_flight.refuse_for_now(Status::Unavailable, &mut &*ending));
    }
    post_resume(core, *in_flight, post);
}

/// Whoever had the original has ended: it is the next one's.
pub(crate) fn let_go(core: &Arc<Core>, id: TransferId, post: &mut dyn Post) {
    while let Some(next) = core.originals.release(id) {
        if !core.is_ending() {
            return post_resume(core, next, post);
        }
        // Mailboxes may be closed by now, and what they drop would end in here again, however many there are.
        next.give_up_reference(post);
    }
}

fn post_resume(core: &Arc<Core>, in_flight: InFlight, post: &mut dyn Post) {
    let id = in_flight.refers_to().expect("it is about another order");
    // Any shard can look at it; which, is a matter of spreading them.
    post.post(core.shard_of(WalletId(id.0)), ShardMessage::Resume(in_flight));
}

/// The original is the order's: what does it allow?
fn decide(core: &Arc<Core>, mut in_flight: InFlight, post: &mut dyn Post) {
    let now_ns = core.sequencer.now_ns();
    if in_flight.is_past_deadline(now_ns) {
        return in_flight.refuse_for_now(Status::DeadlineExceeded, post);
    }
    let original = match in_flight.about() {
        About::Nothing => panic!("nothing is decided about an order that another may decide on"),
        About::Absent(_) => None,
        About::Original(id) => match core.originals.known(id) {
            Some((original, _)) => Some(original),
            None => return load(core, id, in_flight),
        },
    };
    let plan = if let Some(order) = in_flight.order() {
        resolve(order, original.as_ref(), now_ns)
    } else {
        let id = in_flight.refers_to().expect("it is about a hold");
        let Some(plan) = expire(id, original.as_ref(), now_ns) else {
            return in_flight.finish_needless(post);
        };
        Ok(plan)
    };
    match plan {
        Ok(plan) => {
            in_flight.set_plan(plan);
            let shard = core.shard_of(in_flight.part().wallet);
            post.post(shard, ShardMessage::BeginOne(in_flight));
        }
        Err(Unresolved { refusal, valid_until_ns }) => {
            in_flight.refuse_for_good(refusal, valid_until_ns, now_ns, post);
        }
    }
}

/// Reads what the order is about, once that is durable, on a reader's thread.
fn load(core: &Arc<Core>, id: TransferId, in_flight: InFlight) {
    let seq = core.claims.decided(id).expect("what is decided stays decided");
    let reading = Arc::clone(core);
    let waiter = move |durable: Result<(), _>| {
        // Dropped, it answers for itself. A journal that has failed ends the process.
        if durable.is_err() {
            return;
        }
        let core = Arc::clone(&reading);
        reading.read_soon(move || match read_original(&core, seq) {
            Ok(original) => {
                core.originals.load(id, original, seq);
                decide(&core, in_flight, &mut &*core);
            }
            Err(error) => core.cannot_read(&error),
        });
    };
    core.sequencer.when_durable(seq, Box::new(waiter));
}

/// What the entry makes of its order for those that are about it.
pub(crate) fn read_original(core: &Core, seq: u64) -> Result<Original, persistence::PersistenceError> {
    let mut original = Original::Neither;
    read_entries(core.journal.as_ref(), &[seq], &mut |_, timestamp_ns, entry| {
        original = entry.original(timestamp_ns);
        Ok(())
    })?;
    Ok(original)
}

/// Lets holds expire that are due. Nobody waits for it, and what is being captured or released at this moment is left
/// alone; so it is to be called again and again.
pub(crate) fn expire_due(core: &Arc<Core>) {
    if core.is_ending() || core.disk_full.load(std::sync::atomic::Ordering::Relaxed) {
        return;
    }
    // They are admitted like any request, so that a stop waits for them; with little room, fewer come first.
    for limit in [EXPIRED_PER_REQUEST_MAX, EXPIRED_PER_REQUEST_MAX / 16, 1] {
        let due = core.originals.due(core.sequencer.now_ns(), limit);
        if due.is_empty() {
            return;
        }
        let operations = Operations::ExpireHolds(due);
        if let Ok(permit) = core.admit(&operations, 0) {
            let request =
                Request::new(Arc::clone(core), operations, u64::MAX, Some(permit), Box::new(|_| {}));
            return core.route(&request);
        }
    }
}

/// Begins to let a hold expire, unless somebody decides on it.
pub(crate) fn begin_expiry(core: &Arc<Core>, mut in_flight: InFlight, post: &mut dyn Post) {
    let id = in_flight.refers_to().expect("it is about a hold");
    if !core.originals.try_acquire(id) {
        return in_flight.finish_needless(post);
    }
    in_flight.set_about(About::Original(id));
    decide(core, in_flight, post);
}
