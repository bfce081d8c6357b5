//! What opening a data directory promises, shown from outside: by its public functions and by what they do to the files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use crate::{
    ChainPoint, Damage, DroppedTail, Group, Journal, OpenOptions, OpenedJournal, PersistenceError, Record,
    RecordJournal, RecoveryReport,
    data_directory::DataDirectory,
    engine::Engine,
    examine,
    head_file::{Head, HeadFile},
    open,
    record::{self, MAX_ENTRY, PREFERRED_BODY},
    recovery::is_room,
    scratch_copy::directory_bytes,
};

type Entry = (u64, u64, Vec<u8>);

/// A group of payloads, as a sequencer would hand it over.
#[derive(Debug)]
struct Built {
    first_seq: u64,
    body: Vec<u8>,
    entry_ends: Vec<u32>,
    last_timestamp: u64,
}

impl Built {
    /// Timestamps are ten times the sequence numbers.
    fn new<'a>(first_seq: u64, payloads: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut built = Self { first_seq, body: Vec::new(), entry_ends: Vec::new(), last_timestamp: 0 };
        for (payload, seq) in payloads.into_iter().zip(first_seq..) {
            built.last_timestamp = seq * 10;
            record::push_entry(&mut built.body, built.last_timestamp, payload);
            built.entry_ends.push(built.body.len() as u32);
        }
        built
    }

    fn group(&self) -> Group<'_> {
        Group {
            first_seq: self.first_seq,
            body: &self.body,
            entry_ends: &self.entry_ends,
            last_timestamp: self.last_timestamp,
        }
    }
}

fn append(journal: &mut RecordJournal, payloads: &[&[u8]]) {
    let built = Built::new(journal.durable_seq() + 1, payloads.iter().copied());
    journal.append_group(&built.group()).expect("a healthy journal takes a well-formed group");
}

fn collect(entries: &mut Vec<Entry>) -> impl FnMut(&Record) -> Result<(), PersistenceError> {
    |record| {
        entries.extend(record.entries().map(|(seq, timestamp, payload)| (seq, timestamp, payload.to_vec())));
        Ok(())
    }
}

fn open_all(path: &Path) -> Result<(OpenedJournal, Vec<Entry>), PersistenceError> {
    let mut entries = Vec::new();
    let opened = open(path, &OpenOptions::default(), &mut collect(&mut entries))?;
    Ok((opened, entries))
}

fn examine_all(path: &Path) -> Result<(RecoveryReport, Vec<Entry>), PersistenceError> {
    let mut entries = Vec::new();
    let report = examine(path, &OpenOptions::default(), &mut collect(&mut entries))?;
    Ok((report, entries))
}

fn close(opened: OpenedJournal) {
    Box::new(opened.journal).close().expect("a healthy journal closes");
}

/// A directory with `groups` groups of three entries in it.
fn filled(path: &Path, groups: u64, cleanly: bool) -> Vec<Entry> {
    let (mut opened, mut entries) = open_all(path).unwrap();
    for group in 0..groups {
        let payloads = [&group.to_le_bytes()[..], b"", &[group as u8; 90]];
        let first = opened.journal.durable_seq() + 1;
        append(&mut opened.journal, &payloads);
        entries.extend(payloads.iter().zip(first..).map(|(payload, seq)| (seq, seq * 10, payload.to_vec())));
    }
    if cleanly {
        close(opened);
    }
    entries
}

/// Name and bytes of every file, but `LOCK`, which names its last holder.
fn snapshot(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn visit(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, files);
                files.insert(path, Vec::new());
            } else if path.file_name().unwrap() != "LOCK" {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    visit(path, &mut files);
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).map(|_| ()).unwrap();
        }
    }
}

