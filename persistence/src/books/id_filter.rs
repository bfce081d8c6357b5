//! Which transfer ids the books surely do not hold, answered from memory.
//!
//! Nearly every id that a client sends is new. The engine answers for a random id that it does not hold only after reading
//! a block of every table, ten microseconds with few and a hundred with many; this filter says so after one or a few cache
//! misses. It is a row of *levels*, each a blocked Bloom filter: all eight bits of an id lie in one cache line, one in each
//! of its words. With twenty bits an id, about one absent id in five thousand is taken for a possible hit, a level (with
//! sixteen, one in a thousand, which took 5% of the processors with 50 million ids). Each level also knows its least and
//! greatest id, so that ids that grow with time touch none of the bits of older levels.
//!
//! Bits are only ever set. So the newest level is shared by all views: that it already holds ids which are newer than a view makes an
//! answer slower and not wrong. What is not in the filter is not in the books; whoever sees a possible hit asks the books.
//!
//! Each level is one file, `ids.filter.N` with N from 1, all integers little-endian:
//!
//! | offset   | bytes | field                                                                      |
//! |----------|-------|----------------------------------------------------------------------------|
//! | 0        | 8     | `bursarid`                                                                 |
//! | 8        | 4     | format version, 2                                                          |
//! | 12       | 4     | N                                                                          |
//! | 16       | 8     | the first entry whose ids are in it                                        |
//! | 24       | 8     | the last one                                                               |
//! | 32       | 8     | ids in it                                                                  |
//! | 40       | 8     | ids that it is made for                                                    |
//! | 48       | 16    | the least id                                                               |
//! | 64       | 16    | the greatest id                                                            |
//! | 80       | 16    | two numbers, drawn at random when the level was begun, that the hash starts from |
//! | 96       | 64 B  | the bits, in B blocks of eight words; B follows from the ids it is made for |
//! | 96 + 64 B | 32   | BLAKE3 of everything before it                                             |
//!
//! A file is written whole under another name, synced and then renamed. Only the newest level changes. It may lag behind the books by
//! a bounded number of entries; whoever opens the books adds their ids again from the records.

use crate::durable_write::sync_directory;
use crate::error::{BooksDamage, PersistenceError};
#[cfg(any(test, feature = "simulated-disk"))]
use crate::simulated_disk::SimulatedDisk;
use ledger::TransferId;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Read, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: [u8; 8] = *b"bursarid";
const FORMAT: u32 = 2;
const HEADER_BYTES: usize = 96;
const HASH_BYTES: usize = 32;
const WORDS_PER_BLOCK: usize = 8;
const BITS_PER_ID: u64 = 20;
pub(crate) const PREFIX: &str = "ids.filter.";
const UNFINISHED: &str = "unfinished.ids.filter";
/// How much of a file is read or written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many ids the levels are made for: each twice the one before it, up to a greatest one.
///
/// With those of the default, 50 million ids take 6 levels and 126 MiB, most of it in two of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LevelSizes {
    /// Ids in the first level.
    pub(crate) first: u64,
    /// Ids in the greatest.
    pub(crate) greatest: u64,
}

impl Default for LevelSizes {
    fn default() -> Self {
        Self { first: 1 << 20, greatest: 32 << 20 }
    }
}

/// What is known to be in the files, whatever happens: the books' marker says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FilterMark {
    /// How many levels have a file.
    pub(crate) levels: u32,
    /// Up to which entry the files hold all ids.
    pub(crate) seq: u64,
}

/// The filter as a view sees it; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct IdFilter {
    levels: Arc<[Level]>,
}

impl IdFilter {
    /// Whether the books may hold `id`. `false` is certain.
    #[inline]
    pub fn may_contain(&self, id: TransferId) -> bool {
        // The newest first: a second request with an id mostly comes soon after the first.
        self.levels.iter().rev().any(|level| level.may_contain(id.0))
    }

    /// The entries that an id may be of, those of one level after the other, the newest first.
    pub(crate) fn entries_with(&self, id: TransferId) -> impl Iterator<Item = RangeInclusive<u64>> {
        let levels = self.levels.iter().rev().filter(move |level| level.may_contain(id.0));
        levels.map(|level| level.first_seq..=level.last_seq)
    }

    /// Bytes of memory that the bits take.
    pub fn memory_bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&*level.bits.words)).sum()
    }
}

