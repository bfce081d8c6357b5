//! What an order was answered, as a person or a program reads it, and what every order is made from.

use super::{align_right, available, exit_code, facts, outcome_json, outcome_rows, print, print_json, table};
use crate::command_line::{ClientFlags, Movement, OrderNotes};
use anyhow::Context;
use client::{ClientError, OrdersAnswered, WalletPosition};
use ledger::{AssetId, Memo, Transfer, TransferId};
use serde_json::{Value, json};
use std::process::ExitCode;
use uuid::Uuid;

/// The id that was given, or a new one.
pub(super) fn id(notes: &OrderNotes) -> TransferId {
    notes.id.unwrap_or_else(|| TransferId(Uuid::now_v7().as_u128()))
}

/// The notes of an order that is no transfer.
pub(super) fn memo(notes: OrderNotes) -> Memo {
    Memo {
        group_id: notes.group.0,
        code: notes.code,
        effective_at_ns: 0,
        metadata: notes.metadata.into_bytes().into(),
    }
}

/// A transfer, which is also what a hold consists of.
pub(super) fn transfer(movement: &Movement, notes: OrderNotes) -> Transfer {
    let id = id(&notes);
    let Memo { group_id, code, effective_at_ns, metadata } = memo(notes);
    Transfer {
        id,
        debit_wallet: movement.from,
        credit_wallet: movement.to,
        asset: AssetId(movement.asset),
        amount: movement.amount,
        group_id,
        code,
        effective_at_ns,
        metadata,
    }
}

/// Prints what the order `id` was answered. `name` is what it is called.
pub(super) fn report(
    name: &'static str,
    id: TransferId,
    answered: Result<OrdersAnswered, ClientError>,
    flags: &ClientFlags,
) -> anyhow::Result<ExitCode> {
    let answered = answered
        .with_context(|| format!("{name} {id}: to learn what became of it, send it again with --id {id}"))?;
    let outcome = answered.outcomes.first().context("the server gave no outcome")?;
    let positions = answered.positions.first().map(Vec::as_slice).unwrap_or_default();
    if flags.json {
        let wallets: Vec<Value> = positions.iter().map(position_json).collect();
        print_json(&json!({ "id": id.to_string(), "outcome": outcome_json(outcome), "wallets": wallets }))?;
    } else {
        let mut rows = vec![(name, id.to_string())];
        rows.extend(outcome_rows(outcome));
        print(&facts(&rows).to_string())?;
        if !positions.is_empty() {
            print_positions(positions)?;
        }
    }
    Ok(exit_code(outcome))
}

fn position_json(position: &WalletPosition) -> Value {
    json!({
        "id": position.wallet.to_string(),
        "balance": position.balance.to_string(),
        "debits_pending": position.debits_pending.to_string(),
        "credits_pending": position.credits_pending.to_string(),
        "available": available(position.available),
        "as_of_seq": position.as_of_seq,
    })
}

/// Holds have columns only if there are any.
fn print_positions(positions: &[WalletPosition]) -> anyhow::Result<()> {
    let has_holds =
        positions.iter().any(|position| position.debits_pending > 0 || position.credits_pending > 0);
    let header: &[&str] = if has_holds {
        &["wallet", "balance", "debits pending", "credits pending", "available", "as of entry"]
    } else {
        &["wallet", "balance", "available", "as of entry"]
    };
    let mut table = table(header);
    for position in positions {
        let mut row = vec![position.wallet.to_string(), position.balance.to_string()];
        if has_holds {
            row.extend([position.debits_pending.to_string(), position.credits_pending.to_string()]);
        }
        row.extend([available(position.available), position.as_of_seq.to_string()]);
        table.add_row(row);
    }
    align_right(&mut table, 1..header.len());
    print(&table.to_string())
}
