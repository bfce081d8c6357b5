//! What can go wrong for a caller. A refused order or change is not here: it is an outcome.

use ledger::Status;
use protocol::{ErrorCode, FrameError, Operation};
use std::sync::Arc;
use thiserror::Error;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no connection to be had; nothing was sent.
    #[error("could not connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke before the answer came.
    #[error("the connection to the server is lost: {reason}")]
    ConnectionLost {
        /// What happened to it.
        reason: Arc<str>,
    },
    /// The time for the call ran out.
    #[error("{operation} was not answered in time")]
    TimedOut {
        /// What was asked for.
        operation: Operation,
    },
    /// The server refused the whole request, or the connection.
    #[error("the server refused the request: {code}: {text}")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same for people.
        text: String,
        /// How long the server asks to wait, in milliseconds; 0 where it does not say.
        retry_after_ms: u32,
    },
    /// A question about the past has no answer as it was asked: of a wallet that does not exist, of a moment that has not
    /// come, with the cursor of another question.
    #[error("{operation} has no answer: {status}")]
    QueryRefused {
        /// What was asked for.
        operation: Operation,
        /// Why there is no answer.
        status: Status,
    },
    /// The server sent something that this client does not understand.
    #[error("the server's reply is not understood: {source}")]
    Protocol {
        /// What is wrong with it.
        #[from]
        source: FrameError,
    },
    /// The server answered something else than what was asked.
    #[error("{operation} was answered with another message")]
    UnexpectedReply {
        /// What was asked for.
        operation: Operation,
    },
    /// More than the server takes in one request. [`crate::Client`] splits; [`crate::Connection`] does not.
    #[error("{operation} takes at most {max} items on this connection, not {given}")]
    BatchTooLarge {
        /// What was asked for.
        operation: Operation,
        /// How many items.
        given: usize,
        /// How many the server takes.
        max: u32,
    },
    /// The operations may have been executed or not. Send the same ids again to know: what was done is answered
    /// with `exists` and its first outcome, and nothing is done twice.
    #[error(
        "what became of the operations after the first {answered} is not known, send the same ids again: {source}"
    )]
    OutcomeUnknown {
        /// How many, from the first, were surely decided by requests that were answered.
        answered: usize,
        /// Why it is not known.
        source: Box<ClientError>,
    },
}
