//! Records of the journal, the entries in them, and the fold of those.
//!
//! Input: what the bytes are (one byte), then the bytes:
//! 0 – a record; 1 – a record but for its hash, which is put right, or nothing beyond the hash would ever be reached;
//! 2 – the body of a record; 3 – the payload of one entry.

use crate::bounds::{check_words, within};
use ledger::order::LEGS_MAX;
use ledger::{Entry, Fold, Leg};
use persistence::entry_codec::{decode_entry, encode_entry};
use persistence::record::{HASH_BYTES, HEADER_BYTES, MAX_BODY};
use persistence::{PersistenceError, Record};

/// Checks it for one input.
pub fn check(input: &[u8]) {
    let [kind, bytes @ ..] = input else { return };
    match kind % 4 {
        0 => check_record(bytes.to_vec()),
        1 => check_record(with_hash(bytes)),
        2 => {
            let [count, body @ ..] = bytes else { return };
            let body = &body[..body.len().min(MAX_BODY)];
            check_record(Record::encode(1, u32::from(*count), &[0; HASH_BYTES], body));
        }
        _ => {
            check_entry(7, bytes);
        }
    }
}

/// The bytes with the hash at their end put right.
pub fn with_hash(bytes: &[u8]) -> Vec<u8> {
    let hashed = &bytes[..bytes.len().saturating_sub(HASH_BYTES)];
    [hashed, blake3::hash(hashed).as_bytes()].concat()
}

fn check_record(bytes: Vec<u8>) {
    let original = bytes.clone();
    let record = match within(0, || Record::decode(bytes)) {
        Ok(record) => record,
        Err(error) => return check_words(&error),
    };
    assert_eq!(record.as_bytes(), original);
    let body = &original[HEADER_BYTES..original.len() - HASH_BYTES];
    assert!(
        Record::encode(record.first_seq(), record.count(), &record.prev_hash(), body) == original,
        "{record:?} is written otherwise"
    );
    let entries: Vec<_> = record.entries().collect();
    assert_eq!(entries.len(), record.count() as usize);
    assert!(entries.iter().map(|entry| entry.0).eq(record.first_seq()..=record.last_seq()));
    assert!(entries.is_sorted_by(|before, after| before.1 < after.1), "time goes back inside {record:?}");
    let times = entries.first().zip(entries.last()).map(|(first, last)| (first.1, last.1));
    assert_eq!(times, Some((record.first_timestamp(), record.last_timestamp())));
    check_fold(&record);
}

/// Whatever the entries say, they are applied or refused, and no money is made.
fn check_fold(record: &Record) {
    let mut fold = Fold { last_seq: record.first_seq() - 1, ..Fold::default() };
    for (seq, timestamp_ns, payload) in record.entries() {
        let Some(entry) = check_entry(seq, payload) else { return };
        let before = fold.clone();
        match fold.apply(seq, timestamp_ns, &entry) {
            Ok(()) => assert_eq!((fold.last_seq, fold.last_timestamp_ns), (seq, timestamp_ns)),
            Err(fault) => {
                check_words(&fault);
                assert!(fold == before, "a fault changed the fold: {fault}");
                return;
            }
        }
        for (asset, totals) in fold.totals() {
            assert!(totals.is_balanced(), "money was made in asset {asset}: {totals:?}");
        }
    }
}

fn check_entry(seq: u64, payload: &[u8]) -> Option<Entry> {
    // The bytes of an entry: its metadata, its owner, both at most as long as the payload. Legs take more in memory than the
    // four bytes that the least of them takes here, and are there twice for a moment; but there are never more than so many.
    let legs_bytes_max = 2 * LEGS_MAX * size_of::<Leg>();
    let bytes_max = (2 * payload.len() + legs_bytes_max) as u64;
    let entry = match within(bytes_max, || decode_entry(seq, payload)) {
        Ok(entry) => entry,
        Err(error) => {
            assert!(matches!(error, PersistenceError::UnreadableEntry { seq: named, .. } if named == seq));
            check_words(&error);
            return None;
        }
    };
    let mut encoded = Vec::new();
    encode_entry(&entry, &mut encoded);
    // An integer can be written longer than need be, and is read all the same; nobody writes it so.
    assert!(encoded.len() <= payload.len());
    if encoded.len() == payload.len() {
        assert_eq!(encoded, payload, "{entry:?}");
    }
    let again = decode_entry(seq, &encoded).expect("what we write can be read");
    assert_eq!(again, entry);
    Some(entry)
}