#[derive(Clone, Debug)]
struct Level {
    bits: Arc<Bits>,
    first_seq: u64,
    last_seq: u64,
    ids: u64,
    capacity: u64,
    least: u128,
    greatest: u128,
}

#[derive(Debug)]
struct Bits {
    words: Box<[AtomicU64]>,
    seeds: [u64; 2],
}

impl Bits {
    fn new(capacity: u64, seeds: [u64; 2]) -> Self {
        let words = (0..blocks_for(capacity) * WORDS_PER_BLOCK).map(|_| AtomicU64::new(0)).collect();
        Self { words, seeds }
    }

    /// The block of an id, and the number whose bits choose one bit in each of its words.
    #[inline]
    fn place(&self, id: u128) -> (&[AtomicU64], u64) {
        let mixed = fold(id as u64 ^ self.seeds[0], (id >> 64) as u64 ^ self.seeds[1]);
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u64;
        let block = ((u128::from(mixed) * u128::from(blocks)) >> 64) as usize * WORDS_PER_BLOCK;
        (&self.words[block..block + WORDS_PER_BLOCK], fold(mixed ^ self.seeds[1], 0x9e37_79b9_7f4a_7c15))
    }

    #[inline]
    fn may_contain(&self, id: u128) -> bool {
        let (block, choice) = self.place(id);
        // Views reach this by way of a lock that was released after the bits were set.
        block.iter().zip(masks(choice)).all(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
    }

    fn insert(&self, id: u128) {
        let (block, choice) = self.place(id);
        for (word, mask) in block.iter().zip(masks(choice)) {
            // There is one writer.
            word.store(word.load(Ordering::Relaxed) | mask, Ordering::Relaxed);
        }
    }
}

#[inline]
fn masks(choice: u64) -> impl Iterator<Item = u64> {
    (0..WORDS_PER_BLOCK).map(move |word| 1 << ((choice >> (6 * word)) & 63))
}

/// Both halves of a product, added without carry: every bit of the result depends on every bit of both.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left | 1 << 63) * u128::from(right | 1);
    (product as u64) ^ ((product >> 64) as u64) ^ left ^ right.rotate_left(32)
}

fn blocks_for(capacity: u64) -> usize {
    (capacity * BITS_PER_ID).div_ceil(WORDS_PER_BLOCK as u64 * 64) as usize
}

impl Level {
    fn begin(first_seq: u64, capacity: u64) -> Self {
        // Drawn by the system: ids are chosen by peers, who must not be able to choose which bits they set.
        let random = RandomState::new();
        let seeds = [random.hash_one(1_u8), random.hash_one(2_u8)];
        Self {
            bits: Arc::new(Bits::new(capacity, seeds)),
            first_seq,
            last_seq: first_seq - 1,
            ids: 0,
            capacity,
            least: u128::MAX,
            greatest: 0,
        }
    }

    #[inline]
    fn may_contain(&self, id: u128) -> bool {
        self.least <= id && id <= self.greatest && self.bits.may_contain(id)
    }

    fn insert(&mut self, id: u128) {
        self.bits.insert(id);
        self.ids += 1;
        self.least = self.least.min(id);
        self.greatest = self.greatest.max(id);
    }

    /// Writes the file of this number.
    fn write(&self, number: u32, file: &mut impl Write) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        let header = self.header(number);
        hasher.update(&header);
        file.write_all(&header)?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for words in self.bits.words.chunks(CHUNK_BYTES / 8) {
            chunk.clear();
            for word in words {
                chunk.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            hasher.update(&chunk);
            file.write_all(&chunk)?;
        }
        file.write_all(hasher.finalize().as_bytes())
    }

    fn header(&self, number: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let mut rest = &mut header[..];
        let mut put = |bytes: &[u8]| rest.write_all(bytes).expect("the header has room for its fields");
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&number.to_le_bytes());
        put(&self.first_seq.to_le_bytes());
        put(&self.last_seq.to_le_bytes());
        put(&self.ids.to_le_bytes());
        put(&self.capacity.to_le_bytes());
        put(&self.least.to_le_bytes());
        put(&self.greatest.to_le_bytes());
        put(&self.bits.seeds[0].to_le_bytes());
        put(&self.bits.seeds[1].to_le_bytes());
        header
    }
}

/// Where the files lie.
#[derive(Clone, Debug)]
pub(crate) enum FilterPlace {
    Directory(PathBuf),
    #[cfg(any(test, feature = "simulated-disk"))]
    Simulated(SimulatedDisk),
}