/// Opens a directory that must be refused, by `open` and by `examine`, and shows that neither changed it.
#[track_caller]
fn refused(path: &Path) -> PersistenceError {
    let before = snapshot(path);
    let examined = examine_all(path).expect_err("a damaged directory passed the examination");
    assert!(snapshot(path) == before, "the examination changed the directory");
    let error = open_all(path).expect_err("a damaged directory was opened");
    assert!(snapshot(path) == before, "the refused open changed the directory");
    assert_eq!(examined.to_string(), error.to_string());
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

#[track_caller]
fn refused_for(path: &Path) -> Damage {
    match refused(path) {
        PersistenceError::Damaged { damage, .. } => damage,
        other => panic!("refused, but not as damaged: {other}"),
    }
}

/// Lets `change` at the engine's tree of a stopped directory, behind the journal's back.
fn tamper(path: &Path, change: impl FnOnce(&sled::Tree)) {
    let engine = Engine::open(&path.join("journal"), 1 << 20).unwrap();
    change(&engine.tree);
    engine.db.flush().unwrap();
}

fn key(seq: u64) -> [u8; 8] {
    seq.to_be_bytes()
}

#[test]
fn what_was_appended_is_there_after_every_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/data");
    for round in 0..4 {
        let (mut opened, entries) = open_all(&path).unwrap();
        assert_eq!(opened.report.created, round == 0);
        assert!(opened.report.clean);
        assert_eq!(opened.report.entries, 4 * round);
        assert_eq!((opened.report.last_seq, opened.report.head_seq), (4 * round, 4 * round));
        assert_eq!(entries.len() as u64, 4 * round);
        assert!(entries.iter().zip(1..).all(|(entry, seq)| entry.0 == seq));
        assert!(opened.report.warnings.is_empty(), "{:?}", opened.report.warnings);
        append(&mut opened.journal, &[b"one"]);
        append(&mut opened.journal, &[b"two", b"three", b"four"]);
        assert_eq!(opened.journal.durable_seq(), 4 * round + 4);
        close(opened);
    }
    assert_eq!(examine_all(&path).unwrap().0.entries, 16);
}

#[test]
fn a_stop_without_close_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let entries = filled(directory.path(), 30, false);
    for _ in 0..3 {
        let (opened, found) = open_all(directory.path()).unwrap();
        assert!(!opened.report.clean);
        assert_eq!(found, entries);
        assert!(!directory.path().join("journal.check").exists());
    }
}

#[test]
fn a_copy_of_an_open_directory_opens_with_everything_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let (mut opened, _) = open_all(&path).unwrap();
    for round in 1..40_u64 {
        append(&mut opened.journal, &[&round.to_le_bytes(), &vec![round as u8; 3000]]);
        if round % 6 == 0 {
            let crashed = directory.path().join(format!("crashed-{round}"));
            copy(&path, &crashed);
            let (again, entries) = open_all(&crashed).unwrap();
            assert_eq!(entries.len() as u64, 2 * round);
            assert_eq!(again.report.dropped_tail, None);
            assert_eq!(again.journal.durable_seq(), 2 * round);
        }
    }
}

#[test]
fn a_group_longer_than_a_record_is_split_between_entries() {
    fn check(lengths: &[usize], expected_counts: &[u32]) {
        let directory = tempfile::tempdir().unwrap();
        let payloads: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![length as u8; length]).collect();
        let (mut opened, _) = open_all(directory.path()).unwrap();
        append(&mut opened.journal, &payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(opened.journal.durable_seq(), lengths.len() as u64);
        close(opened);
        let mut counts = Vec::new();
        let mut entries = Vec::new();
        let report = open(directory.path(), &OpenOptions::default(), &mut |record| {
            counts.push(record.count());
            entries.extend(record.entries().map(|(_, _, payload)| payload.to_vec()));
            assert!(record.as_bytes().len() <= record::MAX_RECORD_BYTES);
            Ok(())
        })
        .unwrap()
        .report;
        assert_eq!(counts, expected_counts);
        assert_eq!(entries, payloads);
        assert_eq!(report.records, expected_counts.len() as u64);
        assert!(fs::read_dir(directory.path().join("journal/blobs")).unwrap().next().is_none());
    }
    check(&[0], &[1]);
    check(&[MAX_ENTRY], &[1]);
    check(&[MAX_ENTRY, MAX_ENTRY, MAX_ENTRY], &[1, 1, 1]);
    check(&[MAX_ENTRY, 0, 0, MAX_ENTRY, 0], &[1, 2, 1, 1]);
    check(&[PREFERRED_BODY / 2 - 12, PREFERRED_BODY / 2 - 12, 1], &[2, 1]);
    check(&[PREFERRED_BODY / 2 - 12, PREFERRED_BODY / 2 - 11, 1], &[1, 2]);
    check(&[250; 100], &[30, 30, 30, 10]);
    check(&[1, PREFERRED_BODY, 1, 1], &[1, 1, 2]);
    check(&[MAX_ENTRY; 60], &[1; 60]);
}

