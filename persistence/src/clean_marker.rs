//! `CLEAN`: what a clean stop left behind, so that the next open can tell untouched files without a copy.
//!
//! It names the head and the length and BLAKE3 of every file in the journal's directory. As long as those still match, nothing
//! was torn and nothing has rotted, and the journal may be opened in place. It is removed before anything else is
//! changed, and a marker that is damaged or does not match only means that the long check is made.
//!
//! It is text, one item a line, fields parted by one space:
//!
//! ```text
//! bursar stopped cleanly 1
//! head SEQ HASH
//! file NAME BYTES HASH        (once a file)
//! check HASH                  (BLAKE3 of all lines before)
//! ```

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    path::Path,
};

use crate::{
    durable_write::{remove_durably, write_durably},
    error::PersistenceError,
    journal::ChainPoint,
};

const TITLE: &str = "bursar stopped cleanly 1";

/// The marker of a clean stop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CleanMarker {
    pub(crate) head: ChainPoint,
    files: Vec<FileFingerprint>,
}

#[derive(Debug, PartialEq, Eq)]
struct FileFingerprint {
    name: String,
    bytes: u64,
    hash: String,
}

impl CleanMarker {
    /// Reads every file of `journal` and writes the marker durably.
    pub(crate) fn write(path: &Path, journal: &Path, head: ChainPoint) -> Result<(), PersistenceError> {
        let marker = Self { head, files: fingerprints(journal)? };
        write_durably(path, marker.to_text().as_bytes())
    }

    /// Reads a marker. None if there is none, or none that is whole.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, PersistenceError> {
        match fs::read(path) {
            Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(Self::from_text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PersistenceError::io("read", path, source)),
        }
    }

    /// Removes the marker durably.
    pub(crate) fn remove(path: &Path) -> Result<bool, PersistenceError> {
        remove_durably(path)
    }

    /// Whether the journal's files are byte for byte those of the clean stop.
    pub(crate) fn matches(&self, journal: &Path) -> Result<bool, PersistenceError> {
        Ok(fingerprints(journal)? == self.files)
    }

    fn to_text(&self) -> String {
        let head_hash = blake3::Hash::from_bytes(self.head.hash).to_hex();
        let mut text = format!("{TITLE}\nhead {} {head_hash}\n", self.head.seq);
        for file in &self.files {
            let _ = writeln!(text, "file {} {} {}", file.name, file.bytes, file.hash);
        }
        let check = blake3::hash(text.as_bytes()).to_hex();
        let _ = writeln!(text, "check {check}");
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let checked = &text[..text.rfind("check ")?];
        let mut lines = checked.lines();
        if lines.next() != Some(TITLE) {
            return None;
        }
        let (seq, hash) = lines.next()?.strip_prefix("head ")?.split_once(' ')?;
        let hash = *blake3::Hash::from_hex(hash).ok()?.as_bytes();
        let head = ChainPoint { seq: seq.parse().ok()?, hash };
        let mut files = Vec::new();
        for line in lines {
            let mut fields = line.strip_prefix("file ")?.split(' ');
            let (name, bytes, hash) = (fields.next()?, fields.next()?, fields.next()?);
            files.push(FileFingerprint { name: name.into(), bytes: bytes.parse().ok()?, hash: hash.into() });
        }
        let marker = Self { head, files };
        // Writing it again must give the same bytes: this checks the check line, too.
        (marker.to_text() == text).then_some(marker)
    }
}

fn fingerprints(journal: &Path) -> Result<Vec<FileFingerprint>, PersistenceError> {
    let mut names = Vec::new();
    let entries = fs::read_dir(journal).map_err(|source| PersistenceError::io("list", journal, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| PersistenceError::io("list", journal, source))?;
        if entry.path().is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    names.into_iter().map(|name| fingerprint(journal, name)).collect()
}

fn fingerprint(journal: &Path, name: String) -> Result<FileFingerprint, PersistenceError> {
    let path = journal.join(&name);
    let mut hasher = blake3::Hasher::new();
    let mut read = || {
        let mut file = File::open(&path)?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            let length = io::Read::read(&mut file, &mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            hasher.update(&chunk[..length]);
        }
    };
    read().map_err(|source| PersistenceError::io("read", &path, source))?;
    Ok(FileFingerprint { name, bytes: hasher.count(), hash: hasher.finalize().to_hex().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(directory: &Path) -> std::path::PathBuf {
        let journal = directory.join("journal");
        fs::create_dir(&journal).unwrap();
        fs::write(journal.join("db"), vec![5; 3_000_000]).unwrap();
        fs::write(journal.join("conf"), b"segment").unwrap();
        CleanMarker::write(&directory.join("CLEAN"), &journal, ChainPoint { seq: 77, hash: [8; 32] })
            .unwrap();
        journal
    }

    #[test]
    fn a_marker_matches_the_files_that_it_was_made_of_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let journal = sample(directory.path());
        let marker =
            CleanMarker::read(&directory.path().join("CLEAN")).unwrap().expect("the marker is whole");
        assert_eq!(marker.head, ChainPoint { seq: 77, hash: [8; 32] });
        assert!(marker.matches(&journal).unwrap());
        let mut db = fs::read(journal.join("db")).unwrap();
        db[2_999_999] ^= 1;
        fs::write(journal.join("db"), &db).unwrap();
        assert!(!marker.matches(&journal).unwrap());
        db[2_999_999] ^= 1;
        fs::write(journal.join("db"), &db).unwrap();
        assert!(marker.matches(&journal).unwrap());
        fs::write(journal.join("snap.1"), b"").unwrap();
        assert!(!marker.matches(&journal).unwrap());
    }

    #[test]
    fn a_marker_that_is_cut_or_flipped_is_no_marker() {
        let directory = tempfile::tempdir().unwrap();
        sample(directory.path());
        let path = directory.path().join("CLEAN");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(CleanMarker::read(&path).unwrap(), None, "{length} bytes were taken for whole");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            assert_eq!(CleanMarker::read(&path).unwrap(), None, "bit {bit} went unseen");
        }
    }
}
