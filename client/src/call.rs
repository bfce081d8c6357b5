//! Why one attempt at a call failed, and what follows from it: try again, give up, or not know.

use crate::error::ClientError;
use protocol::{ErrorReply, Operation};
use std::time::Duration;

/// One failed attempt.
#[derive(Debug)]
pub(crate) struct CallFailure {
    pub(crate) error: ClientError,
    /// Whether the server may have begun the request.
    pub(crate) sent: bool,
}

impl CallFailure {
    pub(crate) fn sent(error: ClientError) -> Self {
        Self { error, sent: true }
    }

    pub(crate) fn unsent(error: ClientError) -> Self {
        Self { error, sent: false }
    }

    /// Whether another attempt may fare better: everything that can be asked for is safe to be sent again.
    pub(crate) fn is_retryable(&self) -> bool {
        match &self.error {
            ClientError::Connect { .. } | ClientError::ConnectionLost { .. } => true,
            ClientError::Refused { code, .. } => code.is_retryable(),
            _ => false,
        }
    }

    /// How long the server asked to be left alone.
    pub(crate) fn retry_after(&self) -> Duration {
        match &self.error {
            ClientError::Refused { retry_after_ms, .. } => Duration::from_millis(u64::from(*retry_after_ms)),
            _ => Duration::ZERO,
        }
    }

    /// What the caller is told. `answered` is how many of its operations earlier requests have decided.
    pub(crate) fn into_error(self, operation: Operation, answered: usize) -> ClientError {
        if operation.is_write() && (self.sent || answered > 0) {
            return ClientError::OutcomeUnknown { answered, source: Box::new(self.error) };
        }
        self.error
    }
}

impl From<ErrorReply> for ClientError {
    fn from(error: ErrorReply) -> Self {
        let ErrorReply { code, text, retry_after_ms } = error;
        Self::Refused { code, text, retry_after_ms }
    }
}