#[test]
fn malformed_groups_are_refused_and_stop_the_journal() {
    fn check(change: impl FnOnce(&mut Built), expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 1, true);
        let (mut opened, _) = open_all(directory.path()).unwrap();
        let mut built = Built::new(4, [&b"a"[..], b"bc", b"def"]);
        change(&mut built);
        let error = opened.journal.append_group(&built.group()).unwrap_err();
        assert!(matches!(error, PersistenceError::MalformedGroup { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let good = Built::new(4, [&b"a"[..]]);
        let error = opened.journal.append_group(&good.group()).unwrap_err();
        assert!(matches!(error, PersistenceError::Poisoned { .. }), "{error}");
        assert_eq!(opened.journal.durable_seq(), 3);
        assert!(matches!(Box::new(opened.journal).close(), Err(PersistenceError::Poisoned { .. })));
        drop(opened.directory);
        assert_eq!(open_all(directory.path()).unwrap().1.len(), 3);
    }
    check(|built| built.first_seq = 3, "the journal ends at 3");
    check(|built| built.first_seq = 5, "the journal ends at 3");
    check(|built| built.entry_ends[1] += 1, "bytes follow its last entry");
    check(|built| built.entry_ends[1] -= 1, "an entry passes its end");
    check(|built| built.entry_ends[1] = 2, "cannot reach");
    check(|built| built.entry_ends[2] = 1000, "cannot reach");
    check(|built| built.entry_ends.truncate(2), "its entries end at byte");
    check(|built| built.body.push(0), "its entries end at byte");
    check(|built| built.last_timestamp += 1, "its last timestamp is 60");
    check(|built| built.body[4] = 30, "timestamp 30 follows 30");
    check(|built| *built = Built::new(4, [&vec![0; MAX_ENTRY + 1][..]]), "above the limit");
}

#[test]
fn an_empty_group_is_nothing_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (mut opened, _) = open_all(directory.path()).unwrap();
    opened.journal.append_group(&Built::new(1, []).group()).unwrap();
    assert_eq!(opened.journal.durable_seq(), 0);
}

#[test]
fn readers_start_in_the_middle_of_a_record_and_end_at_what_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let entries = filled(directory.path(), 25, true);
    let (mut opened, _) = open_all(directory.path()).unwrap();
    let reader = opened.journal.reader();
    for from in 0..=80 {
        let records: Vec<Record> = reader.read_from(from).collect::<Result<_, _>>().unwrap();
        let found: Vec<u64> = records
            .iter()
            .flat_map(|record| record.entries().map(|(seq, ..)| seq))
            .filter(|&seq| seq >= from)
            .collect();
        assert_eq!(found, (from.max(1)..=75).collect::<Vec<_>>());
        assert!(records.first().is_none_or(|record| record.last_seq() >= from));
        let held = reader.record_holding(from).unwrap();
        assert_eq!(held.is_some(), (1..=75).contains(&from));
        if let Some(record) = held {
            let payload = record.entries().find(|(seq, ..)| *seq == from).map(|entry| entry.2.to_vec());
            assert_eq!(payload.as_ref(), Some(&entries[from as usize - 1].2));
        }
    }
    assert!(reader.read_from(u64::MAX).next().is_none());
    let mut under_way = reader.read_from(70);
    append(&mut opened.journal, &[b"later"]);
    assert_eq!(under_way.by_ref().last().unwrap().unwrap().last_seq(), 75);
    drop(under_way);
    assert_eq!(reader.read_from(76).next().unwrap().unwrap().last_seq(), 76);
    close(opened);
    assert!(matches!(reader.read_from(1).next(), Some(Err(PersistenceError::Closed))));
    assert!(matches!(reader.record_holding(1), Err(PersistenceError::Closed)));
}

#[test]
fn a_second_opener_is_refused_and_told_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let (opened, _) = open_all(directory.path()).unwrap();
    for error in [open_all(directory.path()).unwrap_err(), examine_all(directory.path()).unwrap_err()] {
        assert!(matches!(error, PersistenceError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    }
    close(opened);
    open_all(directory.path()).unwrap();
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    fn check(name: &str, expected: &str, make: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        make(&path);
        let before = snapshot(directory.path());
        let error = open_all(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains("data") && !error.contains('\n'), "{name}: {error}");
        assert!(snapshot(directory.path()) == before, "{name}: the directory was changed");
        assert_eq!(path.join("LOCK").exists(), before.contains_key(&path.join("VERSION")), "{name}");
    }
    check("a file", "is not a directory", |path| fs::write(path, b"x").unwrap());
    check("below a file", "not a directory", |path| {
        fs::write(path, b"x").unwrap();
    });
    check("a home", "is not a bursar data directory: it holds `letters`", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("letters"), b"dear").unwrap();
    });
    for (content, expected) in [
        ("bursar data format 2\n", "says format 2, and this version reads up to 1"),
        ("bursar data format 4000000000\n", "says format 4000000000"),
        ("bursar data format 0\n", "VERSION is damaged"),
        ("bursar data format 1", "VERSION is damaged"),
        ("bursar data format one\n", "VERSION is damaged"),
        ("", "VERSION is damaged"),
        ("bursar data format 1\nbursar data format 1\n", "VERSION is damaged"),
    ] {
        check(content, expected, |path| {
            filled(path, 2, true);
            fs::write(path.join("VERSION"), content).unwrap();
        });
    }
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // Permissions do not bind the superuser; then only the translation can be shown.
    let error = if fs::create_dir(directory.path().join("probe")).is_ok() {
        let refusal = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
        PersistenceError::io("create", directory.path(), refusal)
    } else {
        open_all(directory.path()).unwrap_err()
    };
    assert!(matches!(error, PersistenceError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("is not writable by this user"), "{error}");
}

