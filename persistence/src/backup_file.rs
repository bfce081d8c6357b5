//! A backup: a ledger's records, from the first one to the last that it holds, in one file that says of itself whether it is whole.
//!
//! | bytes | what                                                                                               |
//! |-------|----------------------------------------------------------------------------------------------------|
//! | 16    | `bursar backup 1` and a line feed                                                                  |
//! | F     | one LZ4 frame with checksums                                                                       |
//! | 16    | `end of backup 1` and a line feed                                                                  |
//!
//! In the frame, integers little-endian:
//!
//! | bytes | what                                                                                               |
//! |-------|----------------------------------------------------------------------------------------------------|
//! | 4, L  | a record's length L and its bytes, as in the journal; as often as there are records                |
//! | 4     | zero: there are no more                                                                            |
//! | 8, 32 | the last entry's sequence number and the last record's hash; zero for none                         |
//!
//! Each record carries the hash of the one before it, so the last hash stands for all of them.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::{
    chain::Chain,
    error::{BackupDamage, Damage, PersistenceError},
    head_file::Head,
    journal::ChainPoint,
    new_file::NewFile,
    record::{MAX_RECORD_BYTES, Record, RecordHash},
};

const MAGIC: &[u8; 16] = b"bursar backup 1\n";
const END: &[u8; 16] = b"end of backup 1\n";
const MAGIC_PREFIX: &[u8] = b"bursar backup ";

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Records.
    pub records: u64,
    /// Entries in them; also the last one's sequence number.
    pub entries: u64,
    /// The hash of the last record, which stands for all of them; zero for none.
    pub hash: RecordHash,
    /// The time of the newest entry, in nanoseconds since 1970; 0 for none.
    pub last_timestamp_ns: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

impl BackupReport {
    fn of(chain: &Chain, records: u64, file_bytes: u64) -> Self {
        let Head { point, timestamp } = chain.tip().unwrap_or_default();
        Self { records, entries: point.seq, hash: point.hash, last_timestamp_ns: timestamp, file_bytes }
    }

    pub(crate) fn head(&self) -> Head {
        let point = ChainPoint { seq: self.entries, hash: self.hash };
        Head { point, timestamp: self.last_timestamp_ns }
    }
}

/// A backup that is being written. Dropped before it is finished, it is removed.
pub struct BackupWriter {
    path: PathBuf,
    place: NewFile,
    frame: FrameEncoder<BufWriter<File>>,
    chain: Chain,
    records: u64,
}

impl fmt::Debug for BackupWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl BackupWriter {
    /// Begins a backup that will be at `path`, where nothing may be yet.
    pub fn create(path: &Path) -> Result<Self, PersistenceError> {
        let (place, file) = NewFile::create(path)?;
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC).map_err(|source| PersistenceError::io("write", place.unfinished(), source))?;
        let info =
            FrameInfo::new().block_size(BlockSize::Max256KB).block_checksums(true).content_checksum(true);
        Ok(Self {
            path: path.to_path_buf(),
            place,
            frame: FrameEncoder::with_frame_info(info, file),
            chain: Chain::from_the_start(),
            records: 0,
        })
    }

    /// Adds the next record, which must go on where the last one ended.
    pub fn add(&mut self, record: &Record) -> Result<(), PersistenceError> {
        self.chain.follow(record).map_err(|damage| PersistenceError::damaged(&self.path, damage))?;
        let bytes = record.as_bytes();
        self.write(&(bytes.len() as u32).to_le_bytes())?;
        self.write(bytes)?;
        self.records += 1;
        Ok(())
    }

    /// Writes the end. When it returns, the backup survives a power loss under its own name.
    pub fn finish(mut self) -> Result<BackupReport, PersistenceError> {
        let ChainPoint { seq, hash } = self.chain.end();
        self.write(&0_u32.to_le_bytes())?;
        self.write(&seq.to_le_bytes())?;
        self.write(&hash)?;
        let Self { place, frame, chain, records, .. } = self;
        let end = || {
            let mut buffered = frame.finish().map_err(io::Error::from)?;
            buffered.write_all(END)?;
            buffered.into_inner().map_err(io::IntoInnerError::into_error)
        };
        let file = end().map_err(|source| PersistenceError::io("write", place.unfinished(), source))?;
        Ok(BackupReport::of(&chain, records, place.keep(&file)?))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PersistenceError> {
        self.frame
            .write_all(bytes)
            .map_err(|source| PersistenceError::io("write", self.place.unfinished(), source))
    }
}

