//! What a shard decides: which of its wallets a message is for, and whether that wallet has to be activated.
//!
//! A wallet is *live* (it has an actor and a mailbox) or *dormant* (a record in the shard's memory). The shard is the
//! only one that addresses its wallets. It decides nothing about money, except that a wallet which it does not keep
//! does not exist.

use crate::core::Core;
use crate::in_flight::{Attempt, InFlight, Reserved};
use crate::outbox::{Outbox, Post};
use crate::references;
use crate::request::{Operations, PendingRead, RequestItem, WalletView};
use crate::request_part::RequestPart;
use crate::trial_balance::{PendingShardSum, PendingSum};
use crate::wallet_machine::WalletMessage;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ledger::decide::decide;
use ledger::{Circumstances, Decision, Status, Wallet, WalletId};
use persistence::Committed;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many wallets are summed up before other messages have their turn.
const SUM_UP_STEP: usize = 4096;

/// A message to a shard.
#[derive(Debug)]
pub(crate) enum ShardMessage {
    /// The orders of a request that begin at this shard's wallets.
    Begin(RequestPart),
    /// One order, to begin (again).
    BeginOne(InFlight),
    /// An order that the wallets before have accepted, for the next one.
    Continue(InFlight),
    /// An order about another one that it waited for, to be looked at again.
    Resume(InFlight),
    /// What a wallet has reserved is in the journal.
    Settled {
        /// The wallet and its reservation.
        reserved: Reserved,
        /// What it was reserved for.
        attempt: Attempt,
        /// The entry.
        committed: Committed,
    },
    /// What a wallet has reserved is not needed any more.
    Released {
        /// The wallet and its reservation.
        reserved: Reserved,
        /// What it was reserved for.
        attempt: Attempt,
    },
    /// Wallets to create.
    CreateWallets(RequestPart),
    /// Wallets to change.
    ChangeWallets(RequestPart),
    /// Wallets to read.
    Read(RequestPart),
    /// Wallets to sum up.
    SumUp(PendingShardSum),
    /// A wallet that had failed, as the journal has it.
    Rebuilt {
        /// Which wallet.
        id: WalletId,
        /// The restart that asked for it.
        restart: u64,
        /// What it is; `None` if it does not exist.
        wallet: Option<Box<Wallet>>,
        /// Up to which entry.
        as_of_seq: u64,
    },
}

/// Gives wallets an actor, and delivers to it.
pub(crate) trait WalletHost {
    /// Where a live wallet is reached.
    type Address;

    /// Starts the wallet's actor; `None` for a wallet that does not exist yet.
    fn activate(&mut self, id: WalletId, wallet: Option<Box<Wallet>>) -> Self::Address;

    /// Puts the message into the wallet's mailbox. Never waits.
    fn deliver(&mut self, address: &Self::Address, message: WalletMessage);
}

#[derive(Debug)]
enum Slot<A> {
    Live(WalletId, A),
    Dormant(Box<Wallet>),
    /// Only while a wallet is being activated.
    Activating,
}

/// The wallets of a shard.
#[derive(Debug)]
pub(crate) struct ShardMachine<A> {
    number: usize,
    core: Arc<Core>,
    slots: Vec<Slot<A>>,
    by_id: HashMap<WalletId, u32, RandomState>,
    /// For what the shard itself has to say while it handles messages; the wallets' outbox is theirs.
    own: Outbox,
}

impl<A> ShardMachine<A> {
    /// The shard of this number, which keeps these wallets, all dormant.
    pub(crate) fn new(
        number: usize,
        core: Arc<Core>,
        wallets: impl ExactSizeIterator<Item = Wallet>,
    ) -> Self {
        let mut by_id = HashMap::with_capacity_and_hasher(wallets.len(), RandomState::default());
        let mut slots = Vec::with_capacity(wallets.len());
        for wallet in wallets {
            by_id.insert(wallet.terms.id, slots.len() as u32);
            slots.push(Slot::Dormant(Box::new(wallet)));
        }
        let own = Outbox::new(core.shards());
        Self { number, core, slots, by_id, own }
    }