#[test]
fn the_making_of_a_directory_can_be_cut_off_anywhere() {
    fn check(name: &str, cut: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 0, true);
        fs::remove_file(directory.path().join("CLEAN")).unwrap();
        fs::remove_file(directory.path().join("VERSION")).unwrap();
        cut(directory.path());
        let (mut opened, entries) =
            open_all(directory.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(opened.report.created && entries.is_empty(), "{name}");
        append(&mut opened.journal, &[b"first"]);
        close(opened);
        assert_eq!(open_all(directory.path()).unwrap().1.len(), 1, "{name}");
    }
    check("before VERSION", |_| {});
    check("in VERSION", |path| fs::write(path.join("VERSION.unfinished"), b"burs").unwrap());
    check("before the head", |path| fs::remove_file(path.join("head")).unwrap());
    check("in the head", |path| fs::rename(path.join("head"), path.join("head.unfinished")).unwrap());
    check("before the journal", |path| {
        fs::remove_file(path.join("head")).unwrap();
        fs::remove_dir_all(path.join("journal")).unwrap();
    });
    // The names of a journal that is being made may reach the disk before its bytes do.
    check("in the journal", |path| {
        fs::remove_file(path.join("head")).unwrap();
        fs::rename(path.join("journal"), path.join("journal.unfinished")).unwrap();
        fs::write(path.join("journal.unfinished/db"), b"").unwrap();
    });
    check("before the lock", |path| {
        fs::remove_file(path.join("head")).unwrap();
        fs::remove_dir_all(path.join("journal")).unwrap();
        fs::remove_file(path.join("LOCK")).unwrap();
    });
}

#[test]
fn a_used_directory_without_version_is_never_made_anew() {
    for keep_head in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 2, false);
        fs::remove_file(directory.path().join("VERSION")).unwrap();
        if !keep_head {
            fs::remove_file(directory.path().join("head")).unwrap();
        }
        let before = snapshot(directory.path());
        let error = open_all(directory.path()).unwrap_err();
        assert!(
            matches!(error, PersistenceError::Damaged { damage: Damage::UsedWithoutVersion, .. }),
            "{error}"
        );
        assert!(snapshot(directory.path()) == before);
    }
}

#[test]
fn leftovers_of_a_crash_during_an_open_are_removed() {
    for cleanly in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let entries = filled(directory.path(), 5, cleanly);
        let journal = directory.path().join("journal");
        fs::write(journal.join("snap.FFFFFFFFFFFFFFF0.generating"), b"half").unwrap();
        fs::create_dir(directory.path().join("journal.check")).unwrap();
        fs::write(directory.path().join("journal.check/db"), b"half").unwrap();
        assert_eq!(examine_all(directory.path()).unwrap().1, entries);
        let (opened, found) = open_all(directory.path()).unwrap();
        assert_eq!(found, entries);
        assert!(opened.report.warnings.iter().any(|warning| warning.contains(".generating")));
        assert!(!journal.join("snap.FFFFFFFFFFFFFFF0.generating").exists());
        assert!(!directory.path().join("journal.check").exists());
    }
}

#[test]
fn a_journal_that_ends_below_its_head_is_refused() {
    fn check(groups_lost: u64, cleanly: bool) {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 6, cleanly);
        tamper(directory.path(), |tree| {
            for group in 6 - groups_lost..6 {
                tree.remove(key(group * 3 + 1)).unwrap().expect("the record was there");
            }
        });
        let damage = refused_for(directory.path());
        assert_eq!(damage, Damage::EndsBelowHead { last: 18 - groups_lost * 3, head: 18 });
    }
    for groups_lost in 1..=6 {
        check(groups_lost, false);
        check(groups_lost, true);
    }
}

#[test]
fn an_older_journal_under_a_newer_head_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    filled(&path, 4, true);
    copy(&path.join("journal"), &directory.path().join("older"));
    filled(&path, 1, true);
    fs::remove_dir_all(path.join("journal")).unwrap();
    copy(&directory.path().join("older"), &path.join("journal"));
    assert_eq!(refused_for(&path), Damage::EndsBelowHead { last: 12, head: 15 });
}