/// A backup that is being read, record by record, each checked against its hash and the one before it.
pub(crate) struct BackupReader<R: Read> {
    path: PathBuf,
    frame: FrameDecoder<Counted<R>>,
    chain: Chain,
    records: u64,
    /// The end has been read, or an error.
    ended: bool,
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

impl<R: Read> fmt::Debug for BackupReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl BackupReader<BufReader<File>> {
    /// Opens the backup at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, PersistenceError> {
        let file = File::open(path).map_err(|source| PersistenceError::io("read", path, source))?;
        Self::read_from(path, BufReader::with_capacity(256 << 10, file))
    }
}

impl<R: Read> BackupReader<R> {
    /// Reads a backup from `source`; errors name `path`.
    pub(crate) fn read_from(path: &Path, mut source: R) -> Result<Self, PersistenceError> {
        let mut magic = Vec::with_capacity(MAGIC.len());
        let read = source.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic);
        read.map_err(|source| PersistenceError::io("read", path, source))?;
        if magic != MAGIC {
            let damage = if magic.starts_with(MAGIC_PREFIX) {
                BackupDamage::OtherVersion
            } else {
                BackupDamage::NotABackup
            };
            return Err(PersistenceError::damaged_backup(path, damage));
        }
        Ok(Self {
            path: path.to_path_buf(),
            frame: FrameDecoder::new(Counted { inner: source, bytes: MAGIC.len() as u64 }),
            chain: Chain::from_the_start(),
            records: 0,
            ended: false,
        })
    }

    /// What has been read so far.
    pub(crate) fn report(&self) -> BackupReport {
        BackupReport::of(&self.chain, self.records, self.frame.get_ref().bytes)
    }

    /// The next entry's sequence number.
    pub(crate) fn next_seq(&self) -> u64 {
        self.chain.end().seq + 1
    }

    /// The next record; `None` at the end, once that is known to be the end that was written.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, PersistenceError> {
        if self.ended {
            return Ok(None);
        }
        // Whatever goes wrong, nothing is read after it.
        self.ended = true;
        let length = u32::from_le_bytes(self.read()?) as usize;
        if length == 0 {
            self.check_end()?;
            return Ok(None);
        }
        if length > MAX_RECORD_BYTES {
            return Err(PersistenceError::damaged_backup(&self.path, BackupDamage::Unreadable));
        }
        let mut bytes = vec![0; length];
        self.read_into(&mut bytes)?;
        let record = Record::decode(bytes).map_err(|error| Damage::BadRecord { seq: self.next_seq(), error });
        let followed = record.and_then(|record| self.chain.follow(&record).map(|()| record));
        let record = followed
            .map_err(|damage| PersistenceError::damaged_backup(&self.path, BackupDamage::Record(damage)))?;
        self.records += 1;
        self.ended = false;
        Ok(Some(record))
    }

    fn check_end(&mut self) -> Result<(), PersistenceError> {
        let seq = u64::from_le_bytes(self.read()?);
        let hash: RecordHash = self.read()?;
        let after = self.frame.read(&mut [0]).map_err(|error| self.cannot_read(&error))?;
        let mut end = Vec::with_capacity(END.len() + 1);
        let read = self.frame.get_mut().take(END.len() as u64 + 1).read_to_end(&mut end);
        read.map_err(|source| PersistenceError::io("read", &self.path, source))?;
        let damage = if end.len() < END.len() && END.starts_with(&end) {
            BackupDamage::CutOff
        } else if after != 0 || end != END || (ChainPoint { seq, hash }) != self.chain.end() {
            BackupDamage::OtherEnd
        } else {
            return Ok(());
        };
        Err(PersistenceError::damaged_backup(&self.path, damage))
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], PersistenceError> {
        let mut bytes = [0; N];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&mut self, bytes: &mut [u8]) -> Result<(), PersistenceError> {
        self.frame.read_exact(bytes).map_err(|error| self.cannot_read(&error))
    }

    /// The disk, or what is on it?
    fn cannot_read(&self, error: &io::Error) -> PersistenceError {
        let damage = match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupDamage::CutOff,
            _ if error.raw_os_error().is_some() => {
                let source = io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default());
                return PersistenceError::io("read", &self.path, source);
            }
            _ => BackupDamage::Unreadable,
        };
        PersistenceError::damaged_backup(&self.path, damage)
    }
}
