//! A trial balance: the totals of each asset over all wallets, exact as of one entry, while transfers go on.
//!
//! It is read from the books, whose totals are sums over the wallets there, and from the entries above them. It waits until the
//! entry is durable, and is read away from the shards' threads. One at a time: who asks meanwhile waits and shares the
//! next one.

use crate::core::Core;
use crate::request::{Request, TrialBalanceView};
use parking_lot::Mutex;
use std::sync::Arc;

/// The trial balances of a ledger.
#[derive(Debug, Default)]
pub(crate) struct TrialBalances {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    running: bool,
    waiting: Vec<Arc<Request>>,
}

impl TrialBalances {
    /// Answers the request from a trial balance that begins now or after the one that is under way.
    pub(crate) fn begin(&self, core: &Arc<Core>, request: &Arc<Request>) {
        let mut queue = self.queue.lock();
        queue.waiting.push(Arc::clone(request));
        if !queue.running {
            queue.running = true;
            drop(queue);
            start(core);
        }
    }
}

/// Begins one for all who wait.
fn start(core: &Arc<Core>) {
    let trial = TrialBalance { core: Arc::clone(core), requests: core.trial_balances.take_waiting() };
    let as_of_seq = core.sequencer.appended_seq();
    let reading = Arc::clone(core);
    let read = move |durable: Result<(), _>| {
        // Dropped, it gives up those that wait. A journal that has failed ends the process.
        if durable.is_ok() {
            reading.read_history_soon(move || trial.read(as_of_seq));
        }
    };
    core.sequencer.when_durable(as_of_seq, Box::new(read));
}

impl TrialBalances {
    fn take_waiting(&self) -> Vec<Arc<Request>> {
        std::mem::take(&mut self.queue.lock().waiting)
    }

    /// One has ended. Whether another is to begin.
    fn ended(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.running = !queue.waiting.is_empty();
        queue.running
    }
}

/// One trial balance under way: dropped without an answer, it gives up those that wait for it.
struct TrialBalance {
    core: Arc<Core>,
    requests: Vec<Arc<Request>>,
}

impl TrialBalance {
    fn read(mut self, as_of_seq: u64) {
        let totals = match self.core.reader.totals_as_of(as_of_seq) {
            Ok(totals) => totals,
            Err(error) => return self.core.cannot_read(&error),
        };
        let known = self.core.assets.read();
        let assets = known
            .values()
            .filter(|known| known.created_seq <= as_of_seq)
            .map(|known| (known.asset.clone(), totals.get(&known.asset.id).copied().unwrap_or_default()))
            .collect();
        drop(known);
        let view = TrialBalanceView { as_of_seq, assets };
        for request in std::mem::take(&mut self.requests) {
            request.finish_trial_balance(view.clone());
        }
    }
}

impl Drop for TrialBalance {
    fn drop(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            request.give_up();
        }
        if self.core.trial_balances.ended() {
            start(&self.core);
        }
    }
}
