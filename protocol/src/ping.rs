//! `ping`: whether the server is there, what time it is in the ledger, and how far it is durable.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;
use bincode::{Decode, Encode};

/// The reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pong {
    /// The ledger's time, in nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The newest entry that is durable.
    pub durable_seq: u64,
}

#[derive(Encode, Decode)]
struct PongV1 {
    timestamp_ns: u64,
    durable_seq: u64,
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, pong: Pong) {
    let Pong { timestamp_ns, durable_seq } = pong;
    put(buffer, PongV1 { timestamp_ns, durable_seq });
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Pong, FrameError> {
    let mut reader = BodyReader::new(body);
    let PongV1 { timestamp_ns, durable_seq } = reader.value()?;
    reader.finish()?;
    Ok(Pong { timestamp_ns, durable_seq })
}
