//! Every seed, every input that the search kept because it reached something new, and every input that ever failed.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// The inputs in a folder of this crate, by name. There may be none.
fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn replay(target: &str, check: fn(&[u8])) {
    let [seeds, corpus, regressions] =
        ["seeds", "corpus", "regressions"].map(|folder| inputs(folder, target));
    assert!(!seeds.is_empty() && !corpus.is_empty(), "the inputs of {target} are missing");
    for path in seeds.iter().chain(&corpus).chain(&regressions) {
        let input = fs::read(path).expect("an input can be read");
        assert!(catch_unwind(|| check(&input)).is_ok(), "{} fails", path.display());
    }
}

#[test]
fn frames_hold_what_they_promise() {
    replay("frame", fuzz::frame::check);
}

#[test]
fn requests_hold_what_they_promise() {
    replay("request", fuzz::request::check);
}

#[test]
fn replies_hold_what_they_promise() {
    replay("reply", fuzz::reply::check);
}

#[test]
fn journal_records_hold_what_they_promise() {
    replay("journal_record", fuzz::journal_record::check);
}

#[test]
fn backups_hold_what_they_promise() {
    replay("backup", fuzz::backup::check);
}

#[test]
fn configuration_files_hold_what_they_promise() {
    replay("config", fuzz::config::check);
}
