//! `more_events`: lets more events of a subscription come.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;
use bincode::{Decode, Encode};

/// What is let come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreEvents {
    /// The id of the request that has subscribed, on this connection.
    pub subscription: u64,
    /// How many more.
    pub credit: u32,
}

#[derive(Encode, Decode)]
struct MoreEventsV1 {
    subscription: u64,
    credit: u32,
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, what: &MoreEvents) {
    let &MoreEvents { subscription, credit } = what;
    put(buffer, MoreEventsV1 { subscription, credit });
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<MoreEvents, FrameError> {
    let MoreEventsV1 { subscription, credit } = reader.value()?;
    Ok(MoreEvents { subscription, credit })
}

/// The reply: how many events may come now.
pub(crate) fn write_reply(buffer: &mut Vec<u8>, credit: u64) {
    put(buffer, credit);
}

pub(crate) fn read_reply(body: &[u8]) -> Result<u64, FrameError> {
    let mut reader = BodyReader::new(body);
    let credit = reader.value()?;
    reader.finish()?;
    Ok(credit)
}
