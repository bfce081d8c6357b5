//! What one client has subscribed to: a task for each subscription, which reads the journal page by page and sends what is
//! wanted of it, no faster than the client asks and reads.
//!
//! Nothing is pushed here. What has become durable only wakes those who wait for more; each reads for itself, on the
//! threads that read the history, and never holds more than one frame. So a subscriber that is slow, or does not read at
//! all, holds up nobody but itself.

use crate::connection::{ConnectionContext, Outbound};
use actors::Engine;
use ledger::Status;
use persistence::entry_codec::decode_entry;
use persistence::{LedgerReader, PersistenceError};
use protocol::{
    ErrorCode, ErrorReply, Event, EventFilter, Events, EventsFrame, MoreEvents, Reply, SUBSCRIPTIONS_MAX,
    Subscribe,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How many bytes of events are sent in one frame, if the frame limit is not smaller.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// How many entries are looked at for one frame: a filter that wants little must not keep a thread for long.
const SCAN_MAX: u64 = 8_192;

/// How often a subscriber is told that entries were passed over, at most.
const POSITION_INTERVAL: Duration = Duration::from_millis(100);

/// How often a subscriber is told something in any case.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// What subscriptions are woken for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wake {
    /// The newest entry that was durable when they were woken.
    durable_seq: u64,
    /// They have to end.
    stopping: bool,
}

/// Wakes subscriptions whenever more has become durable. The journal writer only wakes this.
pub(crate) async fn wake_subscriptions(context: Arc<ConnectionContext>) {
    let engine = &context.engine;
    loop {
        let durable_seq = engine.durable_seq();
        context.wake.send_modify(|wake| wake.durable_seq = durable_seq);
        let (sender, durable) = oneshot::channel();
        let waiter = move |result| {
            // Nobody waits any more when the server stops.
            let _ = sender.send(result);
        };
        engine.when_durable(durable_seq + 1, Box::new(waiter));
        if !matches!(durable.await, Ok(Ok(()))) {
            return end_subscriptions(&context);
        }
    }
}

/// Ends all subscriptions: the server stops.
pub(crate) fn end_subscriptions(context: &ConnectionContext) {
    context.wake.send_modify(|wake| wake.stopping = true);
}

/// The subscriptions of one connection. They end when this is dropped.
pub(crate) struct Subscriptions {
    outbound: Outbound,
    open: Open,
}

/// By the ids of the requests that have begun them.
type Open = Rc<RefCell<BTreeMap<u64, Rc<Subscribed>>>>;

/// What the connection and the task of a subscription share.
struct Subscribed {
    id: u64,
    filter: Arc<EventFilter>,
    /// How many events may be sent.
    credit: Cell<u64>,
    /// Every entry up to this one was sent, or is not wanted.
    through_seq: Cell<u64>,
    ended: Cell<bool>,
    changed: Notify,
}

impl Subscribed {
    fn end(&self) {
        self.ended.set(true);
        self.changed.notify_one();
    }
}

impl Subscriptions {
    pub(crate) fn new(outbound: Outbound) -> Self {
        Self { outbound, open: Open::default() }
    }

