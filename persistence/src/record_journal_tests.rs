//! What is written and not acknowledged is shown to nobody, and a journal is only taken over if it ends where the records
//! that were checked end.

use crate::chain::Chain;
use crate::error::{Damage, PersistenceError};
use crate::head_file::{Head, HeadFile, HeadSlots};
use crate::journal::{ChainPoint, Group, Journal};
use crate::record::{GENESIS_HASH, Record, RecordError, RecordHash, push_entry};
use crate::record_journal::RecordJournal;
use crate::record_store::RecordStore;
use crate::recovery::take_over;
use crate::simulated_disk::{DiskFailure, SimulatedDisk};
use std::path::Path;
use std::sync::Arc;

/// Where the disk would be if it were one.
const PLACE: &str = "simulated";

/// A key and the value under it.
type Stored<'a> = (u64, &'a [u8]);

fn head_on(disk: &SimulatedDisk) -> HeadFile {
    let read = HeadFile::decode(&HeadFile::unused(), Path::new(PLACE)).expect("nothing is damaged");
    HeadFile::over(Box::new(disk.clone()), Path::new(PLACE), &read)
}

fn body(first_seq: u64, count: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for seq in first_seq..first_seq + count {
        push_entry(&mut body, seq * 10, b"entry");
    }
    body
}

/// Appends so many entries, whose times are ten times their numbers.
fn append(journal: &mut RecordJournal, count: u64) -> Result<(), PersistenceError> {
    let first_seq = journal.durable_seq() + 1;
    let body = body(first_seq, count);
    let entry_ends: Vec<u32> = (1..=count).map(|entry| (body.len() as u64 / count * entry) as u32).collect();
    let last_timestamp = (first_seq + count - 1) * 10;
    journal.append_group(&Group { first_seq, body: &body, entry_ends: &entry_ends, last_timestamp })
}

#[test]
fn what_was_written_and_not_acknowledged_is_shown_to_nobody() {
    // The insert, the flush, the sync, the write of the head and its sync: whichever of them fails.
    for operation in 1..=5 {
        let disk = SimulatedDisk::default();
        let mut journal = RecordJournal::new(Box::new(disk.clone()), head_on(&disk));
        append(&mut journal, 2).expect("the disk is healthy");
        disk.fail_at(disk.operations() + operation, DiskFailure::Broken);
        assert!(append(&mut journal, 2).is_err(), "{operation}");
        let reader = journal.reader();
        for (seq, is_shown) in [(0, false), (1, true), (2, true), (3, false), (4, false), (5, false)] {
            let held = reader.record_holding(seq).expect("what was written before can be read");
            assert_eq!(held.is_some(), is_shown, "{seq} after {operation}");
        }
        let read: Vec<Record> = reader.read_from(1).collect::<Result<_, _>>().expect("it can be read");
        assert_eq!((read.len(), read[0].last_seq()), (1, 2), "{operation}");
        assert_eq!(journal.durable_seq(), 2);
        let error = append(&mut journal, 1).expect_err("nothing is tried again");
        assert!(
            matches!(&error, PersistenceError::Poisoned { path } if path == Path::new(PLACE)),
            "{operation}: {error}"
        );
    }
}

