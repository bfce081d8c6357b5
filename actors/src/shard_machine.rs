//! What a shard decides: which of its wallets a message is for, and whether that wallet has to be activated.
//!
//! A wallet is *live* (it has an actor and a mailbox), *dormant* (a record in the shard's memory) or *cold* (not in memory: only
//! the books and the journal know whether it exists). The shard is the only one that addresses its wallets, and lets those go
//! that nobody has wanted for a while. It decides nothing about money.

use crate::core::{Core, WalletsInMemory};
use crate::in_flight::{Attempt, InFlight, Reserved};
use crate::outbox::{Outbox, Post};
use crate::references;
use crate::request::{Operations, PendingRead, RequestItem, WalletView};
use crate::request_part::RequestPart;
use crate::wallet_machine::{PendingLeave, WalletMessage};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ledger::{Wallet, WalletId};
use persistence::Committed;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many slots are looked at for a wallet that can go, each time that messages were handled.
const LOOKED_AT_MAX: usize = 64;

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
    /// A wallet has nothing open and leaves memory, or stays.
    Left {
        /// Which wallet.
        id: WalletId,
        /// Whether it leaves.
        departure: Departure,
    },
    /// The journal does not say what a wallet is: it has failed.
    NotRebuilt {
        /// Which wallet.
        id: WalletId,
        /// The restart that asked for it.
        restart: u64,
    },
    /// A wallet as the journal has it.
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

/// What a wallet says that was asked to leave memory.
#[derive(Debug)]
pub(crate) enum Departure {
    /// It cannot: something is open there, or somebody waits.
    Stays,
    /// It leaves this record.
    Leaves(Box<Wallet>),
    /// There is no such wallet, and so nothing to keep.
    DoesNotExist,
}

/// Gives wallets an actor, and delivers to it.
pub(crate) trait WalletHost {
    /// Where a live wallet is reached.
    type Address;

    /// Starts the wallet's actor; `None` for a wallet that has to be read first, which [`WalletMessage::Load`] will tell it.
    fn activate(&mut self, id: WalletId, wallet: Option<Box<Wallet>>) -> Self::Address;

    /// Puts the message into the wallet's mailbox. Never waits.
    fn deliver(&mut self, address: &Self::Address, message: WalletMessage);
}

#[derive(Debug)]
enum Slot<A> {
    /// It has an actor.
    Live { id: WalletId, address: A, is_touched: bool },
    /// It was asked to leave; what comes meanwhile waits here.
    Leaving { address: A, parked: Vec<WalletMessage> },
    /// A record only.
    Dormant { wallet: Box<Wallet>, is_touched: bool },
    /// Of no wallet.
    Free,
}

/// The wallets of a shard that are in memory. All others are in the books and the journal, or do not exist: which, their
/// actor finds out.
#[derive(Debug)]
pub(crate) struct ShardMachine<A> {
    number: usize,
    core: Arc<Core>,
    slots: Vec<Slot<A>>,
    free: Vec<u32>,
    by_id: HashMap<WalletId, u32, RandomState>,
    live: usize,
    dormant: usize,
    live_max: usize,
    dormant_max: usize,
    /// Where the next wallet that can go is looked for.
    hand: usize,
    /// For what the shard itself has to say while it handles messages; the wallets' outbox is theirs.
    own: Outbox,
}

