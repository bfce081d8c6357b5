//! One record: the value that the journal keeps for one group commit, or for a part of it that fits.
//!
//! A record is a hash-chained run of opaque entries with consecutive sequence numbers. This file knows how they lie in
//! bytes and how to tell that those bytes are whole. It must not know what an entry means, nor where records are kept.
//!
//! All integers are little-endian:
//!
//! | offset     | bytes | field                                                                         |
//! |------------|-------|-------------------------------------------------------------------------------|
//! | 0          | 2     | format version, 1                                                             |
//! | 2          | 2     | flags, 0                                                                      |
//! | 4          | 4     | count of entries, at least 1                                                  |
//! | 8          | 8     | sequence number of the first entry; numbers start at 1                        |
//! | 16         | 32    | hash of the record before this one; 32 zero bytes before the first            |
//! | 48         | 4     | length of the body in bytes, B                                                |
//! | 52         | B     | body: `count` entries, one after another                                      |
//! | 52 + B     | 32    | BLAKE3 of the 52 + B bytes before it                                          |
//!
//! An entry in the body:
//!
//! | offset     | bytes | field                                                                         |
//! |------------|-------|-------------------------------------------------------------------------------|
//! | 0          | 4     | length of the payload in bytes, P                                             |
//! | 4          | 8     | timestamp in nanoseconds, greater than that of the entry before               |
//! | 12         | P     | payload                                                                       |

use std::fmt;

/// Bytes that the engine shares with whoever reads them.
pub(crate) use sled::IVec as SharedBytes;

/// The only version that is written and read.
pub const FORMAT_VERSION: u16 = 1;
/// A hash that names a record.
pub type RecordHash = [u8; HASH_BYTES];
/// What the first record of a ledger carries as the hash of the record before it.
pub const GENESIS_HASH: RecordHash = [0; HASH_BYTES];

/// Bytes before the body.
pub const HEADER_BYTES: usize = 52;
/// Bytes of a BLAKE3 hash.
pub const HASH_BYTES: usize = 32;
/// Bytes of an entry before its payload.
pub const ENTRY_HEADER_BYTES: usize = 12;
/// The longest value. The engine puts longer ones into files of their own, which it does not sync.
pub const MAX_RECORD_BYTES: usize = 128 * 1024;
/// The longest body, so that the whole value stays within [`MAX_RECORD_BYTES`].
pub const MAX_BODY: usize = MAX_RECORD_BYTES - HEADER_BYTES - HASH_BYTES;
/// The longest body that is made of more than one entry. The engine rewrites leaves of up to 16 values at a time and caches
/// hundreds of them: measured with groups of 2,000 entries of 100 bytes, records of 32 KiB instead of 128 KiB took a third
/// of the memory (0.22 against 0.59 GB) and half the time at the 99th percentile, at the same or a better throughput. Whoever reads one
/// entry of the past reads its record, so they are shorter still.
pub const PREFERRED_BODY: usize = 8 * 1024 - HEADER_BYTES - HASH_BYTES;
/// The longest payload of one entry, so that any entry fits into a record of its own.
pub const MAX_ENTRY: usize = MAX_BODY - ENTRY_HEADER_BYTES;

const _: () = assert!(HEADER_BYTES + ENTRY_HEADER_BYTES + MAX_ENTRY + HASH_BYTES == MAX_RECORD_BYTES);
const _: () = assert!(HEADER_BYTES + PREFERRED_BODY + HASH_BYTES == 8 * 1024);

/// One record that has been checked: its hash, its lengths, and that its body holds exactly its entries.
#[derive(Clone)]
pub struct Record {
    bytes: RecordBytes,
    count: u32,
    first_seq: u64,
    first_timestamp: u64,
    last_timestamp: u64,
}

/// A value as it came: owned, or shared with the engine that read it, so that replay copies nothing.
#[derive(Clone)]
enum RecordBytes {
    Owned(Vec<u8>),
    Shared(SharedBytes),
}

