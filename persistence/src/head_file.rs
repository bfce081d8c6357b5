//! `head`: the newest entry that was acknowledged, kept apart from the journal, so that a journal that lost its end
//! is found out.
//!
//! The file is 8,192 bytes long and holds two slots of 4,096 bytes. It is written whole once, and then overwritten in
//! place, one slot after the other, because overwriting blocks that were written before is what a disk syncs fastest.
//! A write that is torn can spoil only the slot it writes; the other still holds the head before it, which is where an
//! unacknowledged group leaves it. Head N must be written only after the journal's own sync of group N.
//!
//! A slot, all integers little-endian:
//!
//! | offset | bytes | field                                                               |
//! |--------|-------|---------------------------------------------------------------------|
//! | 0      | 8     | magic, `BURSHEAD`                                                   |
//! | 8      | 2     | format version, 1                                                   |
//! | 10     | 6     | zero                                                                |
//! | 16     | 8     | generation: one more with each write; slot = generation modulo 2    |
//! | 24     | 8     | sequence number of the last acknowledged entry; 0 for none          |
//! | 32     | 32    | hash of the record that ends with it; zero for none                 |
//! | 64     | 8     | timestamp of that entry in nanoseconds; 0 for none                  |
//! | 72     | 3992  | zero                                                                |
//! | 4064   | 32    | BLAKE3 of the 4,064 bytes before it                                 |

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    durable_write::write_durably,
    error::{Damage, PersistenceError},
    journal::ChainPoint,
};

const SLOT_BYTES: usize = 4096;
const CHECKSUM_AT: usize = SLOT_BYTES - 32;
const MAGIC: &[u8; 8] = b"BURSHEAD";
const FORMAT_VERSION: u16 = 1;

/// The two slots, wherever they are kept.
pub(crate) trait HeadSlots: Send + fmt::Debug {
    /// Overwrites the bytes from `offset` on. They need not survive anything yet.
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once what was overwritten survives a power loss.
    fn sync(&self) -> io::Result<()>;
}

impl HeadSlots for File {
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The open file and what it says.
#[derive(Debug)]
pub(crate) struct HeadFile {
    slots: Box<dyn HeadSlots>,
    path: PathBuf,
    generation: u64,
    head: Head,
}

/// The newest acknowledged entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) point: ChainPoint,
    pub(crate) timestamp: u64,
}

/// What a `head` file says, read without changing it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadHead {
    pub(crate) head: Head,
    generation: u64,
    /// One slot is torn or damaged; the head is the other one's.
    pub(crate) slot_lost: bool,
}

impl HeadFile {
    /// Writes the file for a journal that is empty.
    pub(crate) fn create(path: &Path) -> Result<(), PersistenceError> {
        write_durably(path, &Self::unused())
    }

    /// What the file of an empty journal holds.
    pub(crate) fn unused() -> Vec<u8> {
        let mut bytes = encode_slot(0, &Head::default()).to_vec();
        bytes.extend_from_slice(&encode_slot(1, &Head::default()));
        bytes
    }

    /// Reads the newest slot that is whole.
    pub(crate) fn read(path: &Path) -> Result<ReadHead, PersistenceError> {
        let mut bytes = Vec::with_capacity(2 * SLOT_BYTES);
        let read =
            File::open(path).and_then(|file| file.take(2 * SLOT_BYTES as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PersistenceError::damaged(path, Damage::Missing));
            }
            Err(source) => return Err(PersistenceError::io("read", path, source)),
        }
        Self::decode(&bytes, path)
    }

    /// Takes the newest slot that is whole from the bytes of the file at `path`.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<ReadHead, PersistenceError> {
        if bytes.len() != 2 * SLOT_BYTES {
            return Err(PersistenceError::damaged(path, Damage::Unreadable));
        }
        let (first, second) = bytes.split_at(SLOT_BYTES);
        let (generation, head, slot_lost) = match (decode_slot(first, 0), decode_slot(second, 1)) {
            (Some(a), Some(b)) => {
                let newest = if a.0 > b.0 { a } else { b };
                (newest.0, newest.1, false)
            }
            (Some((generation, head)), None) | (None, Some((generation, head))) => (generation, head, true),
            (None, None) => return Err(PersistenceError::damaged(path, Damage::Unreadable)),
        };
        Ok(ReadHead { head, generation, slot_lost })
    }

    /// Opens the file to write heads that follow the one that was read.
    pub(crate) fn open(path: &Path, read: &ReadHead) -> Result<Self, PersistenceError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| PersistenceError::io("open", path, source))?;
        Ok(Self::over(Box::new(file), path, read))
    }

    /// Goes on with slots that were read.
    pub(crate) fn over(slots: Box<dyn HeadSlots>, path: &Path, read: &ReadHead) -> Self {
        Self { slots, path: path.to_path_buf(), generation: read.generation, head: read.head }
    }

    /// Overwrites the older slot and syncs it. After an error the file may say either head.
    pub(crate) fn advance(&mut self, head: Head) -> Result<(), PersistenceError> {
        debug_assert!(head.point.seq >= self.head.point.seq, "the head never goes back");
        let generation = self.generation + 1;
        let offset = (generation % 2) * SLOT_BYTES as u64;
        self.slots
            .overwrite(&encode_slot(generation, &head), offset)
            .and_then(|()| self.slots.sync())
            .map_err(|source| PersistenceError::io("write", &self.path, source))?;
        self.generation = generation;
        self.head = head;
        Ok(())
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }
}