#[test]
fn records_that_are_not_those_acknowledged_are_refused() {
    fn check(expected: &Damage, change: impl FnOnce(&sled::Tree)) {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 6, false);
        tamper(directory.path(), change);
        assert_eq!(&refused_for(directory.path()), expected);
    }
    fn forged(first_seq: u64, prev_hash: [u8; 32], timestamp: u64) -> Vec<u8> {
        let mut body = Vec::new();
        for entry in 0..3 {
            record::push_entry(&mut body, timestamp + entry, b"forged");
        }
        Record::encode(first_seq, 3, &prev_hash, &body)
    }
    fn decoded(tree: &sled::Tree, seq: u64) -> Record {
        Record::decode(tree.get(key(seq)).unwrap().unwrap().to_vec()).unwrap()
    }
    check(&Damage::Hole { expected: 4, found: 7 }, |tree| drop(tree.remove(key(4)).unwrap()));
    check(&Damage::Hole { expected: 1, found: 4 }, |tree| drop(tree.remove(key(1)).unwrap()));
    check(&Damage::Hole { expected: 7, found: 10 }, |tree| drop(tree.remove(key(7)).unwrap()));
    check(&Damage::BadRecord { seq: 7, error: crate::RecordError::Hash }, |tree| {
        let mut value = tree.get(key(7)).unwrap().unwrap().to_vec();
        value[70] ^= 1;
        tree.insert(key(7), value).unwrap();
    });
    check(
        &Damage::BadRecord { seq: 16, error: crate::RecordError::Length { expected: 84, found: 5 } },
        |tree| {
            tree.insert(key(16), b"short").unwrap();
        },
    );
    check(&Damage::Misplaced { key: 7, found: 4 }, |tree| {
        let value = tree.get(key(4)).unwrap().unwrap();
        tree.insert(key(7), value).unwrap();
    });
    check(&Damage::BrokenChain { seq: 7 }, |tree| drop(tree.insert(key(7), forged(7, [1; 32], 70)).unwrap()));
    check(&Damage::BrokenChain { seq: 1 }, |tree| drop(tree.insert(key(1), forged(1, [1; 32], 1)).unwrap()));
    // A whole record with the right link in place of the right record breaks the link after it.
    check(&Damage::BrokenChain { seq: 10 }, |tree| {
        let before = decoded(tree, 4).hash();
        tree.insert(key(7), forged(7, before, 70)).unwrap();
    });
    // At the head nothing follows; the head itself knows.
    check(&Damage::NotTheAcknowledged { seq: 18 }, |tree| {
        let before = decoded(tree, 13).hash();
        tree.insert(key(16), forged(16, before, 160)).unwrap();
    });
    check(&Damage::TimeWentBack { seq: 16 }, |tree| {
        let before = decoded(tree, 13).hash();
        tree.insert(key(16), forged(16, before, 150)).unwrap();
    });
    check(&Damage::Misplaced { key: 0, found: 1 }, |tree| {
        let first = tree.get(key(1)).unwrap().unwrap();
        tree.insert(b"x", first).unwrap();
        for seq in [1_u64, 4, 7, 10, 13, 16] {
            tree.remove(key(seq)).unwrap();
        }
    });
}

#[test]
fn healthy_records_above_the_head_survive_and_become_the_head() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 4, false);
    let old_head = fs::read(directory.path().join("head")).unwrap();
    let entries = {
        filled(directory.path(), 2, false);
        open_all(directory.path()).unwrap().1
    };
    assert_eq!(entries.len(), 18);
    fs::write(directory.path().join("head"), old_head).unwrap();
    let (opened, found) = open_all(directory.path()).unwrap();
    assert_eq!(found, entries);
    assert_eq!((opened.report.head_seq, opened.report.last_seq), (12, 18));
    assert_eq!(opened.report.dropped_tail, None);
    drop(opened);
    assert_eq!(HeadFile::read(&directory.path().join("head")).unwrap().head.point.seq, 18);
}

