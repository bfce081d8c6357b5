//! A person's commands: each one connects, asks, prints a table or JSON, and ends.
//!
//! Exit codes: 0 done, 1 an error, 2 the command line is wrong, 3 the server answered with a refusal.

pub mod asset;
pub mod backup;
pub mod completions;
pub mod config;
pub mod events;
pub mod export;
pub mod hold;
pub mod import;
pub mod man;
mod order_report;
pub mod ping;
pub mod post;
mod progress;
pub mod rebuild;
mod records;
pub mod restore;
pub mod reverse;
mod statement;
pub mod transaction;
pub mod transfer;
pub mod trial_balance;
pub mod verify;
pub mod void;
pub mod wallet;
mod wallet_list;

use crate::command_line::ClientFlags;
use anyhow::Context;
use client::{Client, ClientError, ClientOptions};
use comfy_table::{CellAlignment, Table, presets};
use ledger::{Outcome, Position, RefusalDetail, Status};
use serde_json::{Value, json};
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code of a command that was refused.
const REFUSED: u8 = 3;

/// Runs a client command to its end.
pub fn in_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

/// An error and its causes in one line. A cause that is already in it is not said again.
pub fn explain(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

async fn connect(flags: &ClientFlags) -> anyhow::Result<Client> {
    let options = ClientOptions {
        name: "bursar".to_owned(),
        connections: 1,
        connect_timeout: flags.timeout,
        request_timeout: flags.timeout,
        ..ClientOptions::default()
    };
    Client::connect(flags.addr.clone(), options)
        .await
        .with_context(|| format!("cannot reach a server at {}: is `bursar serve` running there?", flags.addr))
}

/// Prints to standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

fn print_json(value: &Value) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_header(header);
    table
}

/// A table of names and values.
fn facts(rows: &[(&str, String)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([*name, value]);
    }
    table
}

fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn exit_code(outcome: &Outcome) -> ExitCode {
    if outcome.status.is_success() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
}

/// Tells that a question about `name` has no answer, if that is why there is none.
fn report_refusal<T>(
    name: &'static str,
    of: &str,
    answer: Result<T, ClientError>,
    flags: &ClientFlags,
) -> anyhow::Result<Result<T, ExitCode>> {
    let status: Status = match answer {
        Ok(answer) => return Ok(Ok(answer)),
        Err(ClientError::QueryRefused { status, .. }) => status,
        Err(error) => return Err(error.into()),
    };
    if flags.json {
        print_json(&json!({ name: of, "status": status.name() }))?;
    } else {
        print(&facts(&[(name, of.to_owned()), ("status", status.to_string())]).to_string())?;
    }
    Ok(Err(ExitCode::from(REFUSED)))
}

fn position_json(position: &Position) -> Value {
    json!({
        "balance": position.balance().to_string(),
        "debits_pending": position.debits_pending.to_string(),
        "debits_posted": position.debits_posted.to_string(),
        "credits_pending": position.credits_pending.to_string(),
        "credits_posted": position.credits_posted.to_string(),
    })
}

/// Amounts are strings: JSON numbers lose what is above 2^53.
fn outcome_json(outcome: &Outcome) -> Value {
    let detail = match outcome.detail {
        RefusalDetail::None => Value::Null,
        RefusalDetail::InsufficientFunds { available, required } => {
            json!({ "available": available.to_string(), "required": required.to_string() })
        }
        RefusalDetail::LimitExceeded { limit } => json!({ "limit": limit.to_string() }),
        RefusalDetail::AlreadyRefused { first_status } => json!({ "first_status": first_status.name() }),
        RefusalDetail::AmountExceeded { left } => json!({ "left": left.to_string() }),
        RefusalDetail::LegRefused { index, status } => json!({ "index": index, "status": status.name() }),
    };
    json!({
        "status": outcome.status.name(),
        "replayed": outcome.replayed,
        "seq": outcome.seq,
        "timestamp_ns": outcome.timestamp_ns.to_string(),
        "detail": detail,
    })
}

fn outcome_rows(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut rows = vec![("status", outcome.status.to_string())];
    match outcome.detail {
        RefusalDetail::None => {}
        RefusalDetail::InsufficientFunds { available, required } => {
            rows.push(("available", available.to_string()));
            rows.push(("required", required.to_string()));
        }
        RefusalDetail::LimitExceeded { limit } => rows.push(("limit", limit.to_string())),
        RefusalDetail::AlreadyRefused { first_status } => {
            rows.push(("first status", first_status.to_string()));
        }
        RefusalDetail::AmountExceeded { left } => rows.push(("left", left.to_string())),
        RefusalDetail::LegRefused { index, status } => {
            rows.push(("leg", index.to_string()));
            rows.push(("status of the leg", status.to_string()));
        }
    }
    if outcome.seq > 0 {
        rows.push(("replayed", if outcome.replayed { "yes" } else { "no" }.to_owned()));
        rows.push(("entry", outcome.seq.to_string()));
    }
    // A change of a wallet that was so already names its newest entry and not that entry's time.
    if outcome.timestamp_ns > 0 {
        rows.push(("time", time(outcome.timestamp_ns)));
    }
    rows
}

/// Text as it is; other bytes in hexadecimal behind `\x`, so that nothing is lost.
fn bytes_text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("\\x") => text.to_owned(),
        _ => format!("\\x{}", hex(bytes)),
    }
}

/// The bytes that [`bytes_text`] has told so. What is no hexadecimal behind `\\x` is text, too.
fn unhex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("\\x").filter(|digits| digits.len().is_multiple_of(2));
    let bytes = digits.and_then(|digits| {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pairs = digits.as_bytes().chunks(2);
        pairs.map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect::<Option<Vec<u8>>>()
    });
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn time(timestamp_ns: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(timestamp_ns);
    humantime::format_rfc3339_nanos(time).to_string()
}

/// `None` is without limit.
fn available(available: Option<i128>) -> String {
    available.map_or_else(|| "unlimited".to_owned(), |available| available.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_so_that_nothing_is_lost() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(bytes_text(bytes), expected);
            assert_eq!(unhex(expected), bytes);
        };
        check(b"", "");
        check("Gr\u{fc}\u{df}e".as_bytes(), "Gr\u{fc}\u{df}e");
        check(&[0xff, 0x00], "\\xff00");
        // Text that looks like the other form.
        check(b"\\xff00", "\\x5c7866663030");
    }
}
