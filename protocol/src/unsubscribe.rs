//! `unsubscribe`: ends a subscription. No frame of it comes after the reply.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;

/// What is asked: the id of the request that has subscribed, on this connection.
pub(crate) fn put_what(buffer: &mut Vec<u8>, subscription: u64) {
    put(buffer, subscription);
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<u64, FrameError> {
    reader.value()
}

/// The reply: up to which entry every one was sent or is not wanted.
pub(crate) fn write_reply(buffer: &mut Vec<u8>, through_seq: u64) {
    put(buffer, through_seq);
}

pub(crate) fn read_reply(body: &[u8]) -> Result<u64, FrameError> {
    let mut reader = BodyReader::new(body);
    let through_seq = reader.value()?;
    reader.finish()?;
    Ok(through_seq)
}
