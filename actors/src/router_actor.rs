//! The actor of a router: one on each shard's thread, so that routing is never the bottleneck.

use crate::core::Core;
use crate::outbox::Outbox;
use crate::request::Request;
use crate::router_machine;
use crate::shard_actor::{Batch, ShardActor};
use crate::supervision::guard;
use actix::{Actor, ActorContext, Addr, Context, Handler, Message};
use std::sync::Arc;

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
}

impl RouterActor {
    pub(crate) fn new(core: Arc<Core>, shards: Vec<Addr<ShardActor>>) -> Self {
        let outbox = Outbox::new(shards.len());
        Self { core, shards, outbox }
    }
}

impl Actor for RouterActor {
    type Context = Context<Self>;
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
