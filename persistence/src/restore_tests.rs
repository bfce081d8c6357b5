//! Backups of stopped directories, and directories made of them.

use crate::backup_file::{BackupReport, BackupWriter};
use crate::books::BooksOptions;
use crate::books::books_tests::{check, options};
use crate::books::invented_ledger::{Chance, InventedLedger};
use crate::books::verification::{verify, verify_backup};
use crate::error::{BackupDamage, PersistenceError};
use crate::opened_ledger_tests::{append, open, written};
use crate::restore::{RestoreProgress, read_backup, restore};
use crate::scratch_copy::copy_directory;
use crate::stopped_ledger::read_records;
use std::fs;
use std::path::Path;

fn back_up(data: &Path, to: &Path) -> Result<BackupReport, PersistenceError> {
    let mut writer = BackupWriter::create(to)?;
    read_records(data, &mut |record| writer.add(record))?;
    writer.finish()
}

fn restored(backup: &Path, to: &Path) -> Result<BackupReport, PersistenceError> {
    restore(backup, to, &options(40), &mut |_| {})
}

fn names_in(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn a_restored_directory_holds_what_the_backup_held_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (data, backup, again) = (place.path().join("a"), place.path().join("b"), place.path().join("c"));
    let mut ledger = written(&data, &options(40));
    let made = back_up(&data, &backup).unwrap();
    assert_eq!(made.entries, ledger.entries.len() as u64);
    assert_eq!(made.last_timestamp_ns, ledger.fold.last_timestamp_ns);
    assert_eq!(read_backup(&backup, &mut |_, _| Ok(())).unwrap(), made);
    assert_eq!(made.file_bytes, fs::metadata(&backup).unwrap().len());
    let verified = verify_backup(&backup, &mut |_| {}).unwrap();
    let of_directory = verify(&data).unwrap();
    assert_eq!((verified.wallets, verified.totals), (of_directory.wallets, of_directory.totals));

    let mut told = Vec::new();
    let report = restore(&backup, &again, &options(40), &mut |progress| told.push(progress)).unwrap();
    assert_eq!(report, made);
    assert_eq!(told[0], RestoreProgress::Whole(made));
    assert_eq!(told.last(), Some(&RestoreProgress::Folded(150)));
    assert_eq!(names_in(&again), ["LOCK", "VERSION", "books", "head", "journal"]);
    assert_eq!(verify(&again).unwrap().recovery.head_seq, 150);
    let (mut opened, above) = open(&again, &BooksOptions::default());
    assert_eq!((opened.last_seq, above.len()), (150, 0), "the books hold everything");
    assert_eq!(opened.last_timestamp_ns, ledger.fold.last_timestamp_ns);
    check(&opened.books.view(), &ledger);
    let mut chance = Chance::new(5);
    ledger.grow(&mut chance, 170, 4);
    append(&mut *opened.journal, &ledger, &mut chance);
    opened.journal.close().unwrap();
    drop(opened.books);
    assert_eq!(verify(&again).unwrap().recovery.last_seq, 170);
    // The second one begins as the first one does.
    let (first, second) = (read_all(&backup), place.path().join("d"));
    back_up(&again, &second).unwrap();
    let second = read_all(&second);
    assert!(second.len() > first.len() && second[..first.len()] == first[..]);
}

fn read_all(backup: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let read = read_backup(backup, &mut |record, _| {
        records.push(record.as_bytes().to_vec());
        Ok(())
    });
    read.unwrap();
    records
}

#[test]
fn an_empty_ledger_can_be_backed_up_and_restored() {
    let place = tempfile::tempdir().unwrap();
    let (data, backup, again) = (place.path().join("a"), place.path().join("b"), place.path().join("c"));
    open(&data, &BooksOptions::default()).0.journal.close().unwrap();
    let made = back_up(&data, &backup).unwrap();
    assert_eq!((made.records, made.entries, made.last_timestamp_ns), (0, 0, 0));
    restored(&backup, &again).unwrap();
    let (opened, above) = open(&again, &BooksOptions::default());
    assert_eq!((opened.last_seq, above.len()), (0, 0));
    check(&opened.books.view(), &InventedLedger::default());
}

