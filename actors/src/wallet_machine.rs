//! What a wallet decides: its part of orders, one message after another.
//!
//! The state is the committed wallet, the reservations whose outcome is open, and who waits for one of them. The rules
//! of money are `ledger`'s; here is the order of things. An operation that holds no reservation yet may wait here;
//! one that holds a reservation elsewhere never does: so nobody waits for each other in a circle.
//!
//! A wallet that has failed (a panic while it handled a message) is not trusted any more: what is open is cancelled,
//! and it is rebuilt from the journal. Meanwhile, others go on.

use crate::core::Core;
use crate::in_flight::{Attempt, InFlight, Reserved, outcome};
use crate::outbox::Post;
use crate::request::PendingRead;
use crate::shard_machine::{Departure, ShardMessage};
use crate::ticket::Fate;
use ledger::decide::decide;
use ledger::{
    Circumstances, Decision, Effect, ImportId, OpenReservations, Outcome, Part, RefusalDetail, Status,
    TransferId, Wallet, WalletId,
};
use persistence::Committed;
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long an operation waits for a wallet that is being rebuilt.
pub(crate) const REBUILD_PATIENCE_NS: u64 = 1_000_000_000;

/// A wallet that fails more often than this within [`RESTART_WINDOW_NS`] is quarantined.
pub(crate) const RESTARTS_MAX: usize = 5;

/// See [`RESTARTS_MAX`]: a minute.
pub(crate) const RESTART_WINDOW_NS: u64 = 60_000_000_000;

/// A message to a wallet.
#[derive(Debug)]
pub(crate) enum WalletMessage {
    /// An order that asks this wallet first.
    Begin(InFlight),
    /// An order that the wallets before have accepted.
    Continue(InFlight),
    /// What was reserved here is in the journal.
    Settled {
        /// Where the reservation is.
        slot: u32,
        /// What it was for.
        attempt: Attempt,
        /// The entry.
        committed: Committed,
    },
    /// What was reserved here is not needed any more.
    Released {
        /// Where the reservation is.
        slot: u32,
        /// What it was for.
        attempt: Attempt,
    },
    /// The wallet is to be created.
    Create(InFlight),
    /// The wallet is to be changed.
    Change(InFlight),
    /// The wallet is to be read.
    Read(PendingRead),
    /// The wallet is to be read from the disk. The first message, if it comes.
    Load,
    /// The wallet is to leave memory, if it can.
    Leave(PendingLeave),
    /// The wallet as the journal has it.
    Rebuilt {
        /// The restart that asked for it.
        restart: u64,
        /// `None` if it does not exist.
        wallet: Option<Box<Wallet>>,
        /// Up to which entry.
        as_of_seq: u64,
    },
    /// Whoever waits for the rebuilding, or for the reading, is turned away: it takes too long, or nothing comes any more.
    LosePatience {
        /// The restart that it waited for.
        restart: u64,
    },
}

/// A message's surroundings: what is shared, what time it is, and where messages for other wallets go.
pub(crate) struct Turn<'a> {
    /// What is shared.
    pub core: &'a Arc<Core>,
    /// Ledger time.
    pub now_ns: u64,
    /// For other wallets, by way of their shards.
    pub post: &'a mut dyn Post,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("now_ns", &self.now_ns).finish_non_exhaustive()
    }
}

/// What was reserved for an attempt whose outcome is open.
#[derive(Debug)]
struct Reservation {
    attempt: Attempt,
    /// What is done when it is committed.
    effect: Effect,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Decides.
    Ready,
    /// Waits for what it is, for the first time; everything is parked. Nobody waits for anybody through this: it waits for
    /// the disk alone.
    Loading,
    /// Has left memory: nothing comes any more.
    Gone,
    /// Waits for its state from the journal; what holds no reservation elsewhere is parked.
    Rebuilding,
    /// Still waits, and longer than anybody is to wait for it: everything is turned away.
    RebuildingTooLong,
    /// Has failed too often, and does nothing until the process starts again.
    Quarantined,
}

