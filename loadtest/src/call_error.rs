//! Errors of calls as load sees them: what to count them as, whether something may have been done all the same,
//! and how long to leave the server alone.

use client::ClientError;
use std::time::Duration;

/// How long a slot waits after an error that says nothing of its own, so that a dead server is not hammered.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a slot waits when the server has no room and does not say for how long.
const PAUSE_OVERLOADED: Duration = Duration::from_millis(2);

/// The name that an error is counted under.
pub(crate) fn kind(error: &ClientError) -> &'static str {
    match error {
        ClientError::Connect { .. } => "connect",
        ClientError::ConnectionLost { .. } => "connection_lost",
        ClientError::TimedOut { .. } => "timed_out",
        ClientError::Refused { code, .. } => code.name(),
        ClientError::Protocol { .. } => "protocol",
        ClientError::QueryRefused { status, .. } => status.name(),
        ClientError::UnexpectedReply { .. } => "unexpected_reply",
        ClientError::BatchTooLarge { .. } => "batch_too_large",
        ClientError::OutcomeUnknown { source, .. } => kind(source),
    }
}

/// Whether the operations may have been executed.
pub(crate) fn leaves_outcome_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::OutcomeUnknown { .. })
}

/// How long to wait before the next request.
pub(crate) fn pause(error: &ClientError) -> Duration {
    match error {
        ClientError::OutcomeUnknown { source, .. } => pause(source),
        ClientError::Refused { retry_after_ms: 0, .. } => PAUSE_OVERLOADED,
        ClientError::Refused { retry_after_ms, .. } => Duration::from_millis(u64::from(*retry_after_ms)),
        _ => PAUSE,
    }
}
