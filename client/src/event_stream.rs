//! A subscription on one connection: the frames as they come. It ends with the connection; [`crate::Subscription`] goes on.

use crate::connection::{Connection, EventsReceiver};
use crate::error::ClientError;
use protocol::{Events, MoreEvents, RequestRef};
use std::fmt;

/// Events of one connection. Dropped, it ends the subscription.
pub struct EventStream {
    connection: Connection,
    subscription: u64,
    frames: EventsReceiver,
    ended: bool,
}

impl EventStream {
    pub(crate) fn new(connection: Connection, subscription: u64, frames: EventsReceiver) -> Self {
        Self { connection, subscription, frames, ended: false }
    }

    /// The next frame: events, or only how far the subscription has come. After an error there is none.
    ///
    /// May be given up while it waits.
    pub async fn next(&mut self) -> Result<Events, ClientError> {
        let ended = || ClientError::ConnectionLost { reason: "the subscription has ended".into() };
        match self.frames.recv().await {
            Some(Ok(events)) => Ok(events),
            Some(Err(failure)) => {
                self.ended = true;
                Err(failure.error)
            }
            None => {
                self.ended = true;
                Err(ended())
            }
        }
    }

    /// Lets so many more events come. If it is given up while it waits, none.
    pub async fn more(&self, credit: u32) -> Result<(), ClientError> {
        let more = MoreEvents { subscription: self.subscription, credit };
        self.connection.tell(RequestRef::MoreEvents(more)).await
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.ended || self.connection.is_closed() {
            return;
        }
        // Without a runtime there is nobody to tell the server, and the connection is as good as gone.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let ending = self.connection.clone().end_subscription(self.subscription);
            drop(runtime.spawn(ending));
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
