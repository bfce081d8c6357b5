//! The recorder's event log, read.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// A log in memory.
#[derive(Debug)]
pub(crate) struct EventLog {
    bytes: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

/// What happened, and to which opened file or socket.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) handle: u32,
    pub(crate) what: What,
    /// Where its bytes are in the log.
    pub(crate) data: Range<usize>,
}

/// What happened. Paths are relative to the recorded root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A process began; the ones before it have ended.
    Started,
    Opened {
        path: String,
        creates: bool,
        truncates: bool,
    },
    Wrote {
        offset: u64,
    },
    /// The same byte, many times.
    Filled {
        offset: u64,
        bytes: u64,
    },
    SetLength(u64),
    SyncBegun {
        number: u64,
    },
    SyncEnded {
        number: u64,
        failed: bool,
    },
    /// Promises nothing.
    RangeSynced,
    Renamed {
        from: String,
        to: String,
    },
    /// A file got one more name.
    Linked {
        from: String,
        to: String,
    },
    Unlinked(String),
    MadeDirectory(String),
    RemovedDirectory(String),
    Accepted,
    Sent,
    Received,
    /// A call was made to fail.
    Faulted {
        path: String,
    },
}

/// The head of an event: kind and handle, offset, value, path bytes, data bytes.
const HEAD_BYTES: usize = 4 + 4 + 8 + 8 + 8 + 8;

impl EventLog {
    /// Reads a whole log.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut events = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            let u64_at = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            let (kind, handle) = (u32_at(at), u32_at(at + 4));
            let (offset, value) = (u64_at(at + 8), u64_at(at + 16));
            let path_end = at + HEAD_BYTES + u64_at(at + 24) as usize;
            let data = path_end..path_end + u64_at(at + 32) as usize;
            let path = String::from_utf8(bytes[at + HEAD_BYTES..path_end].to_vec()).expect("names are UTF-8");
            at = data.end;
            events.push(Event { handle, what: what(kind, offset, value, path), data });
        }
        Self { bytes, events }
    }

    /// The bytes that were written, sent or received.
    pub(crate) fn data(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }
}

fn what(kind: u32, offset: u64, value: u64, path: String) -> What {
    const CREATE: u64 = 0o100;
    const TRUNCATE: u64 = 0o1000;
    match kind {
        1 => What::Started,
        2 => What::Opened { path, creates: offset & CREATE != 0, truncates: offset & TRUNCATE != 0 },
        3 => What::Wrote { offset },
        4 => What::Filled { offset, bytes: value },
        5 => What::SetLength(value),
        6 => What::SyncBegun { number: offset },
        7 => What::SyncEnded { number: offset, failed: value != 0 },
        8 => What::RangeSynced,
        9 | 18 => {
            let (from, to) = path.split_once('\0').expect("a rename or a link has two names");
            let (from, to) = (from.to_owned(), to.to_owned());
            if kind == 9 { What::Renamed { from, to } } else { What::Linked { from, to } }
        }
        10 => What::Unlinked(path),
        11 => What::MadeDirectory(path),
        12 => What::RemovedDirectory(path),
        13 => What::Accepted,
        14 => What::Sent,
        15 => What::Received,
        16 => What::Faulted { path },
        17 => panic!("the server called {path}, which the recorder does not follow yet"),
        _ => panic!("an event of kind {kind}"),
    }
}
