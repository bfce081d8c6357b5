//! `bursar asset`.

use super::{connect, exit_code, facts, outcome_json, outcome_rows, print, print_json};
use crate::command_line::AssetCommand;
use anyhow::Context;
use client::NewAsset;
use ledger::AssetId;
use serde_json::json;
use std::process::ExitCode;

/// Runs it.
pub async fn run(command: AssetCommand) -> anyhow::Result<ExitCode> {
    let AssetCommand::Create { id, code, scale, client: flags } = command;
    let client = connect(&flags).await?;
    let outcomes = client.create_assets(&[NewAsset { id: AssetId(id), code: code.clone(), scale }]).await?;
    let outcome = outcomes.first().context("the server gave no outcome")?;
    if flags.json {
        print_json(&json!({ "id": id, "code": code, "scale": scale, "outcome": outcome_json(outcome) }))?;
    } else {
        let mut rows = vec![("asset", format!("{id} {code}"))];
        rows.extend(outcome_rows(outcome));
        print(&facts(&rows).to_string())?;
    }
    Ok(exit_code(outcome))
}