#[test]
fn a_damaged_backup_is_found_out_before_anything_is_made_of_it() {
    let place = tempfile::tempdir().unwrap();
    let (data, backup, target) = (place.path().join("a"), place.path().join("b"), place.path().join("c"));
    written(&data, &options(40));
    back_up(&data, &backup).unwrap();
    let whole = fs::read(&backup).unwrap();
    let check = |bytes: &[u8], what: &str, is_expected: &dyn Fn(&BackupDamage) -> bool| {
        fs::write(&backup, bytes).unwrap();
        let refused = restored(&backup, &target).expect_err(what);
        let PersistenceError::DamagedBackup { path, damage } = &refused else {
            panic!("{what}: {refused:?}");
        };
        assert!(path == &backup && is_expected(damage), "{what}: {damage:?}");
        assert!(verify_backup(&backup, &mut |_| {}).is_err(), "{what}");
        assert!(!target.exists(), "{what}: nothing is made");
    };
    for at in (0..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 7);
        check(&flipped, &format!("a bit of byte {at} is flipped"), &|_| true);
    }
    for length in (0..whole.len()).step_by(31).chain(whole.len() - 60..whole.len()) {
        check(&whole[..length], &format!("{length} bytes are left"), &|damage| match length {
            0..16 => !matches!(damage, BackupDamage::CutOff),
            _ => matches!(damage, BackupDamage::CutOff),
        });
    }
    check(b"PK\x03\x04 is something else", "another file", &|damage| *damage == BackupDamage::NotABackup);
    let other = [b"bursar backup 2\n", &whole[16..]].concat();
    check(&other, "another version", &|damage| *damage == BackupDamage::OtherVersion);
    check(&[&whole[..], b"x"].concat(), "something follows", &|damage| *damage == BackupDamage::OtherEnd);
    fs::write(&backup, &whole).unwrap();
    restored(&backup, &target).unwrap();
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let (data, backup) = (place.path().join("a"), place.path().join("b"));
    written(&data, &options(40));
    back_up(&data, &backup).unwrap();
    let exists = |result: Result<BackupReport, PersistenceError>| {
        assert!(matches!(result, Err(PersistenceError::Exists { .. })), "{result:?}");
    };
    exists(back_up(&data, &backup));
    exists(restored(&backup, &data));
    let other = place.path().join("c");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("photo.jpg"), b"").unwrap();
    let refused = restored(&backup, &other);
    assert!(matches!(refused, Err(PersistenceError::NotADataDirectory { .. })), "{refused:?}");
    assert_eq!(names_in(&other), ["photo.jpg"]);
    // A backup that comes while this one is written is not replaced either.
    let (late, writer) = (place.path().join("d"), BackupWriter::create(&place.path().join("d")).unwrap());
    fs::write(&late, b"another one").unwrap();
    exists(writer.finish());
    assert_eq!(fs::read(&late).unwrap(), b"another one");
    drop(BackupWriter::create(&place.path().join("e")).unwrap());
    assert_eq!(names_in(place.path()), ["a", "b", "c", "d"], "what was not finished is gone");
}

/// Takes away what was not there yet.
type CutOff<'a> = &'a dyn Fn(&Path);

#[test]
fn a_restore_that_was_cut_off_is_not_opened_and_begins_again() {
    let place = tempfile::tempdir().unwrap();
    let (data, backup, whole) = (place.path().join("a"), place.path().join("b"), place.path().join("c"));
    let ledger = written(&data, &options(40));
    back_up(&data, &backup).unwrap();
    restored(&backup, &whole).unwrap();
    let states: [(&str, CutOff<'_>); 4] = [
        ("begun", &|path| {
            for name in ["VERSION", "head", "LOCK"] {
                fs::remove_file(path.join(name)).unwrap();
            }
            fs::remove_dir_all(path.join("journal")).unwrap();
            fs::remove_dir_all(path.join("books")).unwrap();
        }),
        ("folding", &|path| {
            fs::remove_file(path.join("VERSION")).unwrap();
            fs::rename(path.join("books"), path.join("books.rebuilt")).unwrap();
            fs::remove_dir_all(path.join("books.rebuilt/store/keyspaces")).unwrap();
        }),
        ("folded", &|path| fs::remove_file(path.join("VERSION")).unwrap()),
        ("completing", &|path| {
            fs::rename(path.join("VERSION"), path.join("VERSION.unfinished")).unwrap();
        }),
    ];
    for (state, cut_off) in states {
        let path = place.path().join(state);
        copy_directory(&whole, &path).unwrap();
        fs::write(path.join("RESTORING"), b"").unwrap();
        cut_off(&path);
        let before = names_in(&path);
        let opened = crate::open_ledger(
            &path,
            &crate::OpenOptions::default(),
            &BooksOptions::default(),
            true,
            &mut |_, _, _| Ok(()),
            &mut |_| Ok(()),
        );
        assert!(matches!(opened, Err(PersistenceError::RestoreCutOff { .. })), "{state}: {opened:?}");
        let verified = verify(&path);
        assert!(matches!(verified, Err(PersistenceError::RestoreCutOff { .. })), "{state}: {verified:?}");
        let mut after = names_in(&path);
        after.retain(|name| name != "LOCK" || before.contains(name));
        assert_eq!(after, before, "{state}: it is left as it was");
        restored(&backup, &path).unwrap();
        check(&open(&path, &BooksOptions::default()).0.books.view(), &ledger);
    }
    // Complete, but for a mark that is not needed any more.
    fs::write(whole.join("RESTORING"), b"").unwrap();
    verify(&whole).unwrap();
    check(&open(&whole, &BooksOptions::default()).0.books.view(), &ledger);
    assert!(!whole.join("RESTORING").exists());
}