/// A wallet's state, and what it does with each message.
#[derive(Debug)]
pub(crate) struct WalletMachine {
    id: WalletId,
    /// The committed state; `None` before the wallet is created.
    wallet: Option<Box<Wallet>>,
    reservations: Slab<Reservation>,
    open: OpenReservations,
    /// The holds here whose end is reserved.
    ending: BTreeSet<TransferId>,
    /// What could not be decided yet: orders that begin here, and changes. First come, first decided, so that none waits
    /// for ever.
    waiting: VecDeque<InFlight>,
    /// What came while the wallet was being rebuilt.
    parked: VecDeque<WalletMessage>,
    /// The newest head up to which this wallet has settled what it had reserved, or has been rebuilt.
    settled_seq: u64,
    /// The journal was asked for the state as of this entry.
    asked_seq: u64,
    mode: Mode,
    /// The number of the last restart or loading; among those of all wallets.
    restart: u64,
    recent_restarts_ns: VecDeque<u64>,
}

impl WalletMachine {
    /// The wallet as its shard knows it; `None` if it has to be read first. Whatever it had reserved before is settled up to
    /// `head`, the newest entry there is.
    pub(crate) fn new(id: WalletId, wallet: Option<Box<Wallet>>, head: u64) -> Self {
        let mode = if wallet.is_some() { Mode::Ready } else { Mode::Loading };
        Self {
            id,
            wallet,
            reservations: Slab::new(),
            open: OpenReservations::default(),
            ending: BTreeSet::new(),
            waiting: VecDeque::new(),
            parked: VecDeque::new(),
            settled_seq: head,
            asked_seq: 0,
            mode,
            restart: 0,
            recent_restarts_ns: VecDeque::new(),
        }
    }

    /// The committed state, for whoever compares it; `None` as well while it is not to be trusted.
    #[cfg(test)]
    pub(crate) fn committed(&self) -> Option<&Wallet> {
        self.wallet.as_deref().filter(|_| matches!(self.mode, Mode::Ready))
    }

    /// Whether it has failed too often.
    #[cfg(test)]
    pub(crate) fn is_quarantined(&self) -> bool {
        matches!(self.mode, Mode::Quarantined)
    }

