//! The actor of a router: one on each shard's thread, so that routing is never the bottleneck.

use crate::core::Core;
use crate::expiry;
use crate::outbox::Outbox;
use crate::request::Request;
use crate::router_machine;
use crate::shard_actor::{Batch, ShardActor};
use crate::supervision::guard;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked for holds whose time has come. They have stopped counting at their time; only the entries that
/// say so wait for this.
const EXPIRY_TICK: Duration = Duration::from_millis(100);

/// A request to begin.
#[derive(Debug)]
pub(crate) struct Route(pub(crate) Arc<Request>);

impl Message for Route {
    type Result = ();
}

/// The actor of one router.
#[derive(Debug)]
pub(crate) struct RouterActor {
    core: Arc<Core>,
    shards: Vec<Addr<ShardActor>>,
    outbox: Outbox,
    /// One of them lets holds expire.
    expires_holds: bool,
}

impl RouterActor {
    pub(crate) fn new(core: Arc<Core>, shards: Vec<Addr<ShardActor>>, expires_holds: bool) -> Self {
        let outbox = Outbox::new(shards.len());
        Self { core, shards, outbox, expires_holds }
    }
}

impl Actor for RouterActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if self.expires_holds {
            context.run_interval(EXPIRY_TICK, |router, context| {
                if guard(|| expiry::expire_due(&router.core)).is_err() {
                    router.core.fatal("a router has failed");
                    context.terminate();
                }
            });
        }
    }
}

impl Drop for RouterActor {
    fn drop(&mut self) {
        if !self.core.is_stopping() {
            self.core.fatal("a router is gone");
        }
    }
}

impl Handler<Route> for RouterActor {
    type Result = ();

    fn handle(&mut self, Route(request): Route, context: &mut Context<Self>) {
        let routed = guard(|| {
            router_machine::route(&self.core, &request, &mut self.outbox);
            self.outbox.drain_into(|shard, messages| self.shards[shard].do_send(Batch(messages)));
        });
        if routed.is_err() {
            self.core.fatal("a router has failed");
            // It handles nothing more. What is in its mailbox is dropped, and answers for itself.
            context.terminate();
        }
    }
}
