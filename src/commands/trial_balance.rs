//! `bursar trial-balance`.

use super::{align_right, connect, print, print_json, table};
use crate::command_line::ClientFlags;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Runs it. Fails if the books do not balance.
pub async fn run(flags: ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(&flags).await?;
    let trial = client.trial_balance().await?;
    let balanced = trial.assets.iter().all(|asset| asset.totals.is_balanced());
    if flags.json {
        let assets: Vec<Value> = trial
            .assets
            .iter()
            .map(|line| {
                json!({
                    "id": line.asset.id.0,
                    "code": line.asset.code.as_str(),
                    "scale": line.asset.scale,
                    "wallets": line.totals.wallets,
                    "debits_pending": line.totals.debits_pending.to_string(),
                    "debits_posted": line.totals.debits_posted.to_string(),
                    "credits_pending": line.totals.credits_pending.to_string(),
                    "credits_posted": line.totals.credits_posted.to_string(),
                    "balanced": line.totals.is_balanced(),
                })
            })
            .collect();
        print_json(&json!({ "as_of_seq": trial.as_of_seq, "balanced": balanced, "assets": assets }))?;
    } else {
        let mut table = table(&["asset", "wallets", "debits posted", "credits posted", "balanced"]);
        for line in &trial.assets {
            table.add_row([
                format!("{} {}", line.asset.id, line.asset.code),
                line.totals.wallets.to_string(),
                line.totals.debits_posted.to_string(),
                line.totals.credits_posted.to_string(),
                if line.totals.is_balanced() { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        align_right(&mut table, 1..4);
        print(&format!("{table}\nas of entry {}", trial.as_of_seq))?;
    }
    Ok(if balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