    /// Whether this request has begun one that has not ended.
    pub(crate) fn has(&self, request_id: u64) -> bool {
        self.open.borrow().contains_key(&request_id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Begins one, and answers the request with its first frame.
    pub(crate) fn subscribe(&self, request_id: u64, what: Subscribe) {
        let Outbound { context, .. } = &self.outbound;
        let refuse = |reply| self.outbound.reply(request_id, reply, 0);
        if context.wake.borrow().stopping {
            return refuse(Reply::Error(ErrorReply::new(ErrorCode::ShuttingDown, "the server is stopping")));
        }
        if self.open.borrow().len() >= SUBSCRIPTIONS_MAX {
            let text = format!("a connection has {SUBSCRIPTIONS_MAX} subscriptions at most");
            return refuse(Reply::Error(ErrorReply::new(ErrorCode::TooManySubscriptions, text)));
        }
        let Subscribe { from_seq, filter, credit } = what;
        let durable_seq = context.engine.durable_seq();
        let from_seq = from_seq.map_or(durable_seq + 1, |seq| seq.max(1));
        if from_seq > durable_seq + 1 {
            return refuse(Reply::Events(Err(Status::MomentInTheFuture)));
        }
        let through_seq = from_seq - 1;
        let subscribed = Rc::new(Subscribed {
            id: request_id,
            filter: Arc::new(filter),
            credit: Cell::new(u64::from(credit)),
            through_seq: Cell::new(through_seq),
            ended: Cell::new(false),
            changed: Notify::new(),
        });
        self.open.borrow_mut().insert(request_id, Rc::clone(&subscribed));
        context.telemetry.subscriptions.increment(1.0);
        let events = Events { through_seq, durable_seq, events: Vec::new() };
        self.outbound.reply(request_id, Reply::Events(Ok(events)), 0);
        let (outbound, open) = (self.outbound.clone(), Rc::clone(&self.open));
        actix_rt::spawn(async move {
            let last_words = feed(&outbound, &subscribed).await;
            outbound.context.telemetry.subscriptions.decrement(1.0);
            // One that the client has ended, or that went with its connection, is not told of it.
            if let (false, Some(error)) = (subscribed.ended.get(), last_words) {
                open.borrow_mut().remove(&subscribed.id);
                outbound.reply(subscribed.id, Reply::Error(error), 0);
            }
        });
    }

    /// Lets more events come.
    pub(crate) fn more(&self, more: MoreEvents) -> Reply {
        let open = self.open.borrow();
        let Some(subscribed) = open.get(&more.subscription) else { return unknown(more.subscription) };
        let credit = subscribed.credit.get().saturating_add(u64::from(more.credit));
        subscribed.credit.set(credit);
        subscribed.changed.notify_one();
        Reply::MoreEvents(credit)
    }

    /// Ends one. Its task sends nothing from now on.
    pub(crate) fn unsubscribe(&self, subscription: u64) -> Reply {
        let Some(subscribed) = self.open.borrow_mut().remove(&subscription) else {
            return unknown(subscription);
        };
        subscribed.end();
        Reply::Unsubscribe(subscribed.through_seq.get())
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for subscribed in self.open.borrow().values() {
            subscribed.end();
        }
    }
}

fn unknown(subscription: u64) -> Reply {
    let text = format!("there is no subscription {subscription} on this connection");
    Reply::Error(ErrorReply::new(ErrorCode::UnknownSubscription, text))
}

/// When a subscriber was told last how far it is, and how far that was.
struct Told {
    through_seq: u64,
    /// By a frame without events.
    position_at: Option<Instant>,
    at: Instant,
}

impl Told {
    /// When it is to be told again, without events.
    fn next(&self, through_seq: u64) -> Instant {
        let heartbeat = self.at + HEARTBEAT_INTERVAL;
        if through_seq == self.through_seq {
            return heartbeat;
        }
        // At once, the first time.
        self.position_at.map_or(self.at, |at| at + POSITION_INTERVAL).min(heartbeat)
    }
}

/// Sends what is wanted until the subscription ends. Returns what the client is to be told then, if it has not ended it.
async fn feed(outbound: &Outbound, subscribed: &Subscribed) -> Option<ErrorReply> {
    let context = &outbound.context;
    let frame_bytes_max = FRAME_BYTES_MAX.min(context.config.frame_bytes_max);
    let mut wakes = context.wake.subscribe();
    let mut told = Told { through_seq: subscribed.through_seq.get(), position_at: None, at: Instant::now() };
    while !subscribed.ended.get() {
        if wakes.borrow_and_update().stopping {
            return Some(ErrorReply::new(ErrorCode::ShuttingDown, "the server is stopping"));
        }
        // After the wake was taken note of: what becomes durable from here on wakes again.
        let durable_seq = context.engine.durable_seq();
        let through_seq = subscribed.through_seq.get();
        let mut frame = None;
        if subscribed.credit.get() > 0 && through_seq < durable_seq {
            let wanted = Wanted {
                subscription: subscribed.id,
                filter: Arc::clone(&subscribed.filter),
                from_seq: through_seq + 1,
                durable_seq,
                events_max: subscribed.credit.get(),
                frame_bytes_max,
            };
            let Some(page) = read_page(&context.engine, wanted).await else {
                return Some(ErrorReply::new(ErrorCode::Unavailable, "the journal cannot be read"));
            };
            if subscribed.ended.get() {
                return None;
            }
            subscribed.credit.set(subscribed.credit.get() - page.events);
            subscribed.through_seq.set(page.through_seq);
            if page.events > 0 {
                context.telemetry.events_sent.increment(page.events);
                frame = Some(page.frame);
            }
        } else if Instant::now() < told.next(through_seq) {
            let due = tokio::time::sleep_until(told.next(through_seq));
            tokio::select! {
                () = subscribed.changed.notified() => {}
                _ = wakes.changed() => {}
                () = due => {}
            }
            continue;
        }
        let (now, through_seq) = (Instant::now(), subscribed.through_seq.get());
        if frame.is_none() && now >= told.next(through_seq) {
            told.position_at = Some(now);
            frame = Some(EventsFrame::new(subscribed.id, frame_bytes_max).finish(through_seq, durable_seq));
        }
        if let Some(frame) = frame {
            told.through_seq = through_seq;
            told.at = now;
            if !outbound.write_events(frame).await {
                return None;
            }
        }
    }
    None
}

/// What is wanted of the journal for one frame.
struct Wanted {
    subscription: u64,
    filter: Arc<EventFilter>,
    from_seq: u64,
    /// No further than here, whatever there is.
    durable_seq: u64,
    events_max: u64,
    frame_bytes_max: u32,
}

struct PageOfEvents {
    frame: Vec<u8>,
    events: u64,
    through_seq: u64,
}

/// `None` if the journal cannot be read, which ends the process, or is closed.
async fn read_page(engine: &Engine, wanted: Wanted) -> Option<PageOfEvents> {
    let (sender, page) = oneshot::channel();
    let reporting = engine.clone();
    engine.read_history(move |reader| match page_of_events(reader, &wanted) {
        // The subscription may have ended meanwhile.
        Ok(page) => drop(sender.send(page)),
        Err(error) => reporting.cannot_read_history(&error),
    });
    page.await.ok()
}

fn page_of_events(reader: &LedgerReader, wanted: &Wanted) -> Result<PageOfEvents, PersistenceError> {
    let mut frame = EventsFrame::new(wanted.subscription, wanted.frame_bytes_max);
    let mut through_seq = wanted.from_seq - 1;
    let last_seq = wanted.durable_seq.min(through_seq.saturating_add(SCAN_MAX));
    'pages: for record in reader.records_from(wanted.from_seq) {
        let record = record?;
        for (seq, timestamp_ns, payload) in record.entries() {
            if seq <= through_seq {
                continue;
            }
            assert_eq!(seq, through_seq + 1, "the journal has every entry");
            let event = Event::of_entry(seq, timestamp_ns, decode_entry(seq, payload)?);
            if wanted.filter.wants(&event) && (frame.count() == wanted.events_max || !frame.push(&event)) {
                break 'pages;
            }
            through_seq = seq;
            if seq == last_seq {
                break 'pages;
            }
        }
    }
    assert!(through_seq >= wanted.from_seq, "what is durable can be read, and one event fits into a frame");
    let events = frame.count();
    Ok(PageOfEvents { frame: frame.finish(through_seq, wanted.durable_seq), events, through_seq })
}