impl FilterPlace {
    fn path(&self, number: u32) -> PathBuf {
        match self {
            Self::Directory(directory) => level_path(directory, number),
            #[cfg(any(test, feature = "simulated-disk"))]
            Self::Simulated(disk) => level_path(&disk.books_path(), number),
        }
    }

    /// The level of this number; `None` if there is no such file.
    fn load(&self, number: u32) -> Result<Option<Level>, PersistenceError> {
        let path = self.path(number);
        match self {
            Self::Directory(_) => match File::open(&path) {
                Ok(file) => {
                    let length =
                        file.metadata().map_err(|source| PersistenceError::io("read", &path, source))?.len();
                    load(file, length, &path, number).map(Some)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(PersistenceError::io("open", &path, source)),
            },
            #[cfg(any(test, feature = "simulated-disk"))]
            Self::Simulated(disk) => {
                let Some(file) = disk.filter_file(number) else { return Ok(None) };
                load(&*file, file.len() as u64, &path, number).map(Some)
            }
        }
    }

    /// Writes the level of this number, whole or not at all. When it returns, it survives a power loss.
    fn store(&self, number: u32, level: &Level) -> Result<(), PersistenceError> {
        match self {
            Self::Directory(directory) => {
                let path = self.path(number);
                let unfinished = directory.join(UNFINISHED);
                let write = || {
                    let mut file = BufWriter::with_capacity(CHUNK_BYTES, File::create(&unfinished)?);
                    level.write(number, &mut file)?;
                    file.into_inner()?.sync_all()?;
                    fs::rename(&unfinished, &path)
                };
                write().map_err(|source| PersistenceError::io("write", &path, source))?;
                sync_directory(directory)
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            Self::Simulated(disk) => {
                let mut file = Vec::new();
                level.write(number, &mut file).expect("memory does not fail");
                disk.write_filter_file(number, file)
            }
        }
    }
}

/// The filter's files, and the only one who adds to it: the bookkeeper.
#[derive(Debug)]
pub(crate) struct IdFilterFiles {
    place: FilterPlace,
    sizes: LevelSizes,
    levels: Vec<Level>,
    /// Up to which entry all ids are in `levels`.
    through_seq: u64,
    written: FilterMark,
    /// The first level whose file is not as the level is.
    first_changed: usize,
}

impl IdFilterFiles {
    /// Loads the levels in `directory`, which must hold at least what `mark` says.
    pub(crate) fn open(
        directory: &Path,
        mark: FilterMark,
        sizes: LevelSizes,
    ) -> Result<Self, PersistenceError> {
        remove_leftover(directory)?;
        Self::open_at(FilterPlace::Directory(directory.to_path_buf()), mark, sizes)
    }

    /// From now on the files are those in `directory`, of which those that were loaded are a copy.
    pub(crate) fn take_place(&mut self, directory: &Path) -> Result<(), PersistenceError> {
        remove_leftover(directory)?;
        self.place = FilterPlace::Directory(directory.to_path_buf());
        Ok(())
    }

    /// As [`Self::open`], wherever the files lie.
    pub(crate) fn open_at(
        place: FilterPlace,
        mark: FilterMark,
        sizes: LevelSizes,
    ) -> Result<Self, PersistenceError> {
        let mut files = Self {
            place,
            sizes,
            levels: Vec::new(),
            through_seq: 0,
            written: FilterMark::default(),
            first_changed: 0,
        };
        for number in 1_u32.. {
            let damaged =
                |number, damage| Err(PersistenceError::damaged_books(&files.place.path(number), damage));
            let Some(level) = files.place.load(number)? else {
                if number <= mark.levels {
                    return damaged(number, BooksDamage::Missing);
                }
                if files.through_seq < mark.seq {
                    let damage = BooksDamage::Old { holds: files.through_seq, should: mark.seq };
                    return damaged(number - 1, damage);
                }
                break;
            };
            if level.first_seq != files.through_seq + 1 {
                let (expected, found) = (files.through_seq + 1, level.first_seq);
                return damaged(number, BooksDamage::Gap { expected, found });
            }
            files.through_seq = level.last_seq;
            files.levels.push(level);
        }
        files.written = FilterMark { levels: files.levels.len() as u32, seq: files.through_seq };
        files.first_changed = files.levels.len();
        Ok(files)
    }

    /// Adds the ids of the entry `seq`; they may be there already. Entries come in order, those with no id may be left out.
    pub(crate) fn add(&mut self, id: TransferId, seq: u64) {
        if seq <= self.written.seq {
            return;
        }
        if self.levels.last().is_none_or(|level| level.ids >= level.capacity && level.last_seq < seq) {
            if let Some(full) = self.levels.last_mut() {
                full.last_seq = seq - 1;
                self.first_changed = self.first_changed.min(self.levels.len() - 1);
            }
            let capacity = self.capacity_of(self.levels.len());
            let first_seq = self.levels.last().map_or(1, |full| full.last_seq + 1);
            self.levels.push(Level::begin(first_seq, capacity));
        }
        let newest = self.levels.len() - 1;
        self.first_changed = self.first_changed.min(newest);
        let level = &mut self.levels[newest];
        level.insert(id.0);
        level.last_seq = level.last_seq.max(seq);
        self.through_seq = self.through_seq.max(seq);
    }

    /// Says that all ids of the entries up to `seq` were added.
    pub(crate) fn advance_to(&mut self, seq: u64) {
        if seq <= self.through_seq {
            return;
        }
        self.through_seq = seq;
        if self.levels.is_empty() {
            // Even with no id in it, so that there is a file to say up to where there is none.
            self.levels.push(Level::begin(1, self.capacity_of(0)));
        }
        if let Some(level) = self.levels.last_mut() {
            level.last_seq = seq;
            self.first_changed = self.first_changed.min(self.levels.len() - 1);
        }
    }

    /// Up to which entry all ids are in the files.
    pub(crate) fn written(&self) -> FilterMark {
        self.written
    }

    /// How many entries the files lag behind.
    pub(crate) fn lag(&self) -> u64 {
        self.through_seq - self.written.seq
    }

    /// Writes the levels that have changed. When it returns, they survive a power loss.
    pub(crate) fn write(&mut self) -> Result<FilterMark, PersistenceError> {
        for index in self.first_changed..self.levels.len() {
            self.place.store(index as u32 + 1, &self.levels[index])?;
            self.first_changed = index + 1;
        }
        self.written = FilterMark {
            levels: self.levels.len() as u32,
            seq: self.levels.last().map_or(0, |level| level.last_seq),
        };
        Ok(self.written)
    }

    /// The filter as it is now.
    pub(crate) fn filter(&self) -> IdFilter {
        IdFilter { levels: self.levels.as_slice().into() }
    }

    fn capacity_of(&self, index: usize) -> u64 {
        let doubled = u32::try_from(index).ok().and_then(|index| self.sizes.first.checked_shl(index));
        doubled.map_or(self.sizes.greatest, |capacity| capacity.min(self.sizes.greatest)).max(1)
    }
}

/// Removes what a crash left of a file that was being written.
fn remove_leftover(directory: &Path) -> Result<(), PersistenceError> {
    let leftover = directory.join(UNFINISHED);
    match fs::remove_file(&leftover) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PersistenceError::io("remove", &leftover, error))
        }
        _ => Ok(()),
    }
}