/// What is wrong with bytes that should be a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Fewer bytes than a header and a hash, or not as many as the header says.
    #[error("its length is {found} bytes, not {expected}")]
    Length {
        /// Bytes that the header asks for.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Written by a newer version, or damaged.
    #[error("its format version is {0}, and this program reads {FORMAT_VERSION}")]
    Version(u16),
    /// No flag is defined yet.
    #[error("its flags are {0:#06x}, and none is known")]
    Flags(u16),
    /// The bytes are not those that were written.
    #[error("its hash does not match its bytes")]
    Hash,
    /// The hash holds, so it was written so.
    #[error("its body is malformed: {0}")]
    Body(&'static str),
}

impl Record {
    /// Builds the bytes of a record. `body` must hold `count` well-formed entries.
    ///
    /// # Panics
    /// If the body is longer than [`MAX_BODY`].
    pub fn encode(first_seq: u64, count: u32, prev_hash: &RecordHash, body: &[u8]) -> Vec<u8> {
        assert!(body.len() <= MAX_BODY, "a body of {} bytes is above the limit of {MAX_BODY}", body.len());
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + HASH_BYTES);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&first_seq.to_le_bytes());
        bytes.extend_from_slice(prev_hash);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// Checks bytes that should be a record: version, lengths, hash, and every entry.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, RecordError> {
        Self::check(RecordBytes::Owned(bytes))
    }

    pub(crate) fn decode_shared(bytes: SharedBytes) -> Result<Self, RecordError> {
        Self::check(RecordBytes::Shared(bytes))
    }

    fn check(bytes: RecordBytes) -> Result<Self, RecordError> {
        let value = bytes.as_slice();
        let shortest = HEADER_BYTES + HASH_BYTES;
        if value.len() < shortest {
            return Err(RecordError::Length { expected: shortest, found: value.len() });
        }
        let version = u16_at(value, 0);
        if version != FORMAT_VERSION {
            return Err(RecordError::Version(version));
        }
        let flags = u16_at(value, 2);
        if flags != 0 {
            return Err(RecordError::Flags(flags));
        }
        let body_len = u32_at(value, 48) as usize;
        if value.len() - shortest != body_len {
            return Err(RecordError::Length {
                expected: shortest.saturating_add(body_len),
                found: value.len(),
            });
        }
        let (hashed, hash) = value.split_at(value.len() - HASH_BYTES);
        if blake3::hash(hashed).as_bytes() != hash {
            return Err(RecordError::Hash);
        }
        let count = u32_at(value, 4);
        let first_seq = u64_at(value, 8);
        if first_seq == 0 {
            return Err(RecordError::Body("sequence numbers start at 1"));
        }
        if first_seq.checked_add(u64::from(count)).is_none() {
            return Err(RecordError::Body("its sequence numbers pass the end of their range"));
        }
        let timestamps = check_body(&hashed[HEADER_BYTES..], count).map_err(RecordError::Body)?;
        let (first_timestamp, last_timestamp) = timestamps;
        Ok(Self { bytes, count, first_seq, first_timestamp, last_timestamp })
    }

    /// Sequence number of the first entry.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Sequence number of the last entry.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count) - 1
    }

    /// Number of entries, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Timestamp of the first entry, in nanoseconds.
    pub fn first_timestamp(&self) -> u64 {
        self.first_timestamp
    }

    /// Timestamp of the last entry, in nanoseconds.
    pub fn last_timestamp(&self) -> u64 {
        self.last_timestamp
    }

    /// Hash of the record before this one.
    pub fn prev_hash(&self) -> RecordHash {
        hash_at(self.as_bytes(), 16)
    }

    /// Hash of this record, which the next one carries.
    pub fn hash(&self) -> RecordHash {
        let bytes = self.as_bytes();
        hash_at(bytes, bytes.len() - HASH_BYTES)
    }

    /// The whole value, byte for byte as it was written.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The entries in order.
    pub fn entries(&self) -> Entries<'_> {
        let bytes = self.as_bytes();
        Entries { rest: &bytes[HEADER_BYTES..bytes.len() - HASH_BYTES], next_seq: self.first_seq }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Record")
            .field("first_seq", &self.first_seq)
            .field("count", &self.count)
            .field("bytes", &self.as_bytes().len())
            .finish_non_exhaustive()
    }
}

impl RecordBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The hash that ends an encoded record.
pub(crate) fn hash_of_encoded(bytes: &[u8]) -> RecordHash {
    hash_at(bytes, bytes.len() - HASH_BYTES)
}

/// Appends one entry to a body.
pub fn push_entry(body: &mut Vec<u8>, timestamp_ns: u64, payload: &[u8]) {
    body.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    body.extend_from_slice(&timestamp_ns.to_le_bytes());
    body.extend_from_slice(payload);
}

