//! The actor of a live wallet: feeds its machine from its mailbox, under supervision.

use crate::shard_actor::{Flush, ShardActor};
use crate::supervision::{Panicked, guard};
use crate::wallet_machine::{REBUILD_PATIENCE_NS, Turn, WalletMachine, WalletMessage};
use crate::{core::Core, outbox::Outbox};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Supervised, WeakAddr};
use ledger::{Wallet, WalletId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What the wallets of one shard share on its thread.
#[derive(Debug)]
pub(crate) struct ShardThread {
    pub(crate) core: Arc<Core>,
    pub(crate) outbox: RefCell<Outbox>,
    /// The shard has been told that there is something in the outbox.
    pub(crate) flush_due: Cell<bool>,
    pub(crate) shard: WeakAddr<ShardActor>,
}

impl ShardThread {
    /// Runs one step of a wallet's machine, and has the shard send what it leaves in the outbox.
    fn step(&self, run: impl FnOnce(&mut Turn<'_>)) -> Result<(), Panicked> {
        let outcome = guard(|| {
            let mut outbox = self.outbox.borrow_mut();
            run(&mut Turn { core: &self.core, now_ns: self.core.sequencer.now_ns(), post: &mut *outbox });
        });
        if !self.outbox.borrow().is_empty()
            && !self.flush_due.replace(true)
            && let Some(shard) = self.shard.upgrade()
        {
            // Behind the wallets that are to run now, so that what they send goes together.
            shard.do_send(Flush);
        }
        outcome
    }
}

impl Message for WalletMessage {
    type Result = ();
}

/// The actor of one wallet.
#[derive(Debug)]
pub(crate) struct WalletActor {
    /// `None` once it could not be restarted: it handles nothing more, and what is in its mailbox is dropped and answers
    /// for itself.
    machine: Option<WalletMachine>,
    thread: Rc<ShardThread>,
}

impl WalletActor {
    pub(crate) fn new(id: WalletId, wallet: Option<Box<Wallet>>, thread: Rc<ShardThread>) -> Self {
        let head = thread.core.sequencer.appended_seq();
        Self { machine: Some(WalletMachine::new(id, wallet, head)), thread }
    }
}

impl Actor for WalletActor {
    type Context = Context<Self>;
}

impl Handler<WalletMessage> for WalletActor {
    type Result = ();

    fn handle(&mut self, message: WalletMessage, context: &mut Context<Self>) {
        let Some(machine) = &mut self.machine else { return };
        if self.thread.step(|turn| machine.handle(message, turn)).is_err() {
            context.stop();
        }
    }
}

impl Supervised for WalletActor {
    fn restarting(&mut self, context: &mut Context<Self>) {
        let Some(machine) = &mut self.machine else { return };
        let mut restart = None;
        let restarted = self.thread.step(|turn| restart = machine.restart(turn));
        if restarted.is_err() {
            self.machine = None;
            return self.thread.core.fatal("a wallet could not be restarted");
        }
        if let Some(restart) = restart {
            let patience = Duration::from_nanos(REBUILD_PATIENCE_NS);
            context.notify_later(WalletMessage::LosePatience { restart }, patience);
        }
    }
}