impl<A> ShardMachine<A> {
    /// The shard of this number, with no wallet in memory.
    pub(crate) fn new(number: usize, core: Arc<Core>) -> Self {
        let own = Outbox::new(core.shards());
        let WalletsInMemory { live_max, dormant_max } = core.wallets_in_memory;
        Self {
            number,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::default(),
            live: 0,
            dormant: 0,
            live_max: live_max.div_ceil(core.shards()),
            dormant_max: dormant_max.div_ceil(core.shards()),
            hand: 0,
            own,
            core,
        }
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
        // That wallets stay is no reason to ask the next ones: when all of them have to, that would go on for ever.
        let mut makes_room = false;
        for message in messages {
            makes_room |= !matches!(message, ShardMessage::Left { departure: Departure::Stays, .. });
            self.handle(message, host, &mut own);
        }
        while !own.is_empty() {
            for message in self.send_others(&mut own, send) {
                self.handle(message, host, &mut own);
            }
        }
        if makes_room {
            self.make_room(host);
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
                    self.begin(InFlight::new(item, 0), host);
                }
            }
            ShardMessage::BeginOne(in_flight) => self.begin(in_flight, host),
            ShardMessage::Continue(in_flight) => {
                self.deliver(in_flight.part().wallet, WalletMessage::Continue(in_flight), host);
            }
            ShardMessage::Resume(in_flight) => {
                let core = Arc::clone(&self.core);
                references::resume(&core, in_flight, post);
            }
            ShardMessage::Settled { reserved, attempt, committed } => {
                let message = WalletMessage::Settled { slot: reserved.slot, attempt, committed };
                self.deliver_if_live(reserved.wallet, message, host);
            }
            ShardMessage::Released { reserved, attempt } => {
                let message = WalletMessage::Released { slot: reserved.slot, attempt };
                self.deliver_if_live(reserved.wallet, message, host);
            }
            ShardMessage::CreateWallets(mut part) => {
                while let Some(item) = part.next() {
                    let in_flight = InFlight::new(item, 0);
                    let id = in_flight.request().new_wallet(in_flight.index()).id;
                    self.core.inject_fault("shard_create", id);
                    self.deliver(id, WalletMessage::Create(in_flight), host);
                }
            }
            ShardMessage::ChangeWallets(mut part) => {
                while let Some(item) = part.next() {
                    let in_flight = InFlight::new(item, 0);
                    let id = in_flight.change().expect("only changes are sent so").wallet;
                    self.deliver(id, WalletMessage::Change(in_flight), host);
                }
            }
            ShardMessage::Read(mut part) => {
                while let Some(item) = part.next() {
                    self.read(item, host);
                }
            }
            ShardMessage::NotRebuilt { id, restart } => {
                self.deliver_if_live(id, WalletMessage::LosePatience { restart }, host);
            }
            ShardMessage::Rebuilt { id, restart, wallet, as_of_seq } => {
                self.deliver_if_live(id, WalletMessage::Rebuilt { restart, wallet, as_of_seq }, host);
            }
            ShardMessage::Left { id, departure } => self.left(id, departure, host),
        }
    }

    fn begin<H: WalletHost<Address = A>>(&mut self, in_flight: InFlight, host: &mut H) {
        self.deliver(in_flight.part().wallet, WalletMessage::Begin(in_flight), host);
    }

    fn read<H: WalletHost<Address = A>>(&mut self, item: RequestItem, host: &mut H) {
        let Operations::LookupWallets(ids) = item.request.operations() else {
            panic!("only wallets are read");
        };
        let id = ids[item.index as usize];
        self.core.inject_fault("shard_read", id);
        if let Some(&slot) = self.by_id.get(&id)
            && let Slot::Dormant { wallet, is_touched } = &mut self.slots[slot as usize]
        {
            // Nothing is open in a dormant wallet, so it stands as of whatever is the newest entry.
            *is_touched = true;
            let sequencer = &self.core.sequencer;
            let (as_of_seq, as_of_ns) = (sequencer.appended_seq(), sequencer.now_ns());
            let view = WalletView::shown(&item.request, wallet, as_of_seq, as_of_ns);
            return item.request.finish_wallet(item.index, view);
        }
        self.deliver(id, WalletMessage::Read(PendingRead::new(item)), host);
    }

    /// Brings a message to a wallet, whose actor is started if it has none.
    fn deliver<H: WalletHost<Address = A>>(&mut self, id: WalletId, message: WalletMessage, host: &mut H) {
        self.core.inject_fault("shard_live", id);
        let Some(&slot) = self.by_id.get(&id) else {
            let address = host.activate(id, None);
            host.deliver(&address, WalletMessage::Load);
            host.deliver(&address, message);
            self.insert(id, Slot::Live { id, address, is_touched: true });
            self.count_live(1);
            return;
        };
        match &mut self.slots[slot as usize] {
            Slot::Live { address, is_touched, .. } => {
                *is_touched = true;
                host.deliver(address, message);
            }
            Slot::Leaving { parked, .. } => parked.push(message),
            dormant @ Slot::Dormant { .. } => {
                let Slot::Dormant { wallet, .. } = std::mem::replace(dormant, Slot::Free) else {
                    unreachable!("it has just been looked at");
                };
                let address = host.activate(id, Some(wallet));
                host.deliver(&address, message);
                *dormant = Slot::Live { id, address, is_touched: true };
                self.dormant -= 1;
                self.count_live(1);
            }
            Slot::Free => panic!("no id leads to a free slot"),
        }
    }

    /// Brings a message to a wallet if it has an actor. One that had something to settle or to release when it left has done
    /// so before.
    fn deliver_if_live<H: WalletHost<Address = A>>(
        &mut self,
        id: WalletId,
        message: WalletMessage,
        host: &mut H,
    ) {
        self.core.inject_fault("shard_deliver", id);
        let Some(&slot) = self.by_id.get(&id) else { return };
        match &mut self.slots[slot as usize] {
            Slot::Live { address, .. } => host.deliver(address, message),
            Slot::Leaving { parked, .. } => parked.push(message),
            Slot::Dormant { .. } | Slot::Free => {}
        }
    }

    fn insert(&mut self, id: WalletId, slot: Slot<A>) {
        let place = if let Some(free) = self.free.pop() {
            self.slots[free as usize] = slot;
            free
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).expect("a shard has fewer than 2^32 wallets in memory")
        };
        self.by_id.insert(id, place);
    }

    fn count_live(&mut self, change: isize) {
        self.live = self.live.strict_add_signed(change);
        if change > 0 {
            self.core.live_wallets.fetch_add(1, Ordering::Relaxed);
        } else {
            self.core.live_wallets.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// When there are too many wallets, asks some to leave that nobody has wanted for a while; and forgets records.
    fn make_room<H: WalletHost<Address = A>>(&mut self, host: &mut H) {
        for _ in 0..LOOKED_AT_MAX.min(self.slots.len()) {
            if self.live <= self.live_max && self.dormant <= self.dormant_max {
                return;
            }
            self.hand = (self.hand + 1) % self.slots.len();
            let (live_is_full, dormant_is_full) =
                (self.live > self.live_max, self.dormant > self.dormant_max);
            match &mut self.slots[self.hand] {
                Slot::Live { is_touched: is_touched @ true, .. } if live_is_full => *is_touched = false,
                Slot::Live { .. } if live_is_full => self.ask_to_leave(host),
                Slot::Dormant { wallet, is_touched } if dormant_is_full => {
                    // Only what is durable can be read again.
                    let can_go = wallet.last_seq <= self.core.sequencer.durable_seq();
                    if !std::mem::replace(is_touched, false) && can_go {
                        let id = wallet.terms.id;
                        self.slots[self.hand] = Slot::Free;
                        self.free.push(self.hand as u32);
                        self.by_id.remove(&id);
                        self.dormant -= 1;
                    }
                }
                _ => {}
            }
        }
    }

    fn ask_to_leave<H: WalletHost<Address = A>>(&mut self, host: &mut H) {
        let slot = &mut self.slots[self.hand];
        let Slot::Live { id, address, .. } = std::mem::replace(slot, Slot::Free) else {
            panic!("only a live wallet is asked to leave");
        };
        host.deliver(&address, WalletMessage::Leave(PendingLeave::new(Arc::clone(&self.core), id)));
        *slot = Slot::Leaving { address, parked: Vec::new() };
        self.count_live(-1);
    }

    /// A wallet that was asked to leave has answered.
    fn left<H: WalletHost<Address = A>>(&mut self, id: WalletId, departure: Departure, host: &mut H) {
        let place = *self.by_id.get(&id).expect("it stays in its slot until it has answered");
        let slot = &mut self.slots[place as usize];
        let Slot::Leaving { address, parked, .. } = std::mem::replace(slot, Slot::Free) else {
            panic!("wallet {id} answers what it was not asked");
        };
        match departure {
            Departure::Stays => {
                *slot = Slot::Live { id, address, is_touched: true };
                self.count_live(1);
            }
            Departure::Leaves(wallet) => {
                *slot = Slot::Dormant { wallet, is_touched: false };
                self.dormant += 1;
            }
            Departure::DoesNotExist => {
                self.by_id.remove(&id);
                self.free.push(place);
            }
        }
        for message in parked {
            match message {
                // What it was about had been done before the wallet left.
                WalletMessage::Settled { .. } | WalletMessage::Released { .. } => {
                    self.deliver_if_live(id, message, host);
                }
                message => self.deliver(id, message, host),
            }
        }
    }
}
