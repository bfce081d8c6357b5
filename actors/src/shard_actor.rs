//! The actor of a shard: feeds its machine, keeps its wallets' addresses, and sends what its wallets leave for others.

use crate::core::Core;
use crate::outbox::Outbox;
use crate::shard_machine::{ShardMachine, ShardMessage, WalletHost};
use crate::supervision::guard;
use crate::wallet_actor::{ShardThread, WalletActor};
use crate::wallet_machine::WalletMessage;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervisor};
use ledger::{Wallet, WalletId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

impl Message for ShardMessage {
    type Result = ();
}

/// Messages that were gathered elsewhere.
#[derive(Debug)]
pub(crate) struct Batch(pub(crate) Vec<ShardMessage>);

impl Message for Batch {
    type Result = ();
}

/// There is something in the outbox.
#[derive(Debug)]
pub(crate) struct Flush;

impl Message for Flush {
    type Result = ();
}

/// Starts wallets under supervision, on the shard's own thread.
#[derive(Debug)]
struct ActixHost {
    thread: Rc<ShardThread>,
}

impl WalletHost for ActixHost {
    type Address = Addr<WalletActor>;

    fn activate(&mut self, id: WalletId, wallet: Option<Box<Wallet>>) -> Addr<WalletActor> {
        let thread = Rc::clone(&self.thread);
        Supervisor::start(move |_| WalletActor::new(id, wallet, thread))
    }

    fn deliver(&mut self, address: &Addr<WalletActor>, message: WalletMessage) {
        address.do_send(message);
    }
}

/// The actor of one shard.
#[derive(Debug)]
pub(crate) struct ShardActor {
    machine: ShardMachine<Addr<WalletActor>>,
    host: ActixHost,
    /// All shards, this one included.
    shards: Vec<Addr<ShardActor>>,
}

impl ShardActor {
    pub(crate) fn new(number: usize, core: Arc<Core>, context: &Context<Self>) -> Self {
        let shards = core.shards();
        let thread = ShardThread {
            core: Arc::clone(&core),
            outbox: RefCell::new(Outbox::new(shards)),
            flush_due: Cell::new(false),
            shard: context.address().downgrade(),
        };
        Self {
            machine: ShardMachine::new(number, core),
            host: ActixHost { thread: Rc::new(thread) },
            shards: Vec::new(),
        }
    }

    fn handle_all(&mut self, messages: impl Iterator<Item = ShardMessage>, context: &mut Context<Self>) {
        let core = Arc::clone(&self.host.thread.core);
        let shards = &self.shards;
        let mut send = |shard: usize, messages| shards[shard].do_send(Batch(messages));
        let handled = guard(|| self.machine.handle_all(messages, &mut self.host, &mut send));
        if handled.is_err() {
            core.fatal("a shard has failed");
            // It handles nothing more. What is in its mailbox and in those of its wallets is dropped, and answers for
            // itself.
            context.terminate();
        }
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;
}

impl Drop for ShardActor {
    fn drop(&mut self) {
        let core = &self.host.thread.core;
        if !core.is_stopping() {
            core.fatal("a shard is gone");
        }
    }
}

/// The addresses of all shards, once they are known.
#[derive(Debug)]
pub(crate) struct Connect(pub(crate) Vec<Addr<ShardActor>>);

impl Message for Connect {
    type Result = ();
}

impl Handler<Connect> for ShardActor {
    type Result = ();

    fn handle(&mut self, Connect(shards): Connect, _: &mut Context<Self>) {
        self.shards = shards;
    }
}

impl Handler<ShardMessage> for ShardActor {
    type Result = ();

    fn handle(&mut self, message: ShardMessage, context: &mut Context<Self>) {
        self.handle_all(std::iter::once(message), context);
    }
}

impl Handler<Batch> for ShardActor {
    type Result = ();

    fn handle(&mut self, Batch(messages): Batch, context: &mut Context<Self>) {
        self.handle_all(messages.into_iter(), context);
    }
}

impl Handler<Flush> for ShardActor {
    type Result = ();

    fn handle(&mut self, _: Flush, context: &mut Context<Self>) {
        let thread = Rc::clone(&self.host.thread);
        thread.flush_due.set(false);
        let shards = &self.shards;
        let mut send = |shard: usize, messages| shards[shard].do_send(Batch(messages));
        let for_self = self.machine.send_others(&mut thread.outbox.borrow_mut(), &mut send);
        self.handle_all(for_self.into_iter(), context);
    }
}