    /// Whether it has left memory.
    #[cfg(test)]
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.mode, Mode::Gone)
    }

    /// Whether nothing is open, waits or is parked here.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.reservations.is_empty()
            && self.open == OpenReservations::default()
            && self.ending.is_empty()
            && self.waiting.is_empty()
            && self.parked.is_empty()
            && !matches!(self.mode, Mode::Loading | Mode::Rebuilding | Mode::RebuildingTooLong)
    }

    /// Handles one message. A panic in here means that the wallet is not to be trusted: see [`Self::restart`].
    pub(crate) fn handle(&mut self, message: WalletMessage, turn: &mut Turn<'_>) {
        match self.mode {
            Mode::Ready => self.handle_ready(message, turn),
            Mode::Loading => self.handle_loading(message, turn),
            Mode::Gone => {
                let is_late = matches!(message, WalletMessage::LosePatience { .. });
                assert!(is_late, "wallet {} has left, and {message:?} comes", self.id);
            }
            Mode::Rebuilding | Mode::RebuildingTooLong => self.handle_rebuilding(message, turn),
            Mode::Quarantined => Self::turn_away(message, Status::WalletQuarantined, turn),
        }
    }

    fn handle_ready(&mut self, message: WalletMessage, turn: &mut Turn<'_>) {
        match message {
            WalletMessage::Begin(in_flight) => {
                turn.core.inject_fault("begin", self.id);
                if !self.takes_part_in(&in_flight, turn.core) {
                    self.refuse_while_importing(in_flight, turn);
                } else if self.waiting.is_empty() {
                    self.begin(in_flight, turn);
                } else {
                    self.waiting.push_back(in_flight);
                }
            }
            WalletMessage::Continue(in_flight) => self.conclude(in_flight, turn),
            WalletMessage::Settled { slot, attempt, committed } => {
                self.settle(slot, &attempt, committed, turn);
            }
            WalletMessage::Released { slot, attempt } => {
                turn.core.inject_fault("released", self.id);
                if self.take_reservation(slot, &attempt).is_some() {
                    self.decide_waiting(turn);
                }
            }
            WalletMessage::Create(in_flight) => self.create(in_flight, turn),
            WalletMessage::Change(in_flight) => {
                turn.core.inject_fault("change", self.id);
                self.waiting.push_back(in_flight);
                self.decide_waiting(turn);
            }
            WalletMessage::Read(read) => self.read(read, turn),
            WalletMessage::Leave(leave) => self.leave(leave, turn),
            // Of an earlier restart, which a later one has overtaken.
            WalletMessage::Rebuilt { .. } | WalletMessage::LosePatience { .. } => {}
            WalletMessage::Load => panic!("wallet {} is known already", self.id),
        }
    }

    /// Decides on an order that asks this wallet first: reserves and passes it on, refuses, or lets it wait.
    fn begin(&mut self, in_flight: InFlight, turn: &mut Turn<'_>) {
        if in_flight.is_past_deadline(turn.now_ns) {
            return in_flight.refuse_for_now(Status::DeadlineExceeded, turn.post);
        }
        let part = in_flight.part();
        self.look_for_hold(&part, turn);
        match self.decide(&part, turn.now_ns) {
            Decision::Accept => self.reserve(in_flight, part.effect, turn),
            Decision::Refuse { refusal, valid_until_ns } => {
                turn.core.inject_fault("refuse_debit", self.id);
                in_flight.refuse_for_good(refusal, valid_until_ns, turn.now_ns, turn.post);
            }
            Decision::Wait => self.waiting.push_back(in_flight),
        }
    }

    fn decide(&self, part: &Part, now_ns: u64) -> Decision {
        let circumstances = Circumstances { open: self.open, ending: &self.ending, now_ns };
        decide(self.wallet.as_deref(), part, &circumstances)
    }

    /// While it is being imported, it takes part only in orders of its import. What takes part once always does.
    fn takes_part_in(&self, in_flight: &InFlight, core: &Core) -> bool {
        let Some(wallet) = self.wallet.as_deref().filter(|wallet| wallet.terms.import != ImportId::NONE)
        else {
            return true;
        };
        let group_id = in_flight.order().map_or(0, |order| order.notes().0);
        matches!(in_flight.part().effect, Effect::Resolve { .. })
            || wallet.takes_part_in(group_id, |import| core.imports.is_closed(import))
    }

    fn refuse_while_importing(&self, in_flight: InFlight, turn: &mut Turn<'_>) {
        // It says that there is the wallet, so it waits until that is durable.
        in_flight.request().saw(self.wallet.as_deref().map_or(0, |wallet| wallet.created_seq));
        in_flight.refuse_for_now(Status::WalletImporting, turn.post);
    }

    /// The end of a hold may come before the message that says that the hold is made.
    fn look_for_hold(&mut self, part: &Part, turn: &mut Turn<'_>) {
        if matches!(part.effect, Effect::Resolve { .. }) {
            let head = turn.core.sequencer.appended_seq();
            self.settle_up_to(head);
        }
    }

    fn reserve(&mut self, mut in_flight: InFlight, effect: Effect, turn: &mut Turn<'_>) {
        let slot = self.reservations.insert(Reservation { attempt: in_flight.attempt(), effect });
        self.open.add(&effect);
        if let Effect::Resolve { id, .. } = effect {
            self.ending.insert(id);
        }
        let slot = u32::try_from(slot).expect("permits bound the reservations far below 2^32");
        in_flight.set_reserved(Reserved { wallet: self.id, slot });
        turn.core.inject_fault("reserved", self.id);
        let next = in_flight.part().wallet;
        turn.post.post(turn.core.shard_of(next), ShardMessage::Continue(in_flight));
    }

    /// Decides on an order that the wallets before have accepted: the last one commits; the others reserve as well. It
    /// holds reservations, so it does not wait.
    fn conclude(&mut self, in_flight: InFlight, turn: &mut Turn<'_>) {
        turn.core.inject_fault("continue", self.id);
        if !self.takes_part_in(&in_flight, turn.core) {
            return self.refuse_while_importing(in_flight, turn);
        }
        let (part, is_last) = (in_flight.part(), in_flight.is_at_last());
        if !is_last && self.waiting.front().is_some_and(|first| first.change().is_some()) {
            // A change waits until nothing is reserved here, and nothing may be reserved before it.
            return in_flight.attempt_again(turn.now_ns, turn.post);
        }
        self.look_for_hold(&part, turn);
        match self.decide(&part, turn.now_ns) {
            Decision::Accept if !is_last => self.reserve(in_flight, part.effect, turn),
            Decision::Accept => match in_flight.commit_order(turn.now_ns) {
                Ok(committed) => {
                    turn.core.inject_fault("committed", self.id);
                    let Committed { seq, timestamp_ns } = committed.committed;
                    self.existing().apply(&part.effect, seq, timestamp_ns);
                    turn.core.inject_fault("credited", self.id);
                    committed.announce(turn.post);
                    turn.core.inject_fault("announced", self.id);
                    self.decide_waiting(turn);
                }
                Err(cancelled) => cancelled.attempt_again(turn.now_ns, turn.post),
            },
            Decision::Refuse { refusal, valid_until_ns } => {
                turn.core.inject_fault("refuse_credit", self.id);
                in_flight.refuse_for_good(refusal, valid_until_ns, turn.now_ns, turn.post);
                turn.core.inject_fault("refused_credit", self.id);
            }
            Decision::Wait => in_flight.attempt_again(turn.now_ns, turn.post),
        }
    }

    fn settle(&mut self, slot: u32, attempt: &Attempt, committed: Committed, turn: &mut Turn<'_>) {
        turn.core.inject_fault("settled", self.id);
        let Committed { seq, timestamp_ns } = committed;
        let Some(reservation) = self.take_reservation(slot, attempt) else {
            let settled = self.settled_seq;
            assert!(
                seq <= settled,
                "entry {seq} settles what wallet {} never reserved (settled {settled})",
                self.id
            );
            // It was settled ahead of this message, perhaps by one that came to nothing: somebody may still wait for it.
            return self.decide_waiting(turn);
        };
        self.existing().apply(&reservation.effect, seq, timestamp_ns);
        turn.core.inject_fault("debited", self.id);
        self.decide_waiting(turn);
    }

    fn take_reservation(&mut self, slot: u32, attempt: &Attempt) -> Option<Reservation> {
        let slot = slot as usize;
        self.reservations.get(slot).filter(|reservation| reservation.attempt == *attempt)?;
        let reservation = self.reservations.remove(slot);
        self.forget_open(&reservation);
        Some(reservation)
    }

    fn forget_open(&mut self, reservation: &Reservation) {
        self.open.remove(&reservation.effect);
        if let Effect::Resolve { id, .. } = reservation.effect {
            self.ending.remove(&id);
        }
        if self.reservations.is_empty() && self.reservations.capacity() > 64 {
            // A burst is over; a million wallets that each kept their burst would not fit in memory.
            self.reservations = Slab::new();
        }
    }

    /// Something has been resolved: those who waited for that are decided, in the order in which they came.
    fn decide_waiting(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..self.waiting.len() {
            let Some(first) = self.waiting.front() else { return };
            let is_late = first.is_past_deadline(turn.now_ns);
            let is_decided = if first.change().is_some() {
                // What is committed and not applied here yet is no reason to wait.
                self.settle_before_change(turn);
                self.reservations.is_empty()
            } else {
                let part = first.part();
                self.decide(&part, turn.now_ns) != Decision::Wait
            };
            if !is_decided && !is_late {
                return;
            }
            let Some(first) = self.waiting.pop_front() else { return };
            turn.core.inject_fault("waited", self.id);
            if first.change().is_some() {
                self.change(first, turn);
            } else {
                self.begin(first, turn);
            }
        }
    }

    fn settle_before_change(&mut self, turn: &mut Turn<'_>) {
        if !self.reservations.is_empty() {
            let head = turn.core.sequencer.appended_seq();
            self.settle_up_to(head);
        }
    }

    /// Decides on a change of the wallet, in which nothing is reserved.
    fn change(&mut self, in_flight: InFlight, turn: &mut Turn<'_>) {
        if in_flight.is_past_deadline(turn.now_ns) {
            return in_flight.refuse_for_now(Status::DeadlineExceeded, turn.post);
        }
        let change = in_flight.change().expect("it is a change").clone();
        match change.decide(self.wallet.as_deref(), turn.now_ns) {
            Err(refusal) => {
                // It says something of the wallet, so it waits until that is durable.
                if let Some(wallet) = &self.wallet {
                    in_flight.request().saw(wallet.last_seq);
                }
                in_flight.refuse_for_now(refusal, turn.post);
            }
            Ok(Status::Exists) => {
                let wallet = self.existing();
                let outcome = Outcome {
                    status: Status::Exists,
                    replayed: false,
                    seq: wallet.last_seq,
                    timestamp_ns: 0,
                    detail: RefusalDetail::None,
                };
                in_flight.finish_unclaimed(&outcome);
            }
            // Nobody else resolves the ticket of a change, so it can only be committed.
            Ok(_) => {
                if let Some(committed) = in_flight.commit_change(turn.now_ns) {
                    turn.core.inject_fault("changed", self.id);
                    self.existing().change(&change, committed.seq);
                }
            }
        }
    }

    fn create(&mut self, in_flight: InFlight, turn: &mut Turn<'_>) {
        turn.core.inject_fault("create", self.id);
        let terms = in_flight.request().new_wallet(in_flight.index()).clone();
        if let Some(wallet) = &self.wallet {
            let status = wallet.created_terms().compare(&terms);
            let created = Committed { seq: wallet.created_seq, timestamp_ns: wallet.created_at_ns };
            return in_flight.finish_unclaimed(&outcome(status, created, RefusalDetail::None));
        }
        if in_flight.is_past_deadline(turn.now_ns) {
            return in_flight.refuse_for_now(Status::DeadlineExceeded, turn.post);
        }
        // It is not closed between this look and the entry.
        let kept_open = match turn.core.imports.keep_open(terms.import) {
            Ok(kept_open) => kept_open,
            Err(closing_seq) => {
                in_flight.request().saw(closing_seq);
                return in_flight.refuse_for_now(Status::ImportIsClosed, turn.post);
            }
        };
        // Nobody else resolves the ticket of a creation, so it can only be committed.
        let committed = in_flight.commit_wallet(turn.now_ns);
        drop(kept_open);
        if let Some(committed) = committed {
            turn.core.known_wallets.fetch_add(1, Ordering::Relaxed);
            turn.core.inject_fault("created", self.id);
            self.wallet = Some(Box::new(Wallet::create(terms, committed.seq, committed.timestamp_ns)));
            self.decide_waiting(turn);
        }
    }

    /// Answers with the committed position as of the newest entry there is.
    fn read(&mut self, read: PendingRead, turn: &mut Turn<'_>) {
        turn.core.inject_fault("read", self.id);
        let head = turn.core.sequencer.appended_seq();
        self.settle_up_to(head);
        turn.core.inject_fault("read_settled", self.id);
        read.finish(self.wallet.as_deref(), head, turn.now_ns);
        self.decide_waiting(turn);
    }

    /// Leaves memory if nothing is open here and nobody waits.
    fn leave(&mut self, leave: PendingLeave, turn: &mut Turn<'_>) {
        turn.core.inject_fault("leave", self.id);
        self.forget_old_restarts(turn.now_ns);
        let can_leave = (self.reservations.is_empty() || cfg!(bursar_broken = "hasty_leaving"))
            && self.waiting.is_empty()
            && self.parked.is_empty()
            // What counts its restarts is not forgotten.
            && self.recent_restarts_ns.is_empty();
        if can_leave {
            self.mode = Mode::Gone;
            leave.leave(self.wallet.take(), turn.post);
        }
    }

    fn handle_loading(&mut self, message: WalletMessage, turn: &mut Turn<'_>) {
        match message {
            WalletMessage::Load => {
                // A wallet that is not in memory has nothing that is not durable.
                let head = turn.core.sequencer.durable_seq();
                self.asked_seq = head;
                self.restart = turn.core.next_restart_number();
                self.ask_journal(head, turn.core);
            }
            WalletMessage::Rebuilt { restart, wallet, as_of_seq } if restart == self.restart => {
                turn.core.inject_fault("loaded", self.id);
                self.become_known(wallet, as_of_seq, turn);
            }
            WalletMessage::LosePatience { restart } if restart == self.restart => {
                self.mode = Mode::RebuildingTooLong;
                self.turn_parked_away(Status::Unavailable, turn);
            }
            // Of reservations from before it left, which it has settled; of a restart from then; or dropped, so that it is told
            // that the wallet stays.
            WalletMessage::Settled { .. }
            | WalletMessage::Released { .. }
            | WalletMessage::Rebuilt { .. }
            | WalletMessage::LosePatience { .. }
            | WalletMessage::Leave(_) => {}
            message => self.parked.push_back(message),
        }
    }

    /// The journal has said what it is.
    fn become_known(&mut self, wallet: Option<Box<Wallet>>, as_of_seq: u64, turn: &mut Turn<'_>) {
        assert_eq!(as_of_seq, self.asked_seq, "the journal was asked for the state as of one entry");
        self.wallet = wallet;
        self.mode = Mode::Ready;
        // Before what is still in the mailbox, and in the order in which it came. What a panic interrupts here stays
        // parked for the next restart.
        while let Some(message) = self.parked.pop_front() {
            self.handle_ready(message, turn);
        }
    }

    /// Applies what was reserved here and is committed up to `head`, though the message that says so is still under
    /// way.
    fn settle_up_to(&mut self, head: u64) {
        if head <= self.settled_seq {
            return;
        }
        self.settled_seq = head;
        let committed = |(slot, reservation): (usize, &Reservation)| match reservation
            .attempt
            .item
            .fate(reservation.attempt.number)
        {
            Fate::Committed { seq, timestamp_ns } if seq <= head => Some((seq, timestamp_ns, slot)),
            _ => None,
        };
        let mut due: Vec<(u64, u64, usize)> = self.reservations.iter().filter_map(committed).collect();
        // The end of a hold comes after the hold.
        due.sort_unstable();
        for (seq, timestamp_ns, slot) in due {
            let reservation = self.reservations.remove(slot);
            self.forget_open(&reservation);
            self.existing().apply(&reservation.effect, seq, timestamp_ns);
        }
    }

    fn existing(&mut self) -> &mut Wallet {
        self.wallet.as_deref_mut().expect("what was decided on exists")
    }

    /// The wallet has failed: cancels what is open, and asks the journal for the state up to here. Returns the number
    /// of the restart, for [`WalletMessage::LosePatience`]; `None` if the wallet is quarantined now.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>) -> Option<u64> {
        self.restart = turn.core.next_restart_number();
        turn.core.metrics.restarts.increment(1);
        self.recent_restarts_ns.push_back(turn.now_ns);
        self.forget_old_restarts(turn.now_ns);

        // What other wallets decide on the strength of a reservation here is cancelled, unless they have committed:
        // then it is in the journal up to the head. The reservations themselves are forgotten.
        turn.core.inject_fault("restart", self.id);
        let head = {
            let mut section = turn.core.sequencer.enter();
            for (_, reservation) in &self.reservations {
                let attempt = &reservation.attempt;
                // Not open: committed, or cancelled by somebody else.
                let _not_open = attempt.item.ticket().cancel_to_retry(attempt.number, &mut section);
            }
            section.head_seq()
        };
        self.reservations = Slab::new();
        self.open = OpenReservations::default();
        self.ending.clear();
        self.wallet = None;
        self.settled_seq = head;
        self.asked_seq = head;

        for in_flight in std::mem::take(&mut self.waiting).into_iter().rev() {
            let message = if in_flight.change().is_some() {
                WalletMessage::Change(in_flight)
            } else {
                WalletMessage::Begin(in_flight)
            };
            self.parked.push_front(message);
        }
        if self.recent_restarts_ns.len() > RESTARTS_MAX {
            tracing::error!(wallet = %self.id, "quarantined after {RESTARTS_MAX} restarts within a minute");
            turn.core.metrics.quarantines.increment(1);
            self.mode = Mode::Quarantined;
            self.turn_parked_away(Status::WalletQuarantined, turn);
            return None;
        }
        tracing::warn!(wallet = %self.id, head, "restarted: to be rebuilt from the journal");
        self.mode = Mode::Rebuilding;
        self.ask_journal(head, turn.core);
        Some(self.restart)
    }

    fn forget_old_restarts(&mut self, now_ns: u64) {
        while self.recent_restarts_ns.front().is_some_and(|&at| at + RESTART_WINDOW_NS < now_ns) {
            self.recent_restarts_ns.pop_front();
        }
    }

    fn ask_journal(&self, head: u64, core: &Arc<Core>) {
        let (id, restart) = (self.id, self.restart);
        let place = if matches!(self.mode, Mode::Loading) { "load" } else { "rebuild" };
        let core = Arc::clone(core);
        let sequencer = Arc::clone(&core.sequencer);
        let read = move |durable: Result<(), _>| {
            // A journal that has failed ends the process, but not before everybody who waits here is told.
            let not_read = ShardMessage::NotRebuilt { id, restart };
            if durable.is_err() {
                return core.post(core.shard_of(id), not_read);
            }
            let reading = Arc::clone(&core);
            core.read_soon(move || {
                reading.inject_fault(place, id);
                match reading.reader.wallet_as_of(id, head) {
                    Ok(wallet) => {
                        let wallet = wallet.map(Box::new);
                        let message = ShardMessage::Rebuilt { id, restart, wallet, as_of_seq: head };
                        reading.post(reading.shard_of(id), message);
                    }
                    Err(error) => {
                        reading.cannot_read(&error);
                        reading.post(reading.shard_of(id), not_read);
                    }
                }
            });
        };
        sequencer.when_durable(head, Box::new(read));
    }

    fn handle_rebuilding(&mut self, message: WalletMessage, turn: &mut Turn<'_>) {
        match message {
            WalletMessage::Rebuilt { restart, wallet, as_of_seq } if restart == self.restart => {
                turn.core.inject_fault("rebuilt", self.id);
                self.become_known(wallet, as_of_seq, turn);
            }
            WalletMessage::LosePatience { restart } if restart == self.restart => {
                turn.core.inject_fault("lose_patience", self.id);
                self.mode = Mode::RebuildingTooLong;
                self.turn_parked_away(Status::Unavailable, turn);
            }
            // It holds a reservation, so it does not wait.
            WalletMessage::Continue(in_flight) => {
                turn.core.inject_fault("continue_rebuilding", self.id);
                in_flight.attempt_again(turn.now_ns, turn.post);
            }
            // Every reservation was forgotten, and what was committed of them is in the journal up to the head.
            WalletMessage::Settled { committed: Committed { seq, .. }, .. } => {
                assert!(seq <= self.settled_seq, "entry {seq} was committed on a cancelled ticket");
            }
            // Of an earlier restart; or about a reservation that is forgotten; or to leave, which tells that it stays when it
            // is dropped. That it was to be loaded is the same as to be rebuilt.
            WalletMessage::Rebuilt { .. }
            | WalletMessage::LosePatience { .. }
            | WalletMessage::Released { .. }
            | WalletMessage::Load
            | WalletMessage::Leave(_) => {}
            message @ (WalletMessage::Begin(_)
            | WalletMessage::Create(_)
            | WalletMessage::Change(_)
            | WalletMessage::Read(_)) => {
                if matches!(self.mode, Mode::RebuildingTooLong) {
                    Self::turn_away(message, Status::Unavailable, turn);
                } else {
                    self.parked.push_back(message);
                }
            }
        }
    }

    fn turn_parked_away(&mut self, status: Status, turn: &mut Turn<'_>) {
        for message in std::mem::take(&mut self.parked) {
            Self::turn_away(message, status, turn);
        }
    }

    fn turn_away(message: WalletMessage, status: Status, turn: &mut Turn<'_>) {
        match message {
            WalletMessage::Begin(in_flight)
            | WalletMessage::Continue(in_flight)
            | WalletMessage::Create(in_flight)
            | WalletMessage::Change(in_flight) => {
                in_flight.refuse_for_now(status, turn.post);
            }
            // Dropped, these answer for themselves.
            WalletMessage::Read(_)
            | WalletMessage::Load
            | WalletMessage::Leave(_)
            | WalletMessage::Settled { .. }
            | WalletMessage::Released { .. }
            | WalletMessage::Rebuilt { .. }
            | WalletMessage::LosePatience { .. } => {}
        }
    }
}

/// The question whether a wallet can leave memory, on its way to it: dropped without an answer, the shard is told that it
/// stays, so that nobody waits there for ever.
#[derive(Debug)]
pub(crate) struct PendingLeave {
    core: Arc<Core>,
    id: WalletId,
    answered: bool,
}

impl PendingLeave {
    pub(crate) fn new(core: Arc<Core>, id: WalletId) -> Self {
        Self { core, id, answered: false }
    }

    /// It leaves.
    fn leave(mut self, wallet: Option<Box<Wallet>>, post: &mut dyn Post) {
        self.answered = true;
        let departure = wallet.map_or(Departure::DoesNotExist, Departure::Leaves);
        post.post(self.core.shard_of(self.id), ShardMessage::Left { id: self.id, departure });
    }
}

impl Drop for PendingLeave {
    fn drop(&mut self) {
        if !self.answered {
            self.core.post(
                self.core.shard_of(self.id),
                ShardMessage::Left { id: self.id, departure: Departure::Stays },
            );
        }
    }
}