#[test]
fn a_bad_tail_above_the_head_is_dropped_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let entries = filled(directory.path(), 4, false);
    tamper(directory.path(), |tree| {
        tree.insert(key(13), b"torn").unwrap();
        tree.insert(key(14), b"torn").unwrap();
        tree.insert(key(99), b"torn").unwrap();
    });
    let dropped = DroppedTail {
        records: 3,
        damage: Damage::BadRecord { seq: 13, error: crate::RecordError::Length { expected: 84, found: 4 } },
    };
    let before = snapshot(directory.path());
    assert_eq!(examine_all(directory.path()).unwrap().0.dropped_tail.as_ref(), Some(&dropped));
    assert!(snapshot(directory.path()) == before);
    let (mut opened, found) = open_all(directory.path()).unwrap();
    assert_eq!((found, opened.report.dropped_tail.as_ref()), (entries, Some(&dropped)));
    append(&mut opened.journal, &[b"in its place"]);
    close(opened);
    let (opened, found) = open_all(directory.path()).unwrap();
    assert_eq!((found.len(), opened.report.dropped_tail.as_ref()), (13, None));
}

#[test]
fn a_trimmed_journal_opens_only_with_what_is_held_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 6, false);
    let mut points = Vec::new();
    drop(open(directory.path(), &OpenOptions::default(), &mut |record| {
        points.push(ChainPoint { seq: record.last_seq(), hash: record.hash() });
        Ok(())
    }));
    tamper(directory.path(), |tree| {
        tree.remove(key(1)).unwrap();
        tree.remove(key(4)).unwrap();
    });
    assert_eq!(refused_for(directory.path()), Damage::Hole { expected: 1, found: 7 });
    let check = |held: ChainPoint| {
        let options = OpenOptions { held_elsewhere: held, ..OpenOptions::default() };
        let report = examine(directory.path(), &options, &mut |_| Ok(()));
        report.map(|report| (report.entries, report.last_seq)).map_err(|error| error.to_string())
    };
    assert!(check(points[0]).unwrap_err().contains("sequence number 4 should come next, but 7 does"));
    for held in &points[1..] {
        assert_eq!(check(*held), Ok((12, 18)));
        let other = ChainPoint { hash: [1; 32], ..*held };
        let error = check(other).unwrap_err();
        assert!(error.contains("hash chain broken") || error.contains("not the one"), "{error}");
    }
    let beyond = ChainPoint { seq: 21, hash: [1; 32] };
    assert!(check(beyond).unwrap_err().contains("ends at sequence number 18, but everything up to 21"));
}

#[test]
fn a_lost_file_is_damage() {
    for name in ["head", "journal", "journal/db"] {
        for cleanly in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            filled(directory.path(), 3, cleanly);
            let path = directory.path().join(name);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
            let damage = refused_for(directory.path());
            assert!(
                matches!(damage, Damage::Missing | Damage::EndsBelowHead { .. } | Damage::Engine(_)),
                "{damage}"
            );
        }
    }
}

/// Flips one bit at `at` of a file of a stopped directory. It opens with everything, or it is refused and left alone.
fn flip(source: &Path, entries: &[Entry], name: &str, at: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    copy(source, &path);
    let mut bytes = fs::read(path.join(name)).unwrap();
    bytes[at] ^= 1 << (at % 8);
    fs::write(path.join(name), bytes).unwrap();
    let before = snapshot(&path);
    match open_all(&path) {
        Ok((mut opened, found)) => {
            assert!(found == entries, "{name} at {at}: opened with {} of {}", found.len(), entries.len());
            append(&mut opened.journal, &[b"goes on"]);
            close(opened);
            assert_eq!(open_all(&path).unwrap().1.len(), entries.len() + 1, "{name} at {at}");
            true
        }
        Err(error) => {
            let known =
                matches!(error, PersistenceError::Damaged { .. } | PersistenceError::NewerFormat { .. });
            assert!(known, "{name} at {at}: {error}");
            assert!(snapshot(&path) == before, "{name} at {at}: the directory was changed ({error})");
            false
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_never_loses_an_acknowledged_entry_silently() {
    for cleanly in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 8, true);
        let entries = filled(directory.path(), 8, cleanly);
        let mut outcomes = [0, 0];
        let log = fs::metadata(directory.path().join("journal/db")).unwrap().len() as usize;
        // What was written lies at the start; the rest of the file is filler or not there.
        let used = log.min(60_000);
        for at in (0..used).step_by(used / 60).chain(log - 8..log) {
            outcomes[usize::from(flip(directory.path(), &entries, "journal/db", at))] += 1;
        }
        assert!(outcomes[0] > 0, "no flip in the log was refused: {outcomes:?}");
        for at in (0..8192).step_by(317) {
            assert!(flip(directory.path(), &entries, "head", at), "one slot is enough");
        }
        for at in 0.."bursar data format 1\n".len() {
            assert!(!flip(directory.path(), &entries, "VERSION", at));
        }
        for file in fs::read_dir(directory.path().join("journal")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name == "conf" || name.starts_with("snap.") {
                let name = format!("journal/{name}");
                let length = fs::metadata(directory.path().join(&name)).unwrap().len() as usize;
                for at in (0..length).step_by(5) {
                    flip(directory.path(), &entries, &name, at);
                }
            }
        }
        if cleanly {
            let length = fs::metadata(directory.path().join("CLEAN")).unwrap().len() as usize;
            for at in (0..length).step_by(23) {
                assert!(flip(directory.path(), &entries, "CLEAN", at));
            }
        }
    }
}

#[test]
fn a_truncated_log_is_refused_or_holds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let entries = filled(&source, 10, false);
    let bytes = fs::read(source.join("journal/db")).unwrap();
    for cut in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
        let path = directory.path().join(format!("cut-{cut}"));
        copy(&source, &path);
        fs::write(path.join("journal/db"), &bytes[..cut]).unwrap();
        let before = snapshot(&path);
        match open_all(&path) {
            Ok((_, found)) => assert_eq!(found, entries),
            Err(error) => {
                assert!(matches!(error, PersistenceError::Damaged { .. }), "{cut}: {error}");
                assert!(snapshot(&path) == before, "{cut}");
            }
        }
    }
}

