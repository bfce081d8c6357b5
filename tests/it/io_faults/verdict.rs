//! Whether a server that met a fault did what it must: say so, or go on where nothing is lost by it.

use super::ground::{Point, Run, Stage, Went};
use crate::power_loss::event_log::{Event, What};
use crate::power_loss::recording::Recording;
use crate::recorder::Calls;
use client::ClientError;
use protocol::ErrorCode;
use std::collections::HashMap;
use std::rc::Rc;

/// Of which files and directories, relative to the data directory, calls were struck.
pub(crate) fn struck_paths(recording: &Recording) -> Vec<String> {
    let mut opened = HashMap::new();
    let mut struck = Vec::new();
    for event in &recording.log.events {
        match &event.what {
            What::Opened { path, .. } => drop(opened.insert(event.handle, path)),
            // A call by a descriptor, not by a path.
            What::Faulted { path } if path.is_empty() && event.handle > 0 => {
                struck.push(opened[&event.handle]);
            }
            What::Faulted { path } => struck.push(path),
            _ => {}
        }
    }
    struck
        .into_iter()
        .map(|path| path.trim_start_matches("data").trim_start_matches('/').to_owned())
        .collect()
}

/// What the storage engine, as of 0.34.7, does not tell from the end of its log: a read that fails while it opens it. It
/// then drops what it did not read. On a copy that is found out and harms nothing. On the journal itself it harms and is
/// found out, too, unless the books have all that was dropped: then the server goes on, and nothing may be missing.
pub(crate) fn is_known_fault(point: &Point, struck: &[String]) -> bool {
    point.class.0 == Calls::READ
        && struck.iter().any(|path| path == "journal/db")
        && point.stage != Stage::Stop
}

/// Whether the server may go on after this.
pub(crate) fn is_harmless(point: &Point, path: &str) -> bool {
    // What is copied to be looked at is thrown away.
    path.starts_with("journal.check") || path == "books.check" || path.starts_with("books.check/")
        // A merge in the books that fails after their last fold, or after they were made: what it would have merged is still there.
        // A fold's own calls fail the fold, and a merge that fails earlier fails the next one.
        || (path.starts_with("books") && path.contains("/store/keyspaces/"))
        // An old snapshot of the engine that is left where it is.
        || (point.class.0 == Calls::REMOVE && path.starts_with("journal/snap."))
        // What was just made is known to be empty.
        || (point.class.0 == Calls::READ && point.stage == Stage::Creation && path == "journal/db")
}

pub(crate) fn check_end(point: &Point, run: &Run, went: &Went, struck: &[String]) -> Result<(), String> {
    let Went { ended, early } = went;
    if ended.stderr.contains("panicked at") {
        return Err(format!("a panic: {ended:?}"));
    }
    match ended.code {
        Some(0) => {
            let unnoticed = struck.iter().find(|path| !is_harmless(point, path));
            if let Some(path) = unnoticed.filter(|_| !is_known_fault(point, struck)) {
                return Err(format!("nobody was told that {path} failed: {ended:?}"));
            }
            if !early.is_empty() {
                return Err(format!("all is well, and clients were turned away: {early:?}"));
            }
        }
        Some(1) => {
            if struck.is_empty() {
                return Err(format!("it ended without a fault: {ended:?}"));
            }
            let said = ended.stderr.lines().last().unwrap_or_default();
            let place = run.recorder.root().to_str().expect("UTF-8");
            if !said.starts_with("bursar: ") || !said.contains(place) {
                return Err(format!("the last words do not say where: {ended:?}"));
            }
            if said.matches("(os error").count() > 1 {
                return Err(format!("the last words say it twice: {said}"));
            }
            // The engine does not say whether it could not read or what it read was wrong.
            let cannot_know = point.class.0 == Calls::READ && struck.iter().any(|path| path.ends_with("/db"));
            if said.contains("restore the directory from a backup") && !cannot_know {
                return Err(format!("nothing is damaged, only the disk refused: {said}"));
            }
        }
        code => return Err(format!("it ended with {code:?}: {ended:?}")),
    }
    match early.iter().find(|error| !leaves_no_doubt(error)) {
        Some(error) => Err(format!("a client was told {error}")),
        None => Ok(()),
    }
}

/// Whoever waited when the disk failed was answered, if only that nobody knows.
pub(crate) fn check_everybody_was_told(recording: &Recording) -> Result<(), String> {
    let is_fault = |event: &Event| matches!(event.what, What::Faulted { .. });
    let Some(failed_at) = recording.log.events.iter().position(is_fault) else { return Ok(()) };
    let answered = &recording.conversation.answered;
    let waiting = recording.conversation.asked.iter().filter(|asked| {
        asked.at < failed_at && !answered.iter().any(|answered| Rc::ptr_eq(&answered.request, &asked.request))
    });
    let waiting: Vec<String> = waiting
        .map(|asked| {
            let events = failed_at - asked.at;
            let left = recording.log.events.len() - failed_at;
            let request = &asked.request;
            format!(
                "{} of {}, {events} events before the fault, which came {left} before the end",
                request.operation(),
                request.operation_count()
            )
        })
        .collect();
    if waiting.is_empty() {
        Ok(())
    } else {
        Err(format!("who waited was told nothing: {}", waiting.join("; ")))
    }
}

/// Whether a client was told that the outcome is not known, or that nothing was done.
pub(crate) fn leaves_no_doubt(error: &ClientError) -> bool {
    match error {
        ClientError::Connect { .. } | ClientError::ConnectionLost { .. } => true,
        ClientError::Refused { code, .. } => {
            matches!(code, ErrorCode::Unavailable | ErrorCode::ShuttingDown)
        }
        ClientError::OutcomeUnknown { source, .. } => leaves_no_doubt(source),
        _ => false,
    }
}