fn encode_slot(generation: u64, head: &Head) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    slot[16..24].copy_from_slice(&generation.to_le_bytes());
    slot[24..32].copy_from_slice(&head.point.seq.to_le_bytes());
    slot[32..64].copy_from_slice(&head.point.hash);
    slot[64..72].copy_from_slice(&head.timestamp.to_le_bytes());
    let checksum = blake3::hash(&slot[..CHECKSUM_AT]);
    slot[CHECKSUM_AT..].copy_from_slice(checksum.as_bytes());
    slot
}

fn decode_slot(slot: &[u8], index: u64) -> Option<(u64, Head)> {
    let u64_at = |offset: usize| {
        u64::from_le_bytes(slot[offset..offset + 8].try_into().expect("eight bytes make a u64"))
    };
    let generation = u64_at(16);
    let whole = blake3::hash(&slot[..CHECKSUM_AT]).as_bytes() == &slot[CHECKSUM_AT..]
        && &slot[..8] == MAGIC
        && slot[8..10] == FORMAT_VERSION.to_le_bytes()
        && generation % 2 == index;
    let hash = slot[32..64].try_into().expect("thirty-two bytes make a hash");
    whole.then(|| (generation, Head { point: ChainPoint { seq: u64_at(24), hash }, timestamp: u64_at(64) }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn head(seq: u64) -> Head {
        Head { point: ChainPoint { seq, hash: [seq as u8; 32] }, timestamp: seq * 10 }
    }

    fn file_with_heads(path: &Path, seqs: std::ops::RangeInclusive<u64>) {
        HeadFile::create(path).unwrap();
        let mut file = HeadFile::open(path, &HeadFile::read(path).unwrap()).unwrap();
        for seq in seqs {
            file.advance(head(seq)).unwrap();
        }
    }

    #[test]
    fn the_newest_head_is_read_back_after_any_number_of_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        HeadFile::create(&path).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap().head, Head::default());
        for seq in 1..10 {
            let read = HeadFile::read(&path).unwrap();
            assert!(!read.slot_lost);
            HeadFile::open(&path, &read).unwrap().advance(head(seq)).unwrap();
            assert_eq!(HeadFile::read(&path).unwrap().head, head(seq));
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 8192);
    }

    #[test]
    fn a_torn_write_leaves_the_head_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        file_with_heads(&path, 1..=5);
        let before = fs::read(&path).unwrap();
        file_with_heads(&path, 1..=6);
        let after = fs::read(&path).unwrap();
        let changed: Vec<usize> = (0..8192).filter(|&at| before[at] != after[at]).collect();
        for cut in (0..8192).step_by(7).chain(changed.iter().copied()) {
            let mut torn = after[..cut].to_vec();
            torn.extend_from_slice(&before[cut..]);
            fs::write(&path, &torn).unwrap();
            let read = HeadFile::read(&path).unwrap();
            assert!(read.head == head(5) || read.head == head(6), "cut at {cut}: {read:?}");
            // The lost slot is the one that is written next.
            HeadFile::open(&path, &read).unwrap().advance(head(7)).unwrap();
            let repaired = HeadFile::read(&path).unwrap();
            assert!(repaired.head == head(7) && !repaired.slot_lost, "cut at {cut}: {repaired:?}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_slot_and_two_cost_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        file_with_heads(&path, 1..=4);
        let whole = fs::read(&path).unwrap();
        for at in (0..8192).step_by(61) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            let read = HeadFile::read(&path).unwrap();
            assert!(read.slot_lost, "the flip at {at} went unseen");
            assert_eq!(read.head, if at < SLOT_BYTES { head(4) } else { head(3) });
            flipped[(at + SLOT_BYTES) % 8192] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            let refused = HeadFile::read(&path).unwrap_err();
            assert!(matches!(refused, PersistenceError::Damaged { damage: Damage::Unreadable, .. }));
        }
    }

    #[test]
    fn a_head_of_the_wrong_length_or_missing_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        for length in [0, 1, 4095, 4096, 8191, 8193, 20_000] {
            fs::write(&path, vec![0; length]).unwrap();
            let refused = HeadFile::read(&path).unwrap_err();
            assert!(
                matches!(refused, PersistenceError::Damaged { damage: Damage::Unreadable, .. }),
                "{length}"
            );
        }
        fs::remove_file(&path).unwrap();
        let refused = HeadFile::read(&path).unwrap_err();
        assert!(matches!(refused, PersistenceError::Damaged { damage: Damage::Missing, .. }));
    }

    #[test]
    fn a_head_that_is_there_and_cannot_be_read_is_no_damage() {
        // Of a directory, reading fails, and opening does not.
        let directory = tempfile::tempdir().unwrap();
        let refused = HeadFile::read(directory.path()).unwrap_err();
        assert!(matches!(refused, PersistenceError::Io { .. }), "{refused:?}");
    }

    #[test]
    fn a_head_that_is_followed_by_anything_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        file_with_heads(&path, 1..=3);
        let mut longer = fs::read(&path).unwrap();
        longer.push(0);
        fs::write(&path, &longer).unwrap();
        let refused = HeadFile::read(&path).unwrap_err();
        assert!(matches!(refused, PersistenceError::Damaged { damage: Damage::Unreadable, .. }));
    }
}