#[test]
fn a_group_whose_entries_and_bytes_do_not_agree_is_refused_also_without_any() {
    let check = |body: &[u8], entry_ends: &[u32], expected: &str| {
        let disk = SimulatedDisk::default();
        let mut journal = RecordJournal::new(Box::new(disk.clone()), head_on(&disk));
        let group = Group { first_seq: 1, body, entry_ends, last_timestamp: 0 };
        let error = journal.append_group(&group).expect_err("it is malformed").to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(b"x", &[], "its entries end at byte 0 of 1");
    check(b"", &[1], "an entry cannot reach from byte 0 to 1");
    check(b"", &[0], "an entry cannot reach from byte 0 to 0");
}

#[test]
fn a_journal_is_taken_over_where_the_checked_records_end() {
    let record = |first_seq, count, before: RecordHash| {
        Record::encode(first_seq, count as u32, &before, &body(first_seq, count))
    };
    let hash = |value: &[u8]| Record::decode(value.to_vec()).expect("it has just been encoded").hash();
    let first = record(1, 3, GENESIS_HASH);
    let second = record(4, 1, hash(&first));
    let other = record(4, 1, GENESIS_HASH);
    let torn = second[..second.len() - 1].to_vec();

    let check = |stored: &[Stored<'_>], admitted: &[Stored<'_>], has_tail, expected: Result<u64, Damage>| {
        let disk = SimulatedDisk::default();
        let mut store = Box::new(disk.clone());
        for (key, value) in stored {
            store.insert(*key, value.to_vec()).expect("the disk is healthy");
        }
        store.flush().expect("the disk is healthy");
        let mut chain = Chain::new(ChainPoint::default(), ChainPoint::default());
        for (key, value) in admitted {
            chain.admit(&key.to_be_bytes(), Record::decode(value.to_vec())).expect("it is right");
        }
        let taken = take_over(store, head_on(&disk), &chain, ChainPoint::default(), has_tail);
        match (taken, expected) {
            (Ok(journal), Ok(last_seq)) => {
                assert_eq!(journal.durable_seq(), last_seq, "{stored:?}");
                assert_eq!(disk.synced_head_seq(), last_seq, "{stored:?}");
                let last = journal.reader().record_holding(last_seq).expect("it can be read");
                assert_eq!(last.map_or(0, |record| record.last_seq()), last_seq, "{stored:?}");
            }
            (Err(PersistenceError::Damaged { damage, .. }), Err(expected)) => {
                assert_eq!(damage, expected, "{stored:?}");
            }
            (taken, expected) => panic!("{taken:?}, not {expected:?}: {stored:?}"),
        }
    };
    let (a, b, c): (Stored<'_>, Stored<'_>, Stored<'_>) = ((1, &first), (4, &second), (5, b"torn"));
    check(&[], &[], false, Ok(0));
    check(&[a], &[a], false, Ok(3));
    check(&[a, b], &[a, b], false, Ok(4));
    // Only what lies behind the last good record is dropped, be it ever so short.
    check(&[a, b, c], &[a, b], true, Ok(4));
    check(&[a, (4, b"torn"), c], &[a], true, Ok(3));
    // What is stored is not what was checked.
    check(&[a, b], &[a], false, Err(Damage::NotTheAcknowledged { seq: 3 }));
    check(&[a], &[a, b], false, Err(Damage::NotTheAcknowledged { seq: 4 }));
    check(&[a, (4, &other)], &[a, b], false, Err(Damage::NotTheAcknowledged { seq: 4 }));
    check(&[], &[a], false, Err(Damage::NotTheAcknowledged { seq: 3 }));
    check(&[a], &[], false, Err(Damage::NotTheAcknowledged { seq: 0 }));
    let length = RecordError::Length { expected: second.len(), found: second.len() - 1 };
    check(&[a, (4, &torn)], &[a, b], false, Err(Damage::BadRecord { seq: 4, error: length }));
}

#[test]
fn a_head_that_says_as_much_is_not_written_again() {
    let disk = SimulatedDisk::default();
    let mut journal = RecordJournal::new(Box::new(disk.clone()), head_on(&disk));
    append(&mut journal, 2).expect("the disk is healthy");
    let tip = journal.reader().record_holding(2).expect("it can be read").expect("it is there");
    let head = Head { point: journal.tip(), timestamp: tip.last_timestamp() };
    drop(journal);
    let check = |known: Head, expected_writes: u64| {
        let slots = Arc::new(Writes::default());
        let read = HeadFile::decode(&HeadFile::unused(), Path::new(PLACE)).expect("nothing is damaged");
        let mut file = HeadFile::over(Box::new(Arc::clone(&slots)), Path::new(PLACE), &read);
        file.advance(known).expect("nothing fails");
        let before = slots.count();
        let mut chain = Chain::new(known.point, ChainPoint::default());
        chain.admit(&1_u64.to_be_bytes(), Ok(tip.clone())).expect("it is right");
        take_over(Box::new(disk.clone()), file, &chain, known.point, false).expect("nothing is damaged");
        assert_eq!(slots.count() - before, expected_writes, "{known:?}");
    };
    check(head, 0);
    check(Head::default(), 1);
}

/// Slots that only count how often they are written.
#[derive(Debug, Default)]
struct Writes(std::sync::atomic::AtomicU64);

impl Writes {
    fn count(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl HeadSlots for Arc<Writes> {
    fn overwrite(&self, _: &[u8], _: u64) -> std::io::Result<()> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}