    /// Handles messages, and what follows from them for this shard. What is for the shard's wallets goes to their
    /// mailboxes, what is for other shards to `send`.
    pub(crate) fn handle_all<H: WalletHost<Address = A>>(
        &mut self,
        messages: impl Iterator<Item = ShardMessage>,
        host: &mut H,
        send: &mut dyn FnMut(usize, Vec<ShardMessage>),
    ) {
        let mut own = std::mem::replace(&mut self.own, Outbox::new(0));
        for message in messages {
            self.handle(message, host, &mut own);
        }
        while !own.is_empty() {
            for message in self.send_others(&mut own, send) {
                self.handle(message, host, &mut own);
            }
        }
        self.own = own;
    }

    /// Sends what has gathered in an outbox, but for what this shard handles itself.
    pub(crate) fn send_others(
        &self,
        outbox: &mut Outbox,
        send: &mut dyn FnMut(usize, Vec<ShardMessage>),
    ) -> Vec<ShardMessage> {
        let mut for_self = Vec::new();
        outbox.drain_into(|shard, messages| {
            if shard == self.number {
                for_self = messages;
            } else {
                send(shard, messages);
            }
        });
        for_self
    }

    fn handle<H: WalletHost<Address = A>>(
        &mut self,
        message: ShardMessage,
        host: &mut H,
        post: &mut dyn Post,
    ) {
        match message {
            ShardMessage::Begin(mut part) => {
                while let Some(item) = part.next() {
                    self.begin(InFlight::new(item, 0), host, post);
                }
            }
            ShardMessage::BeginOne(in_flight) => self.begin(in_flight, host, post),
            ShardMessage::Continue(in_flight) => match self.live(in_flight.part().wallet, host) {
                Some(address) => host.deliver(address, WalletMessage::Continue(in_flight)),
                None => self.refuse_unknown(in_flight, post),
            },
            ShardMessage::Resume(in_flight) => {
                let core = Arc::clone(&self.core);
                references::resume(&core, in_flight, post);
            }
            ShardMessage::Settled { reserved, attempt, committed } => {
                let message = WalletMessage::Settled { slot: reserved.slot, attempt, committed };
                self.deliver_to_live(reserved.wallet, message, host);
            }
            ShardMessage::Released { reserved, attempt } => {
                let message = WalletMessage::Released { slot: reserved.slot, attempt };
                self.deliver_to_live(reserved.wallet, message, host);
            }
            ShardMessage::CreateWallets(mut part) => {
                while let Some(item) = part.next() {
                    self.create(InFlight::new(item, 0), host);
                }
            }
            ShardMessage::ChangeWallets(mut part) => {
                while let Some(item) = part.next() {
                    self.change(InFlight::new(item, 0), host, post);
                }
            }
            ShardMessage::Read(mut part) => {
                while let Some(item) = part.next() {
                    self.read(item, host);
                }
            }
            ShardMessage::SumUp(sum) => self.sum_up(sum, host),
            ShardMessage::Rebuilt { id, restart, wallet, as_of_seq } => {
                self.deliver_to_live(id, WalletMessage::Rebuilt { restart, wallet, as_of_seq }, host);
            }
        }
    }

    fn begin<H: WalletHost<Address = A>>(&mut self, in_flight: InFlight, host: &mut H, post: &mut dyn Post) {
        let wallet = in_flight.part().wallet;
        if let Some(address) = self.live(wallet, host) {
            host.deliver(address, WalletMessage::Begin(in_flight));
        } else if in_flight.is_past_deadline(self.core.sequencer.now_ns()) {
            in_flight.refuse_for_now(Status::DeadlineExceeded, post);
        } else {
            self.refuse_unknown(in_flight, post);
        }
    }

    fn refuse_unknown(&self, in_flight: InFlight, post: &mut dyn Post) {
        let now_ns = self.core.sequencer.now_ns();
        match decide(None, &in_flight.part(), &Circumstances::settled(now_ns)) {
            Decision::Refuse { refusal, valid_until_ns } => {
                in_flight.refuse_for_good(refusal, valid_until_ns, now_ns, post);
            }
            other => panic!("{other:?} is no answer of a wallet that does not exist: {in_flight:?}"),
        }
    }

    fn change<H: WalletHost<Address = A>>(&mut self, in_flight: InFlight, host: &mut H, post: &mut dyn Post) {
        let change = in_flight.change().expect("only changes are sent so");
        match self.live(change.wallet, host) {
            Some(address) => host.deliver(address, WalletMessage::Change(in_flight)),
            None => in_flight.refuse_for_now(Status::WalletNotFound, post),
        }
    }

