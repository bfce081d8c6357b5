//! The frame: sixteen bytes of header, then the body. It knows nothing of what a body means.
//!
//! The header is judged before anything is allocated, so a peer's number never sizes an allocation beyond
//! the limit that is in force.

use crate::limits::FRAME_HARD_MAX;
use thiserror::Error;

/// The first two bytes after the length, `B` and `R`: whoever speaks another protocol is found out at once.
pub const MAGIC: u16 = u16::from_le_bytes(*b"BR");

/// The version of the protocol in this crate. A hello carries it too: the layout of hello never changes.
pub const PROTOCOL_VERSION: u8 = 1;

/// The length of a header: length u32, magic u16, version u8, message type u8, request id u64.
pub const HEADER_LENGTH: usize = 16;

/// The part of the header that the length field counts.
const HEADER_COUNTED: u32 = 12;

/// The part of a frame that the length field does not count: the length field itself.
const LENGTH_FIELD: u32 = 4;

/// A header that was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// How many bytes of body follow; at most the limit given to [`FrameHeader::parse`].
    pub body_length: usize,
    /// The protocol version of the body.
    pub version: u8,
    /// Which message the body is.
    pub message_type: u8,
    /// Chosen by the client, echoed in the reply; 0 in an error frame that concerns no request.
    pub request_id: u64,
}

impl FrameHeader {
    /// Reads a header. `frame_limit` bounds the whole frame, header and length field included.
    ///
    /// After any error but [`FrameError::BadMagic`] the id of the request may be had from [`request_id`].
    pub fn parse(bytes: &[u8; HEADER_LENGTH], frame_limit: u32) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, m0, m1, version, message_type, ..] = *bytes;
        let found = u16::from_le_bytes([m0, m1]);
        if found != MAGIC {
            return Err(FrameError::BadMagic { found });
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let Some(body_length) = length.checked_sub(HEADER_COUNTED) else {
            return Err(FrameError::TooShort { length });
        };
        let limit = frame_limit.min(FRAME_HARD_MAX);
        if length > limit.saturating_sub(LENGTH_FIELD) {
            return Err(FrameError::TooLarge {
                frame_bytes: u64::from(length) + u64::from(LENGTH_FIELD),
                limit,
            });
        }
        if version != PROTOCOL_VERSION {
            return Err(FrameError::UnsupportedVersion { found: version });
        }
        Ok(Self { body_length: body_length as usize, version, message_type, request_id: request_id(bytes) })
    }
}

/// The request id in a header, which may be wrong otherwise.
pub fn request_id(header: &[u8; HEADER_LENGTH]) -> u64 {
    let [.., b0, b1, b2, b3, b4, b5, b6, b7] = *header;
    u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
}

/// Appends a frame to the buffer: the header, and the body that `write_body` appends.
///
/// Returns how many bytes the frame has. The caller checks it against the peer's limit.
pub(crate) fn append_frame(
    buffer: &mut Vec<u8>,
    message_type: u8,
    request_id: u64,
    write_body: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_FIELD as usize]);
    buffer.extend_from_slice(&MAGIC.to_le_bytes());
    buffer.extend_from_slice(&[PROTOCOL_VERSION, message_type]);
    buffer.extend_from_slice(&request_id.to_le_bytes());
    write_body(buffer);
    set_length(&mut buffer[start..]);
    buffer.len() - start
}

/// Sets the length of a whole frame as it is.
pub(crate) fn set_length(frame: &mut [u8]) {
    let length = u32::try_from(frame.len()).expect("a frame is far smaller than 4 GiB") - LENGTH_FIELD;
    frame[..LENGTH_FIELD as usize].copy_from_slice(&length.to_le_bytes());
}

/// What is wrong with a frame that was received.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The peer does not speak this protocol.
    #[error("the frame does not start with this protocol's magic, but with {found:#06x}")]
    BadMagic {
        /// What stands where the magic should.
        found: u16,
    },
    /// A length that does not even cover the header.
    #[error("the frame's length is {length}, less than its own header")]
    TooShort {
        /// The length field.
        length: u32,
    },
    /// More than may be sent at this point.
    #[error("the frame has {frame_bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The whole frame.
        frame_bytes: u64,
        /// The limit in force.
        limit: u32,
    },
    /// A version that is not spoken here.
    #[error("protocol version {found} is not spoken here, only version {PROTOCOL_VERSION}")]
    UnsupportedVersion {
        /// The version in the header.
        found: u8,
    },
    /// A message type that does not exist in this direction.
    #[error("there is no message type {message_type:#04x} here")]
    UnknownType {
        /// The message type in the header.
        message_type: u8,
    },
    /// A body that is not the encoding of its message.
    #[error("the body is malformed: {fault}")]
    MalformedBody {
        /// What is wrong with it.
        fault: String,
    },
    /// A body that goes on after its message.
    #[error("{count} bytes follow the end of the message")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// More items than any batch, or more legs than any transaction, may have.
    #[error("a list of {given} items, where there may be {max} at most")]
    TooManyOperations {
        /// How many it has.
        given: u64,
        /// How many it may have.
        max: u32,
    },
    /// A status that this version does not know, so the peer must be newer than it said.
    #[error("status {number} is not known; a newer client may know it")]
    UnknownStatus {
        /// The number.
        number: u16,
    },
    /// An error code that this version does not know, so the peer must be newer than it said.
    #[error("error code {number} is not known; a newer client may know it: {text}")]
    UnknownErrorCode {
        /// The number.
        number: u16,
        /// What the error says.
        text: String,
    },
}

impl FrameError {
    /// Every reason there is.
    pub const REASONS: [&'static str; 10] = [
        "bad_magic",
        "too_short",
        "too_large",
        "unsupported_version",
        "unknown_type",
        "malformed_body",
        "trailing_bytes",
        "too_many_operations",
        "unknown_status",
        "unknown_error_code",
    ];

    /// A stable label for metrics, one of [`FrameError::REASONS`].
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::BadMagic { .. } => "bad_magic",
            Self::TooShort { .. } => "too_short",
            Self::TooLarge { .. } => "too_large",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::UnknownType { .. } => "unknown_type",
            Self::MalformedBody { .. } => "malformed_body",
            Self::TrailingBytes { .. } => "trailing_bytes",
            Self::TooManyOperations { .. } => "too_many_operations",
            Self::UnknownStatus { .. } => "unknown_status",
            Self::UnknownErrorCode { .. } => "unknown_error_code",
        }
    }

    pub(crate) fn malformed(fault: impl Into<String>) -> Self {
        Self::MalformedBody { fault: fault.into() }
    }
}
