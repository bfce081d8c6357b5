//! `bursar verify`: checks a stopped data directory, or a backup, from its first record to its last.

use super::progress::{Progress, Unit};
use super::{align_right, facts, print, print_json, table, time};
use persistence::{verify_and_read, verify_backup};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Runs it. Any fault is an error that names the place.
pub fn run(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let is_backup = path.is_file();
    let mut progress = Progress::begin("verifying", Unit::Entries, 0);
    let report = if is_backup {
        verify_backup(path, &mut |seq| progress.set(seq))?
    } else {
        verify_and_read(path, &mut |seq, _, _| {
            // Not for each of them.
            if seq % 1024 == 0 {
                progress.set(seq);
            }
            Ok(())
        })?
    };
    drop(progress);
    let recovery = &report.recovery;
    let dropped = recovery.dropped_tail.as_ref().map_or(0, |tail| tail.records);
    if json {
        let assets: Vec<Value> = report
            .totals
            .iter()
            .map(|(asset, totals)| {
                json!({
                    "id": asset.id.0,
                    "code": asset.code.as_str(),
                    "wallets": totals.wallets,
                    "debits_posted": totals.debits_posted.to_string(),
                    "credits_posted": totals.credits_posted.to_string(),
                })
            })
            .collect();
        print_json(&json!({
            "verified": true,
            "records": recovery.records,
            "entries": recovery.entries,
            "bytes": recovery.bytes,
            "last_seq": recovery.last_seq,
            "acknowledged_seq": recovery.head_seq,
            "unfinished_records": dropped,
            "clean_stop": (!is_backup).then_some(recovery.clean),
            "wallets": report.wallets,
            "transfers": report.transfers,
            "refused": report.refused,
            "assets": assets,
            "elapsed_s": recovery.elapsed.as_secs_f64(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ("records", format!("{} (hashes, chain and order checked)", recovery.records)),
        ("entries", format!("{} (contiguous, each one allowed by the rules)", recovery.entries)),
        ("acknowledged up to", recovery.head_seq.to_string()),
        ("last entry", recovery.last_seq.to_string()),
        ("wallets", report.wallets.to_string()),
    ];
    let transfers = format!("{} done, {} refused for good", report.transfers, report.refused);
    if is_backup {
        rows.push(("transfers", transfers));
    } else {
        rows.push(("transfers", format!("{transfers}, no id twice")));
        rows.push(("last stop", if recovery.clean { "clean" } else { "not clean" }.to_owned()));
    }
    if report.last_timestamp_ns > 0 {
        rows.push(("time of last entry", time(report.last_timestamp_ns)));
    }
    if dropped > 0 {
        rows.push(("unfinished records", format!("{dropped} after the last entry, never acknowledged")));
    }
    rows.extend(recovery.warnings.iter().map(|warning| ("warning", warning.clone())));
    print(&facts(&rows).to_string())?;
    let mut table = table(&["asset", "wallets", "debits posted", "credits posted"]);
    for (asset, totals) in &report.totals {
        table.add_row([
            format!("{} {}", asset.id, asset.code),
            totals.wallets.to_string(),
            totals.debits_posted.to_string(),
            totals.credits_posted.to_string(),
        ]);
    }
    align_right(&mut table, 1..4);
    print(&format!(
        "{table}\nverified {} in {:.2} s: no fault",
        path.display(),
        recovery.elapsed.as_secs_f64()
    ))?;
    Ok(ExitCode::SUCCESS)
}
