//! `bursar rebuild`: makes the books of a stopped data directory again from the records in them.

use super::progress::{Progress, Unit};
use super::{print, print_json};
use persistence::{BooksOptions, RebuildProgress, rebuild_books};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Runs it. What cannot be rebuilt, because a record is damaged, is an error that names the place; nothing is changed then.
pub fn run(directory: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut progress = Progress::begin("rebuilding", Unit::Entries, 0);
    let report = rebuild_books(directory, &BooksOptions::default(), &mut |come| match come {
        RebuildProgress::Found(entries) => {
            progress = Progress::begin("rebuilding", Unit::Entries, entries);
        }
        RebuildProgress::Folded(entries) => progress.set(entries),
    })?;
    drop(progress);
    let seconds = begun.elapsed().as_secs_f64();
    if json {
        print_json(&json!({
            "rebuilt_through_seq": report.seq,
            "entries_above": report.above,
            "elapsed_s": seconds,
        }))?;
    } else {
        print(&format!(
            "rebuilt the books of {} up to entry {} in {seconds:.2} s; the journal holds {} more",
            directory.display(),
            report.seq,
            report.above
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