    fn create<H: WalletHost<Address = A>>(&mut self, in_flight: InFlight, host: &mut H) {
        let id = in_flight.request().new_wallet(in_flight.index()).id;
        self.core.inject_fault("shard_create", id);
        if !self.by_id.contains_key(&id) {
            let slot = u32::try_from(self.slots.len()).expect("a shard has fewer than 2^32 wallets");
            self.slots.push(Slot::Live(id, host.activate(id, None)));
            self.by_id.insert(id, slot);
            self.core.live_wallets.fetch_add(1, Ordering::Relaxed);
            self.core.known_wallets.fetch_add(1, Ordering::Relaxed);
        }
        let address = self.live(id, host).expect("it has just been made sure of");
        host.deliver(address, WalletMessage::Create(in_flight));
    }

    fn read<H: WalletHost<Address = A>>(&mut self, item: RequestItem, host: &mut H) {
        let Operations::LookupWallets(ids) = item.request.operations() else {
            panic!("only wallets are read");
        };
        let id = ids[item.index as usize];
        self.core.inject_fault("shard_read", id);
        let Some(&slot) = self.by_id.get(&id) else { return item.request.finish_wallet(item.index, None) };
        match &self.slots[slot as usize] {
            Slot::Live(_, address) => host.deliver(address, WalletMessage::Read(PendingRead::new(item))),
            Slot::Dormant(wallet) => {
                // Nothing is open in a dormant wallet, so it stands as of whatever is the newest entry.
                let as_of_seq = self.core.sequencer.appended_seq();
                let as_of_ns = self.core.sequencer.now_ns();
                let view = WalletView::of(wallet, as_of_seq, as_of_ns);
                item.request.finish_wallet(item.index, Some(view));
            }
            Slot::Activating => panic!("activation is over before the next message"),
        }
    }

    /// Sums up some wallets, and leaves the rest for a message to itself, so that others have their turn.
    fn sum_up<H: WalletHost<Address = A>>(&mut self, mut sum: PendingShardSum, host: &mut H) {
        let (trial, from_slot) = (sum.trial(), sum.next_slot);
        let end = self.slots.len().min(from_slot + SUM_UP_STEP);
        let slots = &self.slots[from_slot.min(end)..end];
        // A dormant wallet has no entry above the moment: entries come to live ones only.
        trial.add(
            slots
                .iter()
                .filter_map(|slot| if let Slot::Dormant(wallet) = slot { Some(&**wallet) } else { None }),
        );
        for slot in slots {
            if let Slot::Live(id, address) = slot {
                trial.asked();
                host.deliver(address, WalletMessage::SumUp(PendingSum::new(Arc::clone(&trial), *id)));
            }
        }
        if end == self.slots.len() {
            return sum.finish();
        }
        sum.next_slot = end;
        // By way of the mailbox and not of the outbox: whoever is in the mailbox already goes first.
        self.core.post(self.number, ShardMessage::SumUp(sum));
    }

    fn deliver_to_live<H: WalletHost<Address = A>>(
        &self,
        id: WalletId,
        message: WalletMessage,
        host: &mut H,
    ) {
        self.core.inject_fault("shard_deliver", id);
        let slot = self.by_id.get(&id).map(|&slot| &self.slots[slot as usize]);
        let Some(Slot::Live(_, address)) = slot else {
            panic!("{message:?} is for wallet {id}, which is live as long as somebody owes it an answer");
        };
        host.deliver(address, message);
    }

    /// The address of the wallet, activated if it is dormant; `None` if there is no such wallet.
    fn live<H: WalletHost<Address = A>>(&mut self, id: WalletId, host: &mut H) -> Option<&A> {
        self.core.inject_fault("shard_live", id);
        let slot = &mut self.slots[*self.by_id.get(&id)? as usize];
        if matches!(slot, Slot::Dormant(_)) {
            let Slot::Dormant(wallet) = std::mem::replace(slot, Slot::Activating) else {
                unreachable!("it has just been looked at");
            };
            *slot = Slot::Live(id, host.activate(id, Some(wallet)));
            self.core.live_wallets.fetch_add(1, Ordering::Relaxed);
        }
        match slot {
            Slot::Live(_, address) => Some(address),
            Slot::Dormant(_) | Slot::Activating => panic!("activation is over before the next message"),
        }
    }
}
