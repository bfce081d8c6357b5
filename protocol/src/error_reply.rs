//! The error frame: what a request is answered when it gets no outcomes, and what a connection is told before
//! it is closed. Its layout never changes, whatever the version.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;
use bincode::{BorrowDecode, Encode};
use std::fmt;

/// The longest text of an error, in bytes; a longer one is cut. So an error fits even before hello.
pub const ERROR_TEXT_MAX: usize = 512;

macro_rules! error_codes {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// Why a whole request, or a connection, is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])+ $variant = $number,)+
        }

        impl ErrorCode {
            /// All codes, in the order of their numbers, which are never reused.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// The name used in documents, logs and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)+
                }
            }

            /// The code of this number, if there is one.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(ErrorCode::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// The frame or its body is not what the protocol says.
    Malformed = 1, "malformed";
    /// The client and the server have no version in common.
    UnsupportedVersion = 2, "unsupported_version";
    /// This version has no such message, or not here: a hello is sent once.
    UnknownMessage = 3, "unknown_message";
    /// The connection did not begin with a hello, or the server does not take its credentials.
    Unauthenticated = 4, "unauthenticated";
    /// The credentials do not allow this request.
    NotAuthorized = 5, "not_authorized";
    /// The frame is larger than the limit in force.
    TooLarge = 6, "too_large";
    /// The batch holds more operations than the server takes in one request, or a list in it is longer than it can be.
    TooManyOperations = 7, "too_many_operations";
    /// The reply would be larger than the frame limit; ask for less.
    ReplyTooLarge = 8, "reply_too_large";
    /// Too much is under way; nothing of this request was done.
    Overloaded = 9, "overloaded";
    /// The server takes no writes now; nothing of this request was done.
    ReadOnly = 10, "read_only";
    /// The server has no room on its disk for writes; nothing of this request was done.
    DiskFull = 11, "disk_full";
    /// The server cannot say what became of the request; send the same ids again.
    Unavailable = 12, "unavailable";
    /// The server is stopping; nothing of this request was done.
    ShuttingDown = 13, "shutting_down";
    /// The deadline passed before the request was begun; nothing of it was done.
    DeadlineExceeded = 14, "deadline_exceeded";
    /// A fault of the server; what became of the request is not known.
    InternalError = 15, "internal_error";
    /// The connection was silent, or its replies were not read, for too long.
    TimedOut = 16, "timed_out";
    /// The server has as many connections as it takes.
    TooManyConnections = 17, "too_many_connections";
    /// There is no subscription of this id on this connection, or no more.
    UnknownSubscription = 18, "unknown_subscription";
    /// The connection has as many subscriptions as it may have.
    TooManySubscriptions = 19, "too_many_subscriptions";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether the server closes the connection after it. Requests that were under way get no answer then.
    pub const fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::Malformed
                | Self::UnsupportedVersion
                | Self::Unauthenticated
                | Self::TooLarge
                | Self::TimedOut
                | Self::TooManyConnections
        )
    }

    /// Whether the same request, sent again a little later, may well be answered.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::Unavailable
                | Self::ShuttingDown
                | Self::InternalError
                | Self::TimedOut
                | Self::TooManyConnections
        )
    }

    /// Whether operations of the request may have been executed all the same.
    pub const fn leaves_outcome_unknown(self) -> bool {
        matches!(self, Self::Unavailable | Self::InternalError)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An error frame's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// Why.
    pub code: ErrorCode,
    /// The same for people, with the particulars; at most [`ERROR_TEXT_MAX`] bytes.
    pub text: String,
    /// How long to wait before another attempt, in milliseconds; 0 where that is up to the client.
    pub retry_after_ms: u32,
}

impl ErrorReply {
    /// An error without advice on when to try again.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry_after_ms: 0 }
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

/// What the sender of a wrong frame is told.
impl From<&FrameError> for ErrorReply {
    fn from(error: &FrameError) -> Self {
        let code = match error {
            FrameError::TooLarge { .. } => ErrorCode::TooLarge,
            FrameError::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            FrameError::UnknownType { .. } => ErrorCode::UnknownMessage,
            FrameError::TooManyOperations { .. } => ErrorCode::TooManyOperations,
            FrameError::BadMagic { .. }
            | FrameError::TooShort { .. }
            | FrameError::MalformedBody { .. }
            | FrameError::TrailingBytes { .. }
            | FrameError::UnknownStatus { .. }
            | FrameError::UnknownErrorCode { .. } => ErrorCode::Malformed,
        };
        Self::new(code, error.to_string())
    }
}

#[derive(Encode, BorrowDecode)]
struct ErrorReplyV1<'a> {
    code: u16,
    text: &'a str,
    retry_after_ms: u32,
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, error: &ErrorReply) {
    let text = &error.text[..error.text.floor_char_boundary(ERROR_TEXT_MAX)];
    put(buffer, ErrorReplyV1 { code: error.code.number(), text, retry_after_ms: error.retry_after_ms });
}

pub(crate) fn read_reply(body: &[u8]) -> Result<ErrorReply, FrameError> {
    let mut reader = BodyReader::new(body);
    let ErrorReplyV1 { code: number, text, retry_after_ms } = reader.value()?;
    reader.finish()?;
    let text = text[..text.floor_char_boundary(ERROR_TEXT_MAX)].to_owned();
    let Some(code) = ErrorCode::from_number(number) else {
        return Err(FrameError::UnknownErrorCode { number, text });
    };
    Ok(ErrorReply { code, text, retry_after_ms })
}
