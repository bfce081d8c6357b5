//! What a machine has to send, gathered per shard, so that one message in a mailbox carries many.

use crate::shard_machine::ShardMessage;

/// Somewhere to put a message for a shard.
pub(crate) trait Post {
    /// Puts the message where the shard will find it. Never waits.
    fn post(&mut self, shard: usize, message: ShardMessage);
}

/// Messages that wait to be sent together.
#[derive(Debug)]
pub(crate) struct Outbox {
    shards: Vec<Vec<ShardMessage>>,
    empty: bool,
}

impl Outbox {
    /// An empty outbox for so many shards.
    pub(crate) fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Vec::new()).collect(), empty: true }
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Gives out what has gathered, shard by shard, in the order in which it came.
    pub(crate) fn drain_into(&mut self, mut send: impl FnMut(usize, Vec<ShardMessage>)) {
        self.empty = true;
        for (shard, messages) in self.shards.iter_mut().enumerate() {
            if !messages.is_empty() {
                send(shard, std::mem::take(messages));
            }
        }
    }
}

impl Post for Outbox {
    #[inline]
    fn post(&mut self, shard: usize, message: ShardMessage) {
        self.shards[shard].push(message);
        self.empty = false;
    }
}
