//! `bursar transfer`.

use super::{
    align_right, available, connect, exit_code, facts, outcome_json, outcome_rows, print, print_json, table,
};
use crate::command_line::TransferArguments;
use anyhow::Context;
use ledger::{AssetId, Transfer, TransferId};
use serde_json::{Value, json};
use std::process::ExitCode;
use uuid::Uuid;

/// Runs it.
pub async fn run(arguments: TransferArguments) -> anyhow::Result<ExitCode> {
    let flags = arguments.client;
    let client = connect(&flags).await?;
    let transfer = Transfer {
        id: arguments.id.unwrap_or_else(|| TransferId(Uuid::now_v7().as_u128())),
        debit_wallet: arguments.from,
        credit_wallet: arguments.to,
        asset: AssetId(arguments.asset),
        amount: arguments.amount,
        group_id: arguments.group.0,
        code: arguments.code,
        effective_at_ns: 0,
        metadata: arguments.metadata.into_bytes().into(),
    };
    let id = transfer.id;
    let created = client.create_transfers_with_balances(&[transfer]).await.with_context(|| {
        format!("transfer {id}: to learn what became of it, send it again with --id {id}")
    })?;
    let outcome = created.outcomes.first().context("the server gave no outcome")?;
    let positions = created.positions.first().map(Vec::as_slice).unwrap_or_default();
    if flags.json {
        let wallets: Vec<Value> = positions
            .iter()
            .map(|position| {
                json!({
                    "id": position.wallet.to_string(),
                    "balance": position.balance.to_string(),
                    "available": available(position.available),
                    "as_of_seq": position.as_of_seq,
                })
            })
            .collect();
        print_json(&json!({ "id": id.to_string(), "outcome": outcome_json(outcome), "wallets": wallets }))?;
    } else {
        let mut rows = vec![("transfer", id.to_string())];
        rows.extend(outcome_rows(outcome));
        print(&facts(&rows).to_string())?;
        if !positions.is_empty() {
            let mut table = table(&["wallet", "balance", "available", "as of entry"]);
            for position in positions {
                table.add_row([
                    position.wallet.to_string(),
                    position.balance.to_string(),
                    available(position.available),
                    position.as_of_seq.to_string(),
                ]);
            }
            align_right(&mut table, 1..4);
            print(&table.to_string())?;
        }
    }
    Ok(exit_code(outcome))
}
