//! Holds whose time has come: their end is journaled, unless somebody captures or releases them at this moment.
//!
//! That a hold does not count any more is nobody's business here: whoever decides or reads looks at the time. Holds that memory knows
//! stand in [`Originals`](crate::originals::Originals), the others in the books.

use crate::core::Core;
use crate::in_flight::{About, InFlight};
use crate::outbox::Post;
use crate::references;
use crate::request::{Operations, Request};
use ledger::TransferId;
use parking_lot::Mutex;
use persistence::{BooksView, PersistenceError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many holds are let expire by one request.
const EXPIRED_PER_REQUEST_MAX: usize = 4_096;

/// Looks for holds in the books that are due, some each time. One at a time looks.
#[derive(Debug)]
pub(crate) struct ExpiringInBooks(Mutex<Option<Search>>);

/// How far the search has come: its last hold, or `None` to begin with the oldest. Some may not end, because a wallet does not
/// answer, or have ended since the view's moment; the others must have their turn.
#[derive(Debug, Default)]
struct Search(Option<(u64, TransferId)>);

impl Default for ExpiringInBooks {
    fn default() -> Self {
        Self(Mutex::new(Some(Search::default())))
    }
}

impl Search {
    fn next(&mut self, books: &BooksView, now_ns: u64) -> Result<Vec<TransferId>, PersistenceError> {
        let due = books.holds_due(self.0, now_ns, EXPIRED_PER_REQUEST_MAX)?;
        let is_all = due.len() < EXPIRED_PER_REQUEST_MAX;
        self.0 = due.last().filter(|_| !is_all).map(|(id, terms)| (terms.expires_at_ns, *id));
        Ok(due.into_iter().map(|(id, _)| id).collect())
    }
}

/// Lets holds expire that are due. Nobody waits for it, and what is being captured or released at this moment is left
/// alone; so it is to be called again and again.
pub(crate) fn expire_due(core: &Arc<Core>) {
    if core.is_ending() || core.disk_full.load(Ordering::Relaxed) {
        return;
    }
    expire_now(core, |limit| core.originals.due(core.sequencer.now_ns(), limit));
    let Some(mut search) = core.expiring_in_books.0.lock().take() else { return };
    let reading = Arc::clone(core);
    core.read_soon(move || {
        match search.next(&reading.reader.view(), reading.sequencer.now_ns()) {
            Ok(due) => {
                let has_not_ended = |id: &TransferId| !reading.originals.has_ended(*id);
                let due: Vec<_> = due.into_iter().filter(has_not_ended).collect();
                expire_now(&reading, |limit| due.iter().copied().take(limit).collect());
            }
            Err(error) => reading.cannot_read(&error),
        }
        *reading.expiring_in_books.0.lock() = Some(search);
    });
}

/// Lets holds expire, as many of those that are due as there is room for.
fn expire_now(core: &Arc<Core>, due: impl Fn(usize) -> Vec<TransferId>) {
    // They are admitted like any request, so that a stop waits for them; with little room, fewer come first.
    for limit in [EXPIRED_PER_REQUEST_MAX, EXPIRED_PER_REQUEST_MAX / 16, 1] {
        let due = due(limit);
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
    references::decide(core, in_flight, post);
}
