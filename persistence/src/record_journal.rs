//! The journal: groups become records, records are made durable, and then the head says so.
//!
//! It holds the rules of when an entry counts as durable, whatever store keeps the records: the records of a group
//! are inserted, flushed and synced, and only then is the head overwritten and synced, and only then is anybody told.
//! Nothing is ever tried again: after one failed write or sync nobody knows what the disk holds.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    error::{Damage, PersistenceError},
    head_file::{Head, HeadFile},
    journal::{ChainPoint, Group, Journal, JournalReader, JournalTrimmer, Records},
    record::{self, ENTRY_HEADER_BYTES, MAX_ENTRY, PREFERRED_BODY, Record},
    record_store::{KeyAndValue, RecordStore, StoredValues},
};

/// The writer.
#[derive(Debug)]
pub struct RecordJournal {
    store: Box<dyn RecordStore>,
    head: HeadFile,
    reader: Arc<RecordReader>,
    poisoned: bool,
}

impl RecordJournal {
    /// Goes on with a store whose records were checked, and are durable, up to what `head` says.
    pub(crate) fn new(store: Box<dyn RecordStore>, head: HeadFile) -> Self {
        let durable_seq = AtomicU64::new(head.head().point.seq);
        let reader = Arc::new(RecordReader { durable_seq, values: store.values() });
        Self { store, head, reader, poisoned: false }
    }

    /// The last durable record.
    pub fn tip(&self) -> ChainPoint {
        self.head.head().point
    }

    fn append(&mut self, group: &Group<'_>) -> Result<(), PersistenceError> {
        check_group(group, &self.head.head())?;
        let mut point = self.tip();
        for (first_seq, count, body) in split_into_records(group) {
            let value = Record::encode(first_seq, count, &point.hash, body);
            let seq = first_seq + u64::from(count) - 1;
            point = ChainPoint { seq, hash: record::hash_of_encoded(&value) };
            self.store.insert(first_seq, value)?;
        }
        self.store.flush()?;
        #[cfg(not(bursar_broken = "no_fdatasync"))]
        self.store.sync()?;
        self.head.advance(Head { point, timestamp: group.last_timestamp })?;
        self.reader.durable_seq.store(point.seq, Ordering::Release);
        Ok(())
    }
}

impl Journal for RecordJournal {
    fn append_group(&mut self, group: &Group<'_>) -> Result<(), PersistenceError> {
        if self.poisoned {
            return Err(PersistenceError::Poisoned { path: self.reader.values.place().to_path_buf() });
        }
        if group.entry_ends.is_empty() && group.body.is_empty() {
            return Ok(());
        }
        let appended = self.append(group);
        self.poisoned = appended.is_err();
        appended
    }

    fn durable_seq(&self) -> u64 {
        self.reader.durable_seq.load(Ordering::Acquire)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::clone(&self.reader) as Arc<dyn JournalReader>
    }

    fn trimmer(&self) -> Arc<dyn JournalTrimmer> {
        Arc::clone(&self.reader) as Arc<dyn JournalTrimmer>
    }

    fn close(self: Box<Self>) -> Result<(), PersistenceError> {
        if self.poisoned {
            return Err(PersistenceError::Poisoned { path: self.reader.values.place().to_path_buf() });
        }
        let tip = self.tip();
        self.store.close(tip)
    }
}

fn check_group(group: &Group<'_>, head: &Head) -> Result<(), PersistenceError> {
    let refuse = |reason: String| PersistenceError::MalformedGroup { first_seq: group.first_seq, reason };
    if group.first_seq != head.point.seq + 1 {
        return Err(refuse(format!("the journal ends at {}", head.point.seq)));
    }
    let mut start = 0_usize;
    let mut last_timestamp = head.timestamp;
    for &end in group.entry_ends {
        let end = end as usize;
        let entry = group.body.get(start..end).filter(|entry| entry.len() >= ENTRY_HEADER_BYTES);
        let entry =
            entry.ok_or_else(|| refuse(format!("an entry cannot reach from byte {start} to {end}")))?;
        if entry.len() > ENTRY_HEADER_BYTES + MAX_ENTRY {
            return Err(refuse(format!(
                "an entry of {} bytes is above the limit of {MAX_ENTRY}",
                entry.len()
            )));
        }
        // One entry is a body of one: the same check as when it is read back.
        let (timestamp, _) = record::check_body(entry, 1).map_err(|reason| refuse(reason.to_owned()))?;
        if timestamp <= last_timestamp {
            return Err(refuse(format!("timestamp {timestamp} follows {last_timestamp}")));
        }
        last_timestamp = timestamp;
        start = end;
    }
    if start != group.body.len() {
        return Err(refuse(format!("its entries end at byte {start} of {}", group.body.len())));
    }
    if last_timestamp != group.last_timestamp {
        return Err(refuse(format!("its last timestamp is {last_timestamp}, not {}", group.last_timestamp)));
    }
    Ok(())
}

