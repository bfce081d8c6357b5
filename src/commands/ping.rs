//! `bursar ping`.

use super::{connect, facts, print, print_json, time};
use crate::command_line::ClientFlags;
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

/// Runs it.
pub async fn run(flags: ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(&flags).await?;
    let sent = Instant::now();
    let pong = client.ping().await?;
    let round_trip = sent.elapsed();
    if flags.json {
        print_json(&json!({
            "round_trip_us": round_trip.as_micros() as u64,
            "timestamp_ns": pong.timestamp_ns.to_string(),
            "durable_seq": pong.durable_seq,
        }))?;
    } else {
        let rows = [
            ("round trip", format!("{} µs", round_trip.as_micros())),
            ("ledger time", time(pong.timestamp_ns)),
            ("durable up to entry", pong.durable_seq.to_string()),
        ];
        print(&facts(&rows).to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
