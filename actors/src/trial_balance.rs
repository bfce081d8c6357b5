//! A trial balance: the totals of each asset over all wallets, exact as of one entry, while transfers go on.
//!
//! The moment H is taken inside the critical section, together with publishing it. From then on every wallet keeps,
//! before it applies its first entry above H, a copy of itself as of H; and each is asked in turn for itself as of H.
//! A wallet that was rebuilt meanwhile has no such copy and is read from the journal. One at a time: who asks
//! meanwhile waits and shares the next one.

use crate::core::Core;
use crate::outbox::Post;
use crate::request::{Request, TrialBalanceView};
use crate::shard_machine::ShardMessage;
use ledger::fold::AssetTotals;
use ledger::{AssetId, Wallet, WalletId};
use parking_lot::Mutex;
use persistence::rebuild_wallet;
use persistence::sync::AtomicU64;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The moment of the newest trial balance. Announced inside the critical section only, so whoever commits or learns of
/// an entry above it knows of it.
#[derive(Debug, Default)]
pub(crate) struct AnnouncedMoment {
    seq: AtomicU64,
    /// 0 before the first trial balance.
    number: AtomicU64,
}

/// A moment that every wallet is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) number: u64,
    pub(crate) seq: u64,
}

impl AnnouncedMoment {
    pub(crate) fn announce(&self, seq: u64) -> Moment {
        let number = self.number.load(Ordering::Relaxed) + 1;
        self.seq.store(seq, Ordering::Release);
        // After the seq: who sees the number sees the seq, or that of a later trial balance, which does no harm to a
        // wallet that the earlier one has not waited for.
        self.number.store(number, Ordering::Release);
        Moment { number, seq }
    }

    pub(crate) fn newest(&self) -> Moment {
        let number = self.number.load(Ordering::Acquire);
        Moment { number, seq: self.seq.load(Ordering::Acquire) }
    }
}

/// The trial balances of a ledger.
#[derive(Debug, Default)]
pub(crate) struct TrialBalances {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    running: bool,
    /// One was given up: none is begun any more, because the process is ending.
    given_up: bool,
    waiting: Vec<Arc<Request>>,
}

/// One trial balance under way.
#[derive(Debug)]
pub(crate) struct TrialBalance {
    core: Arc<Core>,
    /// Two trial balances may be as of the same entry; the number tells them apart.
    pub(crate) number: u64,
    pub(crate) as_of_seq: u64,
    totals: Mutex<BTreeMap<AssetId, AssetTotals>>,
    /// Shards that are not through, and wallets that were asked and have not answered.
    unanswered: AtomicUsize,
    requests: Mutex<Vec<Arc<Request>>>,
}

impl TrialBalances {
    /// Answers the request from a trial balance that begins now or after the one that is under way.
    pub(crate) fn begin(&self, core: &Arc<Core>, request: &Arc<Request>, post: &mut dyn Post) {
        let mut queue = self.queue.lock();
        if queue.given_up {
            drop(queue);
            return request.give_up();
        }
        queue.waiting.push(Arc::clone(request));
        if !queue.running {
            queue.running = true;
            let requests = std::mem::take(&mut queue.waiting);
            drop(queue);
            start(core, requests, post);
        }
    }

    fn ended(&self, core: &Arc<Core>) {
        let mut queue = self.queue.lock();
        let requests = std::mem::take(&mut queue.waiting);
        queue.running = !requests.is_empty();
        drop(queue);
        if !requests.is_empty() {
            start(core, requests, &mut &**core);
        }
    }
}

fn start(core: &Arc<Core>, requests: Vec<Arc<Request>>, post: &mut dyn Post) {
    let moment = {
        let section = core.sequencer.enter();
        core.moment.announce(section.head_seq())
    };
    let trial = Arc::new(TrialBalance {
        core: Arc::clone(core),
        number: moment.number,
        as_of_seq: moment.seq,
        totals: Mutex::default(),
        unanswered: AtomicUsize::new(core.shards()),
        requests: Mutex::new(requests),
    });
    for shard in 0..core.shards() {
        post.post(shard, ShardMessage::SumUp(PendingShardSum::new(Arc::clone(&trial))));
    }
}

