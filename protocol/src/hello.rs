//! Hello: the first frame of a connection and its answer. Its layout never changes, whatever the version.

use crate::body::{BodyReader, put, put_sequence};
use crate::frame::{FrameError, PROTOCOL_VERSION};
use crate::limits::{Limits, NAME_LENGTH_MAX};
use crate::operation::Operation;
use bincode::{BorrowDecode, Decode, Encode};

/// What a client opens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that the client speaks.
    pub version_min: u8,
    /// The newest version that the client speaks.
    pub version_max: u8,
    /// Who it is, for logs; at most [`NAME_LENGTH_MAX`] bytes.
    pub client_name: String,
    /// What it shows for itself; empty where nothing is asked for.
    pub credentials: Vec<u8>,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version of all frames that follow.
    pub version: u8,
    /// Who it is; at most [`NAME_LENGTH_MAX`] bytes.
    pub server_name: String,
    /// Which release it is; at most [`NAME_LENGTH_MAX`] bytes.
    pub server_version: String,
    /// What it lets this connection do.
    pub limits: Limits,
}

impl Hello {
    /// The newest version that the client speaks and this crate does, too.
    pub fn common_version(&self) -> Option<u8> {
        (self.version_min..=self.version_max).contains(&PROTOCOL_VERSION).then_some(PROTOCOL_VERSION)
    }
}

#[derive(Encode, BorrowDecode)]
struct HelloV1<'a> {
    version_min: u8,
    version_max: u8,
    client_name: &'a str,
    credentials: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct WelcomeV1<'a> {
    version: u8,
    server_name: &'a str,
    server_version: &'a str,
    frame_bytes_max: u32,
    requests_in_flight_max: u32,
    operations_in_flight_max: u32,
    idle_timeout_ms: u32,
    // A sequence of `BatchMaxV1` follows.
}

/// Keyed by message type, so that hello need not change when operations are added.
#[derive(Encode, Decode)]
struct BatchMaxV1 {
    message_type: u8,
    operations_max: u32,
}

const BATCH_MAX_BYTES: u32 = 5;

/// There are no more message types than this.
const BATCH_MAX_COUNT: u32 = 128;

pub(crate) fn write_request(buffer: &mut Vec<u8>, hello: &Hello) {
    let Hello { version_min, version_max, client_name, credentials } = hello;
    let (version_min, version_max) = (*version_min, *version_max);
    put(buffer, HelloV1 { version_min, version_max, client_name, credentials });
}

pub(crate) fn read_request(body: &[u8]) -> Result<Hello, FrameError> {
    let mut reader = BodyReader::new(body);
    let HelloV1 { version_min, version_max, client_name, credentials } = reader.value()?;
    reader.finish()?;
    if version_min > version_max {
        return Err(FrameError::malformed(format!(
            "the version range {version_min} to {version_max} is empty"
        )));
    }
    Ok(Hello {
        version_min,
        version_max,
        client_name: name(client_name)?,
        credentials: credentials.to_owned(),
    })
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, welcome: &Welcome) {
    let limits = &welcome.limits;
    put(
        buffer,
        WelcomeV1 {
            version: welcome.version,
            server_name: &welcome.server_name,
            server_version: &welcome.server_version,
            frame_bytes_max: limits.frame_bytes_max,
            requests_in_flight_max: limits.requests_in_flight_max,
            operations_in_flight_max: limits.operations_in_flight_max,
            idle_timeout_ms: limits.idle_timeout_ms,
        },
    );
    let maxima = Operation::BATCHED.map(|operation| BatchMaxV1 {
        message_type: operation.request_type(),
        operations_max: limits.batch_max(operation),
    });
    put_sequence(buffer, maxima.into_iter());
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Welcome, FrameError> {
    let mut reader = BodyReader::new(body);
    let wire: WelcomeV1<'_> = reader.value()?;
    let maxima = reader.sequence(BATCH_MAX_COUNT, BATCH_MAX_BYTES, |maximum: BatchMaxV1| Ok(maximum))?;
    reader.finish()?;
    // Operations that only one side knows are left out: the server's are ignored, ours have a maximum of 0.
    let batch_max = Operation::BATCHED.map(|operation| {
        let told = maxima.iter().find(|maximum| maximum.message_type == operation.request_type());
        told.map_or(0, |maximum| maximum.operations_max)
    });
    Ok(Welcome {
        version: wire.version,
        server_name: name(wire.server_name)?,
        server_version: name(wire.server_version)?,
        limits: Limits {
            frame_bytes_max: wire.frame_bytes_max,
            requests_in_flight_max: wire.requests_in_flight_max,
            operations_in_flight_max: wire.operations_in_flight_max,
            idle_timeout_ms: wire.idle_timeout_ms,
            batch_max,
        },
    })
}

fn name(text: &str) -> Result<String, FrameError> {
    if text.len() > NAME_LENGTH_MAX {
        return Err(FrameError::malformed(format!("a name of more than {NAME_LENGTH_MAX} bytes")));
    }
    Ok(text.to_owned())
}