/// Walks a body and returns its first and last timestamp, or what is wrong with it.
pub(crate) fn check_body(body: &[u8], count: u32) -> Result<(u64, u64), &'static str> {
    if count == 0 {
        return Err("it holds no entry");
    }
    let mut rest = body;
    let mut first = 0;
    let mut last = 0;
    for index in 0..count {
        let Some((header, after)) = rest.split_at_checked(ENTRY_HEADER_BYTES) else {
            return Err("it holds fewer entries than it says");
        };
        let timestamp = u64_at(header, 4);
        let Some((_payload, after)) = after.split_at_checked(u32_at(header, 0) as usize) else {
            return Err("an entry passes its end");
        };
        if index == 0 {
            first = timestamp;
        } else if timestamp <= last {
            return Err("its timestamps do not increase");
        }
        last = timestamp;
        rest = after;
    }
    if rest.is_empty() { Ok((first, last)) } else { Err("bytes follow its last entry") }
}

/// The entries of a record: sequence number, timestamp in nanoseconds, payload.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
    next_seq: u64,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (u64, u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        // Lengths were checked when the record was decoded.
        let (header, after) = self.rest.split_at(ENTRY_HEADER_BYTES);
        let (payload, rest) = after.split_at(u32_at(header, 0) as usize);
        let seq = self.next_seq;
        self.rest = rest;
        self.next_seq += 1;
        Some((seq, u64_at(header, 4), payload))
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().expect("two bytes make a u16"))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes make a u32"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes make a u64"))
}

fn hash_at(bytes: &[u8], offset: usize) -> RecordHash {
    bytes[offset..offset + HASH_BYTES].try_into().expect("thirty-two bytes make a hash")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut body = Vec::new();
        push_entry(&mut body, 10, b"first");
        push_entry(&mut body, 11, b"");
        push_entry(&mut body, 500, &[7; 40]);
        Record::encode(41, 3, &[9; 32], &body)
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let record = Record::decode(sample()).expect("a fresh record is whole");
        assert_eq!((record.first_seq(), record.last_seq(), record.count()), (41, 43, 3));
        assert_eq!((record.first_timestamp(), record.last_timestamp()), (10, 500));
        assert_eq!(record.prev_hash(), [9; 32]);
        assert_eq!(record.hash(), hash_of_encoded(&sample()));
        let entries: Vec<_> = record.entries().collect();
        assert_eq!(entries, [(41, 10, &b"first"[..]), (42, 11, &b""[..]), (43, 500, &[7; 40][..])]);
        assert_eq!(Record::decode_shared(SharedBytes::from(sample())).unwrap().as_bytes(), record.as_bytes());
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = sample();
        assert_eq!(&bytes[..16], &[1, 0, 0, 0, 3, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[16..48], &[9; 32]);
        assert_eq!(&bytes[48..52], &[3 * 12 + 45, 0, 0, 0]);
        assert_eq!(&bytes[52..69], b"\x05\0\0\0\x0a\0\0\0\0\0\0\0first");
        assert_eq!(bytes[133..], *blake3::hash(&bytes[..133]).as_bytes());
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(Record::decode(bytes[..length].to_vec()).is_err(), "{length} bytes were taken for whole");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Record::decode(longer).is_err());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = sample();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(flipped).is_err(), "bit {bit} went unseen");
        }
    }

    #[test]
    fn a_body_that_is_not_its_entries_is_refused_though_its_hash_holds() {
        fn check(count: u32, entries: &[(u64, &[u8])], extra: &[u8], expected: &'static str) {
            let mut body = Vec::new();
            for (timestamp, payload) in entries {
                push_entry(&mut body, *timestamp, payload);
            }
            body.extend_from_slice(extra);
            let refused = Record::decode(Record::encode(1, count, &GENESIS_HASH, &body)).unwrap_err();
            assert_eq!(refused, RecordError::Body(expected));
        }
        check(0, &[], b"", "it holds no entry");
        check(2, &[(1, b"a")], b"", "it holds fewer entries than it says");
        check(1, &[(1, b"a"), (2, b"b")], b"", "bytes follow its last entry");
        check(1, &[(1, b"a")], b"x", "bytes follow its last entry");
        check(2, &[(1, b"a")], &[255; 20], "an entry passes its end");
        check(2, &[(5, b"a"), (5, b"b")], b"", "its timestamps do not increase");
        check(3, &[(5, b"a"), (6, b"b"), (4, b"c")], b"", "its timestamps do not increase");
    }

    #[test]
    fn the_longest_entry_makes_the_longest_record() {
        let mut body = Vec::new();
        push_entry(&mut body, 1, &vec![3; MAX_ENTRY]);
        let bytes = Record::encode(1, 1, &GENESIS_HASH, &body);
        assert_eq!(bytes.len(), MAX_RECORD_BYTES);
        assert!(Record::decode(bytes).is_ok());
    }
}
