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
use crate::router_machine::DecidedOrders;
use crate::shard_machine::ShardMessage;
use ledger::original::{Original, Unresolved, expire, resolve};
use ledger::{Status, TransferId, WalletId};
use std::sync::Arc;

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
            if core.books_now().ids().may_contain(id) {
                look_into_books(core, id, in_flight);
            } else {
                decide(core, in_flight, post);
            }
        }
        Referred::Decided(_) => acquire(core, id, in_flight, post),
    }
}

/// Asks for the original. It is the order's from the moment on that it is granted, also if that comes later.
fn acquire(core: &Arc<Core>, id: TransferId, mut in_flight: InFlight, post: &mut dyn Post) {
    in_flight.set_about(About::Original(id));
    match core.originals.acquire(id, in_flight) {
        Acquired::Granted(in_flight) => decide(core, in_flight, post),
        Acquired::Waits => {}
    }
}

/// The id is claimed by the order as one that there is not; on a reader's thread it is looked up whether that is so.
fn look_into_books(core: &Arc<Core>, id: TransferId, mut in_flight: InFlight) {
    let reading = Arc::clone(core);
    core.read_soon(move || match reading.reader.seq_of(id) {
        Ok(None) => decide(&reading, in_flight, &mut &*reading),
        Ok(Some(seq)) => {
            in_flight.set_about(About::Nothing);
            let mut decided = DecidedOrders::default();
            decided.add_waiting(seq, reading.claims.found(id), &reading);
            decided.answer(&reading);
            acquire(&reading, id, in_flight, &mut &*reading);
        }
        Err(error) => reading.cannot_read(&error),
    });
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
pub(crate) fn decide(core: &Arc<Core>, mut in_flight: InFlight, post: &mut dyn Post) {
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
    // Not in memory any more, it has long been durable.
    let recent_seq = core.claims.decided(id).unwrap_or_default();
    let reading = Arc::clone(core);
    let waiter = move |durable: Result<(), _>| {
        // Dropped, it answers for itself. A journal that has failed ends the process.
        if durable.is_err() {
            return;
        }
        let core = Arc::clone(&reading);
        reading.read_soon(move || match read_original(&core, id, recent_seq) {
            Ok((original, seq)) => {
                core.originals.load(id, original, seq);
                decide(&core, in_flight, &mut &*core);
            }
            Err(error) => core.cannot_read(&error),
        });
    };
    core.sequencer.when_durable(recent_seq, Box::new(waiter));
}

/// What the order `id` is for those that are about it, when memory has not a word of it. `recent_seq` is its entry, if that was
/// in memory a moment ago.
pub(crate) fn read_original(
    core: &Core,
    id: TransferId,
    recent_seq: u64,
) -> Result<(Original, u64), persistence::PersistenceError> {
    // What others have made of it is in memory until the books hold it; so either the books have all of it, or nobody has
    // made anything of it.
    if let (_, Some((seq, original))) = core.reader.original(id)? {
        return Ok((original, seq));
    }
    let mut original = Original::Neither;
    core.reader.entries(&[recent_seq], &mut |_, timestamp_ns, entry| {
        original = entry.original(timestamp_ns);
        Ok(())
    })?;
    Ok((original, recent_seq))
}