fn level_path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{number}"))
}

/// Reads and checks a level's file. Nothing is allocated that the file's own length, in bytes, does not account for.
fn load(mut file: impl Read, length: u64, path: &Path, number: u32) -> Result<Level, PersistenceError> {
    let fault = |source| PersistenceError::io("read", path, source);
    let damaged = || PersistenceError::damaged_books(path, BooksDamage::Unreadable);
    let mut header = [0; HEADER_BYTES];
    if length < (HEADER_BYTES + HASH_BYTES) as u64 {
        return Err(damaged());
    }
    file.read_exact(&mut header).map_err(fault)?;
    let u64_at = |offset: usize| {
        u64::from_le_bytes(header[offset..offset + 8].try_into().expect("eight bytes make a u64"))
    };
    let u128_at = |offset: usize| {
        u128::from_le_bytes(header[offset..offset + 16].try_into().expect("sixteen bytes make a u128"))
    };
    let u32_at = |offset: usize| u64_at(offset) as u32;
    let (first_seq, last_seq, capacity) = (u64_at(16), u64_at(24), u64_at(40));
    let bits_bytes = length - (HEADER_BYTES + HASH_BYTES) as u64;
    let sound = header[..8] == MAGIC
        && u32_at(8) == FORMAT
        && u32_at(12) == number
        && (1..=last_seq).contains(&first_seq)
        && (1..u64::MAX / BITS_PER_ID - 512).contains(&capacity)
        && blocks_for(capacity) as u64 * WORDS_PER_BLOCK as u64 * 8 == bits_bytes;
    if !sound {
        return Err(damaged());
    }
    let mut level = Level {
        bits: Arc::new(Bits { words: Box::default(), seeds: [u64_at(80), u64_at(88)] }),
        first_seq,
        last_seq,
        ids: u64_at(32),
        capacity,
        least: u128_at(48),
        greatest: u128_at(64),
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header);
    let mut words = Vec::with_capacity(bits_bytes as usize / 8);
    let mut chunk = vec![0; CHUNK_BYTES.min(bits_bytes as usize)];
    while words.len() < words.capacity().min(bits_bytes as usize / 8) {
        let left = bits_bytes as usize - words.len() * 8;
        let part = &mut chunk[..left.min(CHUNK_BYTES)];
        file.read_exact(part).map_err(fault)?;
        hasher.update(part);
        let (eights, _) = part.as_chunks::<8>();
        words.extend(eights.iter().map(|eight| AtomicU64::new(u64::from_le_bytes(*eight))));
    }
    let mut hash = [0; HASH_BYTES];
    file.read_exact(&mut hash).map_err(fault)?;
    if hasher.finalize().as_bytes() != &hash {
        return Err(damaged());
    }
    level.bits = Arc::new(Bits { words: words.into_boxed_slice(), seeds: level.bits.seeds });
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: LevelSizes = LevelSizes { first: 8, greatest: 64 };

    fn open(directory: &Path, mark: FilterMark) -> Result<IdFilterFiles, PersistenceError> {
        IdFilterFiles::open(directory, mark, SMALL)
    }

    /// Ids without any order.
    fn scattered(n: u64) -> TransferId {
        let hash = blake3::hash(&n.to_le_bytes());
        TransferId(u128::from_le_bytes(hash.as_bytes()[..16].try_into().unwrap()))
    }

    fn filled(directory: &Path, entries: u64) -> FilterMark {
        let mut files = open(directory, FilterMark::default()).unwrap();
        for seq in 1..=entries {
            files.add(scattered(seq), seq);
        }
        files.write().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_added_is_found_by_every_later_view_and_after_reopening(
            // Ids an entry; whether to write after it; whether to reopen after it.
            entries in prop::collection::vec((prop::collection::vec(any::<u128>(), 0..4), 0_u8..4, 0_u8..8), 1..120)
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut files = open(directory.path(), FilterMark::default()).unwrap();
            let mut mark = FilterMark::default();
            for (index, (ids, write, reopen)) in entries.iter().enumerate() {
                let seq = index as u64 + 1;
                for &id in ids {
                    files.add(TransferId(id), seq);
                }
                files.advance_to(seq);
                if *write == 0 {
                    mark = files.write().unwrap();
                    prop_assert_eq!(files.written(), mark);
                }
                if *reopen == 0 {
                    drop(files);
                    files = open(directory.path(), mark).unwrap();
                    prop_assert_eq!(files.written(), mark);
                    // As whoever opens the books does, from the records; adding again what is there does no harm.
                    for (again, (ids, _, _)) in entries.iter().enumerate().take(index + 1) {
                        for &id in ids {
                            files.add(TransferId(id), again as u64 + 1);
                        }
                    }
                    files.advance_to(seq);
                }
                let filter = files.filter();
                for (seq, (ids, _, _)) in (1_u64..).zip(&entries[..=index]) {
                    for &id in ids {
                        prop_assert!(filter.may_contain(TransferId(id)));
                        prop_assert!(filter.entries_with(TransferId(id)).any(|seqs| seqs.contains(&seq)));
                    }
                }
            }
        }
    }

    #[test]
    fn few_absent_ids_are_taken_for_possible_hits() {
        let directory = tempfile::tempdir().unwrap();
        let sizes = LevelSizes { first: 1 << 14, greatest: 1 << 16 };
        let mut files = IdFilterFiles::open(directory.path(), FilterMark::default(), sizes).unwrap();
        // One full level, so that what is measured is the worst that a level gets.
        let entries = 1 << 14;
        (1..=entries).for_each(|seq| files.add(scattered(seq), seq));
        let filter = files.filter();
        assert_eq!(filter.levels.len(), 1);
        let taken = (entries + 1..=entries * 11).filter(|&n| filter.may_contain(scattered(n))).count();
        let share = taken as f64 / (entries * 10) as f64;
        assert!(share < 0.0005, "{share}");
        assert_eq!(filter.memory_bytes(), (entries as usize * 20).div_ceil(512) * 64);
    }

    #[test]
    fn ids_that_grow_with_time_touch_no_bits_of_older_levels() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = open(directory.path(), FilterMark::default()).unwrap();
        (1..=500).for_each(|seq| files.add(TransferId(u128::from(seq) << 64), seq));
        let filter = files.filter();
        let asked = TransferId(501 << 64);
        assert!(filter.levels.len() > 5);
        assert!(filter.levels.iter().all(|level| level.greatest < asked.0));
        assert!(!filter.may_contain(asked));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_of_every_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let mark = filled(directory.path(), 30);
        assert_eq!(mark, FilterMark { levels: 3, seq: 30 });
        for number in 1..=mark.levels {
            let path = level_path(directory.path(), number);
            let whole = fs::read(&path).unwrap();
            let refused = |bytes: &[u8]| {
                fs::write(&path, bytes).unwrap();
                let error = open(directory.path(), mark).unwrap_err().to_string();
                assert!(error.contains(&format!("{PREFIX}{number}")), "{error}");
            };
            for byte in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[byte] ^= 1 << (byte % 8);
                refused(&flipped);
            }
            for length in 0..whole.len() {
                refused(&whole[..length]);
            }
            let mut longer = whole.clone();
            longer.push(0);
            refused(&longer);
            fs::write(&path, &whole).unwrap();
            open(directory.path(), mark).expect("it is whole again");
        }
    }

    #[test]
    fn a_missing_old_or_exchanged_file_is_refused_by_name() {
        let check = |damage: &dyn Fn(&Path), named: u32| {
            let directory = tempfile::tempdir().unwrap();
            let early = filled(directory.path(), 20);
            let old = fs::read(level_path(directory.path(), early.levels)).unwrap();
            let mut files = open(directory.path(), early).unwrap();
            (1..=22).for_each(|seq| files.add(scattered(seq), seq));
            let mark = files.write().unwrap();
            assert_eq!(mark, FilterMark { levels: 2, seq: 22 });
            fs::write(directory.path().join("old"), old).unwrap();
            damage(directory.path());
            let error = open(directory.path(), mark).unwrap_err().to_string();
            assert!(error.contains(&format!("{PREFIX}{named}")), "{error}");
        };
        check(&|directory| fs::remove_file(level_path(directory, 1)).unwrap(), 1);
        check(&|directory| fs::remove_file(level_path(directory, 2)).unwrap(), 2);
        check(&|directory| fs::rename(directory.join("old"), level_path(directory, 2)).unwrap(), 2);
        check(&|directory| fs::rename(level_path(directory, 2), level_path(directory, 1)).unwrap(), 1);
    }

    #[test]
    fn what_a_crash_left_half_written_is_removed_and_what_is_ahead_of_the_marker_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let mark = filled(directory.path(), 20);
        fs::write(directory.path().join(UNFINISHED), b"half").unwrap();
        let files = open(directory.path(), FilterMark { levels: 1, seq: 8 }).unwrap();
        assert_eq!(files.written(), mark);
        assert!(!directory.path().join(UNFINISHED).exists());
    }

    #[test]
    fn entries_without_ids_need_not_be_read_again_either() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = open(directory.path(), FilterMark::default()).unwrap();
        files.advance_to(1000);
        let mark = files.write().unwrap();
        assert_eq!(mark, FilterMark { levels: 1, seq: 1000 });
        assert_eq!(open(directory.path(), mark).unwrap().written(), mark);
    }

    #[test]
    fn only_levels_that_have_changed_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let mark = filled(directory.path(), 20);
        let sealed = level_path(directory.path(), 1);
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let before = inode(&sealed);
        // Kept open, so that its number cannot be given to another file.
        let _kept = File::open(&sealed).unwrap();
        let mut files = open(directory.path(), mark).unwrap();
        files.add(scattered(21), 21);
        assert_eq!(files.lag(), 1);
        files.write().unwrap();
        assert_eq!(files.lag(), 0);
        assert_eq!(inode(&sealed), before);
    }
}