#[test]
fn the_newest_head_slot_may_be_lost_after_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let entries = filled(directory.path(), 5, true);
    let (data, _) = DataDirectory::open(directory.path()).unwrap();
    let bytes = fs::read(data.head()).unwrap();
    drop(data);
    for slot in 0..2 {
        let path = directory.path().join("head");
        let mut torn = bytes.clone();
        torn[slot * 4096..(slot + 1) * 4096].fill(0);
        fs::write(&path, torn).unwrap();
        let (opened, found) = open_all(directory.path()).unwrap();
        assert_eq!(found, entries);
        assert_eq!(opened.report.head_seq, 15);
        assert!(opened.report.warnings.iter().any(|warning| warning.contains("slots")));
        close(opened);
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn an_error_of_the_callback_ends_the_open_and_changes_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let entries = filled(directory.path(), 5, true);
    let error = open(directory.path(), &OpenOptions::default(), &mut |record| {
        Err(PersistenceError::Replay { seq: record.first_seq(), reason: "not today".into() })
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "replay stopped at sequence number 1: not today");
    assert_eq!(open_all(directory.path()).unwrap().1, entries);
}

#[test]
fn the_head_keeps_the_hash_and_time_of_the_last_record() {
    let directory = tempfile::tempdir().unwrap();
    let (mut opened, _) = open_all(directory.path()).unwrap();
    append(&mut opened.journal, &[b"a", b"b"]);
    let record = opened.journal.reader().record_holding(2).unwrap().unwrap();
    let expected = Head { point: ChainPoint { seq: 2, hash: record.hash() }, timestamp: 20 };
    assert_eq!(HeadFile::read(&directory.path().join("head")).unwrap().head, expected);
    assert_eq!(opened.journal.tip(), expected.point);
    assert_eq!(opened.directory.path(), directory.path());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_groups_come_back_as_the_same_entries(
        groups in prop::collection::vec(
            (prop::collection::vec(prop_oneof![9 => 0_usize..300, 1 => 0..=MAX_ENTRY], 0..40), 0_u8..6),
            1..12,
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut opened, _) = open_all(directory.path()).unwrap();
        let mut expected: Vec<Entry> = Vec::new();
        for (lengths, end) in groups {
            let payloads: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![length as u8; length]).collect();
            let first_seq = expected.len() as u64 + 1;
            append(&mut opened.journal, &payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
            expected.extend(payloads.into_iter().zip(first_seq..).map(|(payload, seq)| (seq, seq * 10, payload)));
            prop_assert_eq!(opened.journal.durable_seq(), expected.len() as u64);
            // Now and then the process stops, cleanly or not.
            if end < 2 {
                if end == 0 { close(opened) } else { drop(opened) }
                let (again, entries) = open_all(directory.path()).unwrap();
                prop_assert!(entries == expected);
                opened = again;
            }
        }
        let read: Vec<Record> = opened.journal.reader().read_from(1).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.iter().map(|record| u64::from(record.count())).sum::<u64>(), expected.len() as u64);
    }
}

#[test]
fn an_open_that_finds_nothing_new_leaves_the_head_as_it_was() {
    for cleanly in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 3, cleanly);
        let before = fs::read(directory.path().join("head")).unwrap();
        drop(open_all(directory.path()).unwrap());
        assert!(fs::read(directory.path().join("head")).unwrap() == before, "{cleanly}");
    }
}

