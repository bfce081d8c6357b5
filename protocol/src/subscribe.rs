//! `subscribe`: the entries of the journal from one on, those that are there and then those to come, as far as the client
//! lets them come. The one request that gets more than one reply: each is a frame of this module's [`Events`], with the id
//! of the request.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::event::{
    EVENT_BYTES_MAX, EVENT_BYTES_MIN, Event, EventFilter, FILTER_KINDS_MAX, FILTER_WALLETS_MAX, event, kind,
    put_event,
};
use crate::frame::{FrameError, HEADER_LENGTH, append_frame, set_length};
use crate::limits::{FRAME_HARD_MAX, FRAME_LIMIT_MIN, ID_BYTES};
use crate::operation::Operation;
use crate::query::{ANSWERED, VARIANT_BYTES};
use ledger::WalletId;

/// What a frame carries beside its events.
const FRAME_BYTES: u32 = HEADER_LENGTH as u32 + VARIANT_BYTES + 8 + 8 + LENGTH_BYTES;

/// No frame holds more events than this.
const EVENTS_MAX: u32 = FRAME_HARD_MAX / EVENT_BYTES_MIN;

// The largest event fits into a frame of its own, whatever the limit.
const _: () = assert!(FRAME_BYTES + EVENT_BYTES_MAX <= FRAME_LIMIT_MIN);

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The first entry wanted; `None` for only what is not durable yet.
    pub from_seq: Option<u64>,
    /// Which entries from there on.
    pub filter: EventFilter,
    /// How many events may come before more are asked for.
    pub credit: u32,
}

/// Some events, in order, and how far they lead.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Events {
    /// Every entry up to this one has been sent, now or before, or is not wanted: where to go on after a break.
    pub through_seq: u64,
    /// The newest entry that is durable.
    pub durable_seq: u64,
    /// The events; none in a frame that only says how far it is.
    pub events: Vec<Event>,
}

/// A frame of events in the making: they are encoded as they are read, as many as fit.
#[derive(Debug)]
pub struct EventsFrame {
    bytes: Vec<u8>,
    count: u64,
    bytes_max: usize,
}

impl EventsFrame {
    /// A frame of the subscription that the request of this id began, of at most so many bytes. The largest event fits
    /// into the smallest frame limit.
    pub fn new(request_id: u64, bytes_max: u32) -> Self {
        let mut bytes = Vec::new();
        append_frame(&mut bytes, Operation::Subscribe.reply_type(), request_id, |body| {
            put(body, ANSWERED);
            // To be filled in at the end.
            put(body, [0_u64; 3]);
        });
        Self { bytes, count: 0, bytes_max: bytes_max as usize }
    }

    /// One more; false if it does not fit any more.
    pub fn push(&mut self, event: &Event) -> bool {
        let before = self.bytes.len();
        put_event(&mut self.bytes, event);
        if self.bytes.len() > self.bytes_max {
            self.bytes.truncate(before);
            return false;
        }
        self.count += 1;
        true
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The whole frame, which leads up to `through_seq`.
    pub fn finish(mut self, through_seq: u64, durable_seq: u64) -> Vec<u8> {
        let start = HEADER_LENGTH + VARIANT_BYTES as usize;
        let fields = [through_seq, durable_seq, self.count].map(u64::to_le_bytes);
        self.bytes[start..start + 3 * 8].copy_from_slice(fields.as_flattened());
        set_length(&mut self.bytes);
        self.bytes
    }
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, what: &Subscribe) {
    let Subscribe { from_seq, filter, credit } = what;
    put(buffer, *from_seq);
    put_sequence(buffer, filter.wallets.iter().map(|id| id.0));
    put_sequence(buffer, filter.kinds.iter().map(|kind| kind.number()));
    put(buffer, filter.code);
    put(buffer, *credit);
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<Subscribe, FrameError> {
    let from_seq = reader.value()?;
    let wallets = reader.sequence(FILTER_WALLETS_MAX, ID_BYTES, |id: u128| Ok(WalletId(id)))?;
    let kinds = reader.sequence(FILTER_KINDS_MAX, 1, kind)?;
    let filter = EventFilter { wallets, kinds, code: reader.value()? };
    Ok(Subscribe { from_seq, filter, credit: reader.value()? })
}

pub(crate) fn put_answer(buffer: &mut Vec<u8>, answer: &Events) {
    put(buffer, answer.through_seq);
    put(buffer, answer.durable_seq);
    put(buffer, answer.events.len() as u64);
    for event in &answer.events {
        put_event(buffer, event);
    }
}

pub(crate) fn answer(reader: &mut BodyReader<'_>) -> Result<Events, FrameError> {
    Ok(Events {
        through_seq: reader.value()?,
        durable_seq: reader.value()?,
        events: reader.elements(EVENTS_MAX, EVENT_BYTES_MIN, event)?,
    })
}
