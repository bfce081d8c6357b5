//! The small files of a directory: what is missing is told from what cannot be read, and nothing is taken for ours that
//! is not.

use crate::clean_marker::CleanMarker;
use crate::data_directory::{Completeness, DATA_FORMAT, DataDirectory};
use crate::durable_write::{remove_durably, write_durably};
use crate::error::PersistenceError;
use crate::journal::ChainPoint;
use crate::scratch_copy::{ScratchCopy, directory_bytes, for_each_file};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A name that leads to itself: it is there, and cannot be read, whoever asks.
fn unreadable(path: &Path) {
    symlink(path, path).unwrap();
}

fn is_io(error: &PersistenceError, expected_action: &str) -> bool {
    matches!(error, PersistenceError::Io { action, .. } if *action == expected_action)
}

#[test]
fn a_directory_is_empty_unfinished_complete_or_not_ours() {
    let check = |names: &[(&str, &str)], expected: Result<Completeness, &str>| {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in names {
            fs::write(directory.path().join(name), text).unwrap();
        }
        for read_only in [false, true] {
            let opened = if read_only {
                DataDirectory::open_read_only(directory.path())
            } else {
                DataDirectory::open(directory.path())
            };
            let found = opened.map(|(_, completeness)| completeness).map_err(|error| error.to_string());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{names:?}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{names:?}: {found}"),
                _ => panic!("{names:?}: {found:?}, not {expected:?}"),
            }
        }
    };
    let version = format!("bursar data format {DATA_FORMAT}\n");
    check(&[], Ok(Completeness::Empty));
    check(&[("LOCK", "1\n")], Ok(Completeness::Empty));
    check(&[("LOCK", "1\n"), ("head", "")], Ok(Completeness::Unfinished));
    check(&[("head.unfinished", "")], Ok(Completeness::Unfinished));
    check(&[("VERSION", &version)], Ok(Completeness::Complete));
    check(&[("VERSION", &version), ("somebody's", "")], Ok(Completeness::Complete));
    check(&[("somebody's", "")], Err("somebody's"));
    check(&[("VERSION", "bursar data format 2\n")], Err("2"));
    check(&[("VERSION", "bursar data format 0\n")], Err("damaged"));
    check(&[("VERSION", "bursar data format 1")], Err("damaged"));
    check(&[("VERSION", "bursar data format one\n")], Err("damaged"));
    check(&[("VERSION", "")], Err("damaged"));
}

#[test]
fn what_cannot_be_read_is_not_taken_for_missing() {
    let version = format!("bursar data format {DATA_FORMAT}\n");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("VERSION"), &version).unwrap();
    // A backup may be without a lock; one that is there has to be taken.
    assert!(DataDirectory::open_read_only(directory.path()).is_ok());
    unreadable(&directory.path().join("LOCK"));
    let error = DataDirectory::open_read_only(directory.path()).expect_err("its lock cannot be taken");
    assert!(is_io(&error, "open"), "{error:?}");

    let directory = tempfile::tempdir().unwrap();
    unreadable(&directory.path().join("VERSION"));
    let error = DataDirectory::open_read_only(directory.path()).expect_err("its version cannot be read");
    assert!(is_io(&error, "read"), "{error:?}");

    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("CLEAN");
    assert_eq!(CleanMarker::read(&marker).expect("there is none"), None);
    unreadable(&marker);
    assert!(CleanMarker::read(&marker).is_err());

    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = DataDirectory::open(&file).expect_err("it is a file");
    assert!(matches!(error, PersistenceError::NotADirectory { .. }), "{error:?}");
    let error = DataDirectory::open_read_only(&file).expect_err("it is a file");
    assert!(matches!(error, PersistenceError::NotADirectory { .. }), "{error:?}");
    let error = DataDirectory::open(&file.join("below")).expect_err("nothing can be made below a file");
    assert!(matches!(error, PersistenceError::NotADirectory { .. }), "{error:?}");
    let nowhere = directory.path().join("nowhere");
    unreadable(&nowhere);
    let error = DataDirectory::open(&nowhere).expect_err("it leads nowhere");
    assert!(is_io(&error, "read"), "{error:?}");
    assert!(DataDirectory::open_read_only(&directory.path().join("missing")).is_err());
    assert!(!directory.path().join("missing").exists(), "to look changes nothing");
}

