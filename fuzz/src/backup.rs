//! Backups.
//!
//! Input: what the bytes are (one byte), then the bytes:
//! 0 – a backup; 1 – what its frame holds, which is compressed here, or nothing beyond the checksums would ever be reached;
//! 2 – the bodies of its records, each behind its number of entries and its length, which are chained here and given a right end.

use crate::bounds::{check_words, within};
use lz4_flex::frame::FrameEncoder;
use persistence::record::{HASH_BYTES, MAX_BODY, RecordHash};
use persistence::{PersistenceError, Record, read_backup_from};
use std::io::Write;
use std::path::Path;

const MAGIC: &[u8] = b"bursar backup 1\n";
const END: &[u8] = b"end of backup 1\n";

/// A frame's blocks have at most 4 MB; one that is read and one that it is made of are in memory, and what an earlier block said.
const BYTES_MAX: u64 = 16 << 20;

/// Checks it for one input.
pub fn check(input: &[u8]) {
    let [kind, bytes @ ..] = input else { return };
    match kind % 3 {
        0 => drop(read(bytes)),
        1 => drop(read(&backup_of(bytes))),
        _ => check_records(bytes),
    }
}

/// A backup whose frame holds these bytes.
pub fn backup_of(content: &[u8]) -> Vec<u8> {
    let mut backup = MAGIC.to_vec();
    let mut frame = FrameEncoder::new(&mut backup);
    frame.write_all(content).expect("memory takes everything");
    frame.finish().expect("memory takes everything");
    backup.extend_from_slice(END);
    backup
}

/// What is read of a backup, and whether it is whole.
fn read(bytes: &[u8]) -> (Vec<Record>, Result<u64, PersistenceError>) {
    let mut records = Vec::new();
    let memory = BYTES_MAX + 4 * bytes.len() as u64;
    let read = within(memory, || {
        let mut on_record = |record: &Record, _: &_| {
            // It is kept outside of what is measured, but for a handle.
            records.push(record.clone());
            Ok(())
        };
        read_backup_from(Path::new("backup"), bytes, &mut on_record)
    });
    // Whatever is given is a chain from the first entry on, whole or not.
    let mut next_seq = 1;
    let mut hash: RecordHash = [0; HASH_BYTES];
    for record in &records {
        assert_eq!((record.first_seq(), record.prev_hash()), (next_seq, hash));
        (next_seq, hash) = (record.last_seq() + 1, record.hash());
    }
    let whole = read.map(|report| {
        assert_eq!((report.entries, report.hash), (next_seq - 1, hash));
        assert_eq!((report.records, report.file_bytes), (records.len() as u64, bytes.len() as u64));
        report.entries
    });
    if let Err(error) = &whole {
        check_words(error);
    }
    (records, whole)
}

/// Records that go on where the ones before end are read back; of others, those before the first wrong one.
fn check_records(mut bytes: &[u8]) {
    let (mut content, mut right) = (Vec::new(), Vec::new());
    let (mut next_seq, mut hash, mut last_ns) = (1, [0; HASH_BYTES], 0);
    let mut is_right = true;
    while let [count, low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()).min(MAX_BODY);
        let (body, after) = rest.split_at(length);
        bytes = after;
        let record = Record::encode(next_seq, u32::from(*count), &hash, body);
        content.extend_from_slice(&(record.len() as u32).to_le_bytes());
        content.extend_from_slice(&record);
        match Record::decode(record) {
            Ok(record) if is_right && (right.is_empty() || record.first_timestamp() > last_ns) => {
                (next_seq, hash, last_ns) = (record.last_seq() + 1, record.hash(), record.last_timestamp());
                right.push(record.as_bytes().to_vec());
            }
            _ => is_right = false,
        }
    }
    content.extend_from_slice(&0_u32.to_le_bytes());
    content.extend_from_slice(&(next_seq - 1).to_le_bytes());
    content.extend_from_slice(&hash);
    let (records, whole) = read(&backup_of(&content));
    assert!(
        records.iter().map(Record::as_bytes).eq(right.iter().map(Vec::as_slice)),
        "other records are read"
    );
    assert_eq!(whole.is_ok(), is_right, "{whole:?}");
}