/// First sequence number, count and body of each record: as few as the preferred length allows, split between entries.
fn split_into_records<'a>(group: &Group<'a>) -> impl Iterator<Item = (u64, u32, &'a [u8])> {
    let (body, ends) = (group.body, group.entry_ends);
    let mut next_seq = group.first_seq;
    let mut index = 0;
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = &ends[index..];
        let fitting = left.partition_point(|&end| end as usize - start <= PREFERRED_BODY);
        // A longer entry has a record of its own.
        let fitting = fitting.max(1);
        let end = *left.get(fitting - 1)? as usize;
        let record = (next_seq, fitting as u32, &body[start..end]);
        next_seq += fitting as u64;
        index += fitting;
        start = end;
        Some(record)
    })
}

/// The readers' side; cheap to share.
#[derive(Debug)]
struct RecordReader {
    durable_seq: AtomicU64,
    values: Arc<dyn StoredValues>,
}

fn decode((key, value): KeyAndValue, place: &Path) -> Result<Record, PersistenceError> {
    let key = (*key).try_into().map(u64::from_be_bytes).unwrap_or_default();
    let damaged = |damage| PersistenceError::damaged(place, damage);
    let record =
        Record::decode_shared(value).map_err(|error| damaged(Damage::BadRecord { seq: key, error }))?;
    if record.first_seq() != key {
        return Err(damaged(Damage::Misplaced { key, found: record.first_seq() }));
    }
    Ok(record)
}

impl JournalReader for RecordReader {
    fn read_from(&self, from_seq: u64) -> Records {
        let durable_seq = self.durable_seq.load(Ordering::Acquire);
        let from_seq = from_seq.max(1);
        if from_seq > durable_seq {
            return Box::new(std::iter::empty());
        }
        let start = self.values.at_or_below(from_seq).and_then(|before| {
            let first = before.and_then(|(key, _)| Some(u64::from_be_bytes((*key).try_into().ok()?)));
            self.values.range(first.unwrap_or(from_seq), durable_seq)
        });
        let mut values = match start {
            Ok(values) => values,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let store = Arc::clone(&self.values);
        let mut expected = None;
        let mut failed = false;
        let mut next = move || -> Result<Option<Record>, PersistenceError> {
            loop {
                let Some(found) = values.next().transpose()? else { return Ok(None) };
                let record = decode(found, store.place())?;
                let found = record.first_seq();
                if let Some(expected) = expected.replace(record.last_seq() + 1)
                    && expected != found
                {
                    return Err(PersistenceError::damaged(store.place(), Damage::Hole { expected, found }));
                }
                if record.last_seq() >= from_seq {
                    return Ok(Some(record));
                }
            }
        };
        Box::new(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let record = next();
            failed = record.is_err();
            record.transpose()
        }))
    }

    fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError> {
        if seq == 0 || seq > self.durable_seq.load(Ordering::Acquire) {
            return Ok(None);
        }
        let Some(found) = self.values.at_or_below(seq)? else { return Ok(None) };
        let record = decode(found, self.values.place())?;
        Ok((seq <= record.last_seq()).then_some(record))
    }
}

impl JournalTrimmer for RecordReader {
    fn trim(&self, through_seq: u64) -> Result<(), PersistenceError> {
        let durable_seq = self.durable_seq.load(Ordering::Acquire);
        assert!(through_seq <= durable_seq, "entry {through_seq} is not durable, only up to {durable_seq}");
        // Values lie under their first number, and one that starts there or below also ends there.
        self.values.remove_through(through_seq)
    }
}