#[test]
fn what_is_reported_is_what_was_read() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 4, false);
    for examines in [true, false] {
        let (mut records, mut entries, mut bytes) = (0, 0, 0);
        let mut count = |record: &Record| {
            records += 1;
            entries += u64::from(record.count());
            bytes += record.as_bytes().len() as u64;
            Ok(())
        };
        let options = OpenOptions::default();
        let report = if examines {
            examine(directory.path(), &options, &mut count).unwrap()
        } else {
            open(directory.path(), &options, &mut count).unwrap().report
        };
        assert_eq!((report.records, report.entries, report.bytes), (records, entries, bytes));
        assert_eq!((report.records, report.entries), (4, 12));
    }
}

#[test]
fn a_journal_that_was_trimmed_to_nothing_opens_only_with_the_very_record_that_is_held_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 2, false);
    let head = HeadFile::read(&directory.path().join("head")).unwrap().head.point;
    tamper(directory.path(), |tree| {
        tree.remove(key(1)).unwrap();
        tree.remove(key(4)).unwrap();
    });
    let check = |held_elsewhere: ChainPoint| {
        let options = OpenOptions { held_elsewhere, ..OpenOptions::default() };
        let report = examine(directory.path(), &options, &mut |_| Ok(()));
        report.map(|report| (report.entries, report.last_seq)).map_err(|error| match error {
            PersistenceError::Damaged { damage, .. } => damage,
            other => panic!("refused, but not as damaged: {other}"),
        })
    };
    assert_eq!(check(head), Ok((0, 6)));
    assert_eq!(check(ChainPoint { hash: [1; 32], ..head }), Err(Damage::NotTheAcknowledged { seq: 6 }));
    assert_eq!(check(ChainPoint { seq: 5, ..head }), Err(Damage::EndsBelowHead { last: 5, head: 6 }));
    assert_eq!(check(ChainPoint::default()), Err(Damage::EndsBelowHead { last: 0, head: 6 }));
}

#[test]
fn a_used_head_without_version_or_journal_is_never_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 2, false);
    fs::remove_file(directory.path().join("VERSION")).unwrap();
    fs::remove_dir_all(directory.path().join("journal")).unwrap();
    let before = snapshot(directory.path());
    let error = open_all(directory.path()).unwrap_err();
    assert!(matches!(error, PersistenceError::Damaged { damage: Damage::UsedWithoutVersion, .. }), "{error}");
    assert!(snapshot(directory.path()) == before);
}

#[test]
fn what_cannot_be_synced_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 2, false);
    // A name that leads to itself: it is there, and cannot be opened, whoever asks.
    let unreadable = directory.path().join("journal/unreadable");
    std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
    for error in [examine_all(directory.path()).unwrap_err(), open_all(directory.path()).unwrap_err()] {
        let PersistenceError::Io { action, path, .. } = &error else { panic!("{error}") };
        assert_eq!((*action, path), ("sync before reading", &unreadable));
    }
}

const TASK: &str = "BURSAR_TEST_RECOVERY_TASK";

/// More than any disk has, on which it takes no room.
const HUGE_BYTES: u64 = 1 << 43;

#[test]
fn without_room_for_a_copy_a_journal_is_opened_all_the_same_and_not_examined() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 3, false);
    let beside = directory.path().join("journal/beside");
    fs::create_dir(&beside).unwrap();
    fs::File::create(beside.join("huge")).unwrap().set_len(HUGE_BYTES).unwrap();
    let this = std::env::current_exe().expect("a test binary");
    let name = "recovery_tests::opens_and_examines_where_there_is_no_room";
    let ran = std::process::Command::new(this)
        .args([name, "--exact", "--ignored"])
        .env(TASK, directory.path())
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn a_copy_that_fits_to_the_byte_is_made() {
    assert!(is_room(100, 100) && is_room(101, 100) && !is_room(99, 100));
}

#[test]
#[ignore = "a part of another, in a process of its own"]
fn opens_and_examines_where_there_is_no_room() {
    let Some(path) = std::env::var_os(TASK) else { return };
    // If it is copied after all, that ends here, and not where the disk does.
    let limit = rustix::process::Rlimit { current: Some(1 << 28), maximum: Some(1 << 28) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    let error = examine_all(Path::new(&path)).unwrap_err();
    let PersistenceError::NoRoomToExamine { needed, .. } = error else { panic!("{error}") };
    // The copy, and 64 MiB that it must leave free.
    assert_eq!(needed, directory_bytes(&Path::new(&path).join("journal")).unwrap() + 67_108_864);
    let (opened, found) = open_all(Path::new(&path)).unwrap();
    assert_eq!((found.len(), opened.report.last_seq), (9, 9));
    let warnings = &opened.report.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("without checking a copy first")), "{warnings:?}");
}
