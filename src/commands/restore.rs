//! `bursar restore`: makes a data directory of a backup.

use super::progress::{Progress, Unit};
use super::{facts, hex, print, print_json, time};
use anyhow::Context;
use persistence::{BooksOptions, RestoreProgress, restore};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Runs it. A backup that is damaged is found out before anything is made.
pub fn run(backup: &Path, directory: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let bytes = std::fs::metadata(backup).with_context(|| format!("cannot read {}", backup.display()))?.len();
    let mut progress = Progress::begin("checking", Unit::Bytes, bytes);
    let report = restore(backup, directory, &BooksOptions::default(), &mut |come| match come {
        RestoreProgress::Checked(bytes) => progress.set(bytes),
        RestoreProgress::Whole(report) => {
            progress = Progress::begin("restoring", Unit::Entries, report.entries);
        }
        RestoreProgress::Folded(entries) => progress.set(entries),
    })?;
    drop(progress);
    let seconds = begun.elapsed().as_secs_f64();
    if json {
        print_json(&json!({
            "directory": directory,
            "last_seq": report.entries,
            "records": report.records,
            "last_timestamp_ns": report.last_timestamp_ns.to_string(),
            "hash": hex(&report.hash),
            "elapsed_s": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ("directory", directory.display().to_string()),
        ("last entry", report.entries.to_string()),
        ("hash", hex(&report.hash)),
    ];
    if report.last_timestamp_ns > 0 {
        rows.push(("time of last entry", time(report.last_timestamp_ns)));
    }
    print(&format!("{}\nrestored in {seconds:.2} s; `bursar serve` goes on from there", facts(&rows)))?;
    Ok(ExitCode::SUCCESS)
}