#[test]
fn a_directory_is_made_for_its_owner_alone_and_locked() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a").join("b");
    let (directory, completeness) = DataDirectory::open(&path).expect("it is made");
    assert_eq!((directory.path(), completeness), (path.as_path(), Completeness::Empty));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(path.join("LOCK")).unwrap(), format!("{}\n", std::process::id()));
    let names = [
        (directory.head(), "head"),
        (directory.journal(), "journal"),
        (directory.journal_unfinished(), "journal.unfinished"),
        (directory.journal_check(), "journal.check"),
        (directory.clean_marker(), "CLEAN"),
        (directory.version(), "VERSION"),
    ];
    for (found, name) in names {
        assert_eq!(found, path.join(name));
    }
    directory.complete().expect("there is room");
    assert_eq!(fs::read_to_string(path.join("VERSION")).unwrap(), "bursar data format 1\n");
    for locked in [DataDirectory::open(&path), DataDirectory::open_read_only(&path)] {
        let error = locked.expect_err("it is locked");
        let PersistenceError::Locked { pid, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*pid, std::process::id().to_string());
    }
    drop(directory);
    assert!(matches!(DataDirectory::open(&path), Ok((_, Completeness::Complete))));
    // A lock that names nobody.
    fs::write(path.join("LOCK"), " \n").unwrap();
    let held = fs::File::open(path.join("LOCK")).unwrap();
    held.lock().unwrap();
    let error = DataDirectory::open(&path).expect_err("it is locked");
    assert!(matches!(&error, PersistenceError::Locked { pid, .. } if pid == "unknown"), "{error:?}");
}

#[test]
fn a_marker_is_removed_once_and_a_file_is_written_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let marker = directory.path().join("CLEAN");
    CleanMarker::write(&marker, &journal, ChainPoint::default()).unwrap();
    assert!(marker.exists());
    assert!(CleanMarker::remove(&marker).expect("it is there"));
    assert!(!marker.exists());
    assert!(!CleanMarker::remove(&marker).expect("it is there no more"));
    fs::create_dir(&marker).unwrap();
    assert!(CleanMarker::remove(&marker).is_err(), "a directory is no marker");
    assert!(remove_durably(&marker).is_err());
    let small = directory.path().join("small");
    for text in ["one", "another"] {
        write_durably(&small, text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&small).unwrap(), text);
    }
    let left: Vec<PathBuf> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 3, "nothing unfinished is left: {left:?}");
}

#[test]
fn a_copy_has_every_file_but_what_a_crash_left_half_written_and_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::create_dir_all(from.join("below")).unwrap();
    for (name, bytes) in [("db", 3_000), ("below/blob", 41), ("snap.7.generating", 500), ("empty", 0)] {
        fs::write(from.join(name), vec![3; bytes]).unwrap();
    }
    assert_eq!(directory_bytes(&from).unwrap(), 3_541);
    let names = |path: &Path| {
        let mut names = Vec::new();
        for_each_file(path, &mut |file| {
            names.push(file.strip_prefix(path).unwrap().to_owned());
            Ok(())
        })
        .unwrap();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&from), ["below/blob", "db", "empty", "snap.7.generating"].map(PathBuf::from));
    assert!(directory_bytes(&directory.path().join("missing")).is_err());

    // What an earlier copy left behind is not mixed with it.
    fs::create_dir(&to).unwrap();
    fs::write(to.join("leftover"), "").unwrap();
    let copy = ScratchCopy::make(&from, &to).unwrap();
    assert_eq!(copy.path(), to);
    assert_eq!(names(&to), ["below/blob", "db", "empty"].map(PathBuf::from));
    assert_eq!(fs::read(to.join("db")).unwrap(), vec![3; 3_000]);
    drop(copy);
    assert!(!to.exists());
    assert!(ScratchCopy::remove_leftover(&to).is_ok(), "nothing to remove is nothing wrong");
    fs::write(&to, "a file").unwrap();
    assert!(ScratchCopy::remove_leftover(&to).is_err(), "a file is no copy");
    assert!(ScratchCopy::make(&from, &to).is_err());
}
