//! A subscription that outlives its connections: each event once, in order, and credit as they are taken.

use crate::call::CallFailure;
use crate::client::Client;
use crate::error::ClientError;
use crate::event_stream::EventStream;
use protocol::{Event, EventFilter, Subscribe};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How many events may have come that have not been taken.
const CREDIT: u32 = 2_048;

/// The server says something every five seconds. After so much silence, the connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The entries of the journal from one on, those that are there and those to come.
///
/// When its connection breaks, it connects again and goes on behind the last event that it has received: none is left
/// out, and none comes twice. Events come no faster than they are taken. Dropped, it ends.
pub struct Subscription {
    client: Client,
    filter: EventFilter,
    /// Where to begin, as long as nothing is known of where it is.
    from_seq: Option<u64>,
    stream: Option<EventStream>,
    /// What has come and was not taken yet.
    ready: VecDeque<Event>,
    /// How far the events lead that are ready.
    ready_through: Option<u64>,
    /// Everything up to here was taken, or is not wanted.
    through_seq: Option<u64>,
    durable_seq: u64,
    /// Events that were taken since more of them were let come.
    taken: u32,
    /// The failure since nothing has come: how many, and since when.
    failing: Option<(u32, Instant)>,
}

impl Subscription {
    pub(crate) fn new(client: Client, from_seq: Option<u64>, filter: EventFilter) -> Self {
        Self {
            client,
            filter,
            from_seq,
            stream: None,
            ready: VecDeque::new(),
            ready_through: None,
            through_seq: from_seq.map(|seq| seq.saturating_sub(1)),
            durable_seq: 0,
            taken: 0,
            failing: None,
        }
    }

    /// The next event, once there is one.
    ///
    /// An error is final only if it will stay so: a filter that the server does not take, a place in the journal that it
    /// does not have. Otherwise it says that the server could not be reached for as long as a request may take; called
    /// again, this goes on where it was. May be given up while it waits, and then nothing is lost.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            self.receive().await?;
        }
    }

    /// The next event up to this entry; `None` once everything up to it was taken. Events behind it stay for later.
    pub async fn next_until(&mut self, seq: u64) -> Result<Option<Event>, ClientError> {
        loop {
            match self.ready.front() {
                Some(event) if event.seq > seq => return Ok(None),
                Some(_) => return Ok(self.take()),
                // Not before the server has said that there is such a place.
                None if self.ready_through.is_some() && self.through_seq >= Some(seq) => return Ok(None),
                None => self.receive().await?,
            }
        }
    }

    /// Every entry up to this one was taken, or is not wanted: to go on later, subscribe from the one behind it. `None` for
    /// a subscription to what is new from which nothing has been heard yet.
    pub fn through_seq(&self) -> Option<u64> {
        self.through_seq
    }

    /// The newest entry that was durable when the server was heard last.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.ready.pop_front()?;
        self.taken += 1;
        self.through_seq = if self.ready.is_empty() { self.ready_through } else { Some(event.seq) };
        Some(event)
    }

    /// Waits for one more frame, on another connection if it must be.
    async fn receive(&mut self) -> Result<(), ClientError> {
        let attempted = self.attempt().await;
        let Err(failure) = attempted else {
            self.failing = None;
            return Ok(());
        };
        self.stream = None;
        self.taken = 0;
        let options = self.client.options();
        let (failures, since) = self.failing.unwrap_or_else(|| (0, Instant::now()));
        let pause = self.client.backoff(failures).max(failure.retry_after());
        if !failure.is_retryable() || since.elapsed() + pause > options.request_timeout {
            self.failing = None;
            return Err(failure.error);
        }
        self.failing = Some((failures + 1, since));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn attempt(&mut self) -> Result<(), CallFailure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            closed => {
                let connection = self.client.connection().await.map_err(CallFailure::unsent)?;
                let from_seq = self.through_seq.map_or(self.from_seq, |seq| Some(seq + 1));
                let what = Subscribe { from_seq, filter: self.filter.clone(), credit: CREDIT };
                closed.insert(connection.subscribe(&what).await.map_err(CallFailure::unsent)?)
            }
        };
        if self.taken >= CREDIT / 2 {
            stream.more(self.taken).await.map_err(CallFailure::sent)?;
            self.taken = 0;
        }
        let Ok(frame) = tokio::time::timeout(SILENCE_MAX, stream.next()).await else {
            let reason = "the server said nothing on a subscription";
            stream.connection().give_up(reason);
            return Err(CallFailure::sent(ClientError::ConnectionLost { reason: reason.into() }));
        };
        let frame = frame.map_err(CallFailure::sent)?;
        self.durable_seq = frame.durable_seq;
        self.ready_through = Some(frame.through_seq);
        self.ready = frame.events.into();
        if self.ready.is_empty() {
            self.through_seq = self.ready_through;
        }
        Ok(())
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filter", &self.filter)
            .field("through_seq", &self.through_seq)
            .field("durable_seq", &self.durable_seq)
            .finish_non_exhaustive()
    }
}