impl TrialBalance {
    /// Adds wallets as of the moment.
    pub(crate) fn add<'a>(&self, wallets: impl Iterator<Item = &'a Wallet>) {
        let mut totals = self.totals.lock();
        for wallet in wallets.filter(|wallet| wallet.created_seq <= self.as_of_seq) {
            totals.entry(wallet.terms.asset).or_default().add(wallet);
        }
    }

    /// A wallet is being asked, and will answer.
    pub(crate) fn asked(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// A wallet or a shard has answered.
    pub(crate) fn answered(self: &Arc<Self>) {
        if self.unanswered.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end();
        }
    }

    /// A wallet does not know what it was at the moment: it is read from the journal.
    pub(crate) fn answer_from_journal(self: &Arc<Self>, wallet: WalletId) {
        let trial = Arc::clone(self);
        let read = move |durable: Result<(), _>| {
            // A journal that has failed ends the process.
            if durable.is_err() {
                return trial.give_up();
            }
            let core = Arc::clone(&trial.core);
            core.read_soon(move || {
                let core = &trial.core;
                match rebuild_wallet(core.journal.as_ref(), &core.index, wallet, trial.as_of_seq) {
                    Ok(rebuilt) => {
                        trial.add(rebuilt.iter());
                        trial.answered();
                    }
                    Err(error) => core.cannot_read(&error),
                }
            });
        };
        self.core.sequencer.when_durable(self.as_of_seq, Box::new(read));
    }

    /// It cannot be ended, and nor can those that wait for it: the process is ending.
    fn give_up(&self) {
        let waiting = {
            let mut queue = self.core.trial_balances.queue.lock();
            queue.given_up = true;
            std::mem::take(&mut queue.waiting)
        };
        for request in std::mem::take(&mut *self.requests.lock()).into_iter().chain(waiting) {
            request.give_up();
        }
    }

    fn end(self: &Arc<Self>) {
        let totals = std::mem::take(&mut *self.totals.lock());
        let known = self.core.assets.read();
        let assets = known
            .values()
            .filter(|known| known.created_seq <= self.as_of_seq)
            .map(|known| (known.asset.clone(), totals.get(&known.asset.id).copied().unwrap_or_default()))
            .collect();
        drop(known);
        let view = TrialBalanceView { as_of_seq: self.as_of_seq, assets };
        for request in std::mem::take(&mut *self.requests.lock()) {
            request.finish_trial_balance(view.clone());
        }
        self.core.trial_balances.ended(&self.core);
    }
}

impl Drop for TrialBalance {
    fn drop(&mut self) {
        // Lost with a reader that failed.
        if *self.unanswered.get_mut() > 0 {
            self.give_up();
        }
    }
}

/// A shard's part of a trial balance, on its way to the shard: dropped without an answer, it gives the trial balance up,
/// because only a shard that is no more drops it.
#[derive(Debug)]
pub(crate) struct PendingShardSum {
    trial: Arc<TrialBalance>,
    /// Where to go on.
    pub(crate) next_slot: usize,
    answered: bool,
}

impl PendingShardSum {
    fn new(trial: Arc<TrialBalance>) -> Self {
        Self { trial, next_slot: 0, answered: false }
    }

    pub(crate) fn trial(&self) -> Arc<TrialBalance> {
        Arc::clone(&self.trial)
    }

    /// Every wallet of the shard is summed up or asked.
    pub(crate) fn finish(mut self) {
        self.answered = true;
        self.trial.answered();
    }
}

impl Drop for PendingShardSum {
    fn drop(&mut self) {
        if !self.answered {
            self.trial.give_up();
        }
    }
}

/// A wallet's part of a trial balance, on its way to the wallet: dropped without an answer, it is answered from the
/// journal, so that the trial balance ends whatever becomes of the wallet.
#[derive(Debug)]
pub(crate) struct PendingSum {
    trial: Arc<TrialBalance>,
    wallet: WalletId,
    answered: bool,
}

impl PendingSum {
    pub(crate) fn new(trial: Arc<TrialBalance>, wallet: WalletId) -> Self {
        Self { trial, wallet, answered: false }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { number: self.trial.number, seq: self.trial.as_of_seq }
    }

    /// The wallet as of the moment; `None` if it did not exist then.
    pub(crate) fn finish(mut self, wallet: Option<&Wallet>) {
        self.trial.add(wallet.into_iter());
        self.answered = true;
        self.trial.answered();
    }
}

impl Drop for PendingSum {
    fn drop(&mut self) {
        if !self.answered {
            self.trial.answer_from_journal(self.wallet);
        }
    }
}
