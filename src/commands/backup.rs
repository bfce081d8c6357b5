//! `bursar backup`: a ledger's records, in one file.

use super::records::{self, Range};
use super::{facts, hex, print, print_json, time};
use crate::command_line::BackupArguments;
use persistence::BackupWriter;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Runs it. Until it is whole and on disk, the backup has another name.
pub async fn run(arguments: BackupArguments) -> anyhow::Result<ExitCode> {
    let BackupArguments { to, source } = arguments;
    let begun = Instant::now();
    let path = place(&to);
    let mut writer = BackupWriter::create(&path)?;
    records::read("backing up", &source, Range::ALL, &mut |record| Ok(writer.add(record)?)).await?;
    let report = writer.finish()?;
    let seconds = begun.elapsed().as_secs_f64();
    if source.client.json {
        print_json(&json!({
            "backup": path,
            "last_seq": report.entries,
            "records": report.records,
            "last_timestamp_ns": report.last_timestamp_ns.to_string(),
            "hash": hex(&report.hash),
            "bytes": report.file_bytes,
            "elapsed_s": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ("backup", path.display().to_string()),
        ("last entry", report.entries.to_string()),
        ("hash", hex(&report.hash)),
        ("bytes", report.file_bytes.to_string()),
    ];
    if report.last_timestamp_ns > 0 {
        rows.push(("time of last entry", time(report.last_timestamp_ns)));
    }
    print(&format!("{}\nbacked up in {seconds:.2} s", facts(&rows)))?;
    Ok(ExitCode::SUCCESS)
}

/// A file, or a name in a directory that says when it was made.
fn place(to: &Path) -> PathBuf {
    if !to.is_dir() {
        return to.to_path_buf();
    }
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    to.join(format!("bursar-{}.backup", now.replace([':', '-'], "")))
}
