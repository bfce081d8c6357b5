//! `bursar import`: wallets with their opening balances, from a CSV.
//!
//! The whole file is checked before anything is sent. Then chunk after chunk of it is sent: wallets, then the transfers that give
//! them their balances, under ids that follow from the import's and the wallet's. So it may be cut off anywhere and run again. All
//! of it is hidden until the last request closes the import.

mod checked_file;
mod sending;
mod table;

use super::{REFUSED, connect, facts, outcome_json, outcome_rows, print, print_json, time};
use crate::command_line::{ClientFlags, ImportArguments};
use anyhow::Context;
use checked_file::{Balances, CheckedFile};
use ledger::{ImportId, Outcome};
use sending::{Refused, Sources, send};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Wallets that are sent together.
const CHUNK: usize = 1_000;

/// An id that follows from what was hashed.
fn id_of(hash: blake3::Hash) -> u128 {
    u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes")).max(1)
}

/// How far an import has come.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The file was looked through.
    Checked,
    /// All of it is there, and hidden.
    Open,
    /// All of it is shown.
    Closed(Outcome),
}

/// Runs it.
pub async fn run(arguments: ImportArguments) -> anyhow::Result<ExitCode> {
    let ImportArguments { file, id, opening_wallets, code, check, keep_open, client: flags } = arguments;
    let begun = Instant::now();
    let checked = CheckedFile::read(&file, id, &opening_wallets)?;
    if check {
        report(&checked, State::Checked, begun, &flags)?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = Arc::new(connect(&flags).await?);
    // Whoever goes on with another file needs it, whatever becomes of this run.
    eprintln!("import {}", checked.import);
    let sources = Arc::new(Sources::find(&client, &checked, &opening_wallets, code).await?);
    if let Err(refused) = send(&client, &file, &checked, &sources).await? {
        return report_refusal(checked.import, &refused, &flags);
    }
    if keep_open {
        report(&checked, State::Open, begun, &flags)?;
        return Ok(ExitCode::SUCCESS);
    }
    let outcomes = client.close_imports(&[checked.import]).await?;
    let outcome = *outcomes.first().context("a request for one import has one outcome")?;
    if !outcome.status.is_success() {
        return report_refusal(checked.import, &Refused { line: None, outcome }, &flags);
    }
    report(&checked, State::Closed(outcome), begun, &flags)?;
    Ok(ExitCode::SUCCESS)
}

fn report_refusal(import: ImportId, refused: &Refused, flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let Refused { line, outcome } = refused;
    if flags.json {
        let outcome = outcome_json(outcome);
        print_json(&json!({ "import": import.to_string(), "line": line, "outcome": outcome }))?;
    } else {
        let mut rows = vec![("import", import.to_string())];
        rows.extend(line.map(|line| ("line", line.to_string())));
        rows.extend(outcome_rows(outcome));
        let advice = "nothing of it is shown; when the reason is gone, run it again; with another file, under this id:";
        print(&format!("{}\n{advice} --id {import}", facts(&rows)))?;
    }
    Ok(ExitCode::from(REFUSED))
}

/// Tells what was imported.
fn report(file: &CheckedFile, state: State, begun: Instant, flags: &ClientFlags) -> anyhow::Result<()> {
    let seconds = begun.elapsed().as_secs_f64();
    let (name, did, closed) = match state {
        State::Checked => ("checked", "checked", None),
        State::Open => ("open", "imported", None),
        State::Closed(outcome) => ("closed", "imported", Some(outcome)),
    };
    if flags.json {
        let balances = file.balances.iter().map(|(asset, Balances { wallets, sum, .. })| {
            json!({ "asset": asset.0, "wallets": wallets, "sum": sum.to_string() })
        });
        return print_json(&json!({
            "import": file.import.to_string(),
            "state": name,
            "wallets": file.wallets,
            "balances": balances.collect::<Vec<_>>(),
            "outcome": closed.as_ref().map(outcome_json),
            "elapsed_s": seconds,
        }));
    }
    let mut rows = vec![
        ("import", file.import.to_string()),
        ("state", name.to_owned()),
        ("wallets", file.wallets.to_string()),
    ];
    for (asset, Balances { wallets, sum, .. }) in &file.balances {
        rows.push(("balances", format!("{sum} of asset {asset} in {wallets} wallets")));
    }
    if let Some(outcome) = closed {
        rows.push(("entry", outcome.seq.to_string()));
        rows.push(("time", time(outcome.timestamp_ns)));
    }
    print(&format!("{}\n{did} in {seconds:.2} s", facts(&rows)))
}
