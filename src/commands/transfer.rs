//! `bursar transfer`: makes one, or shows orders of any kind.

use super::order_report::{report, transfer};
use super::{bytes_text, connect, facts, outcome_json, outcome_rows, print, print_json, table, time};
use crate::command_line::{ClientFlags, TransferCommand, TransferSubcommand};
use anyhow::Context;
use client::{Progress, TransferView};
use ledger::{Leg, Order, Pending, Post, Reversal, Side, Transaction, Transfer, TransferId, Void};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Runs it.
pub async fn run(command: TransferCommand) -> anyhow::Result<ExitCode> {
    let TransferCommand { command, movement, notes, client: flags } = command;
    if let Some(TransferSubcommand::Show { ids, client }) = command {
        return show(&ids, &client).await;
    }
    let movement = movement.context("say what to move: FROM, TO, AMOUNT and --asset")?;
    let client = connect(&flags).await?;
    let transfer = transfer(&movement, notes);
    let id = transfer.id;
    report("transfer", id, client.create_transfers_with_balances(&[transfer]).await, &flags)
}

async fn show(ids: &[TransferId], flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    let views = client.lookup_transfers(ids).await?;
    let missing = views.iter().any(Option::is_none);
    if flags.json {
        let orders: Vec<Value> =
            views.iter().map(|view| view.as_ref().map_or(Value::Null, view_json)).collect();
        print_json(&Value::Array(orders))?;
    } else {
        for (index, (id, view)) in ids.iter().zip(&views).enumerate() {
            if index > 0 {
                print("")?;
            }
            if let Some(view) = view {
                print_view(view)?;
            } else {
                let rows = [("order", id.to_string()), ("status", "not found".to_owned())];
                print(&facts(&rows).to_string())?;
            }
        }
    }
    Ok(if missing { ExitCode::from(super::REFUSED) } else { ExitCode::SUCCESS })
}

fn print_view(view: &TransferView) -> anyhow::Result<()> {
    let TransferView { order, outcome, progress } = view;
    let mut rows = vec![(order.kind().name(), order.id().to_string())];
    rows.extend(order_rows(order));
    let (group_id, code, effective_at_ns, metadata) = order.notes();
    if group_id != 0 {
        rows.push(("group", TransferId(group_id).to_string()));
    }
    rows.push(("code", code.to_string()));
    if effective_at_ns != 0 {
        rows.push(("effective at", time(effective_at_ns)));
    }
    if !metadata.is_empty() {
        rows.push(("metadata", bytes_text(metadata)));
    }
    // A look-up tells what was first answered, so nothing of it is replayed.
    rows.extend(outcome_rows(outcome).into_iter().filter(|(name, _)| *name != "replayed"));
    rows.extend(progress_rows(order, progress));
    print(&facts(&rows).to_string())?;
    if let Order::Transaction(transaction) = order {
        print_legs(&transaction.legs)?;
    }
    Ok(())
}

/// What it is about, without its notes.
fn order_rows(order: &Order) -> Vec<(&'static str, String)> {
    let of_transfer = |transfer: &Transfer| {
        vec![
            ("debit wallet", transfer.debit_wallet.to_string()),
            ("credit wallet", transfer.credit_wallet.to_string()),
            ("asset", transfer.asset.to_string()),
            ("amount", transfer.amount.to_string()),
        ]
    };
    let amount_or_all = |amount: u128| if amount == 0 { "all".to_owned() } else { amount.to_string() };
    match order {
        Order::Transfer(transfer) | Order::Pending(Pending { transfer, .. }) => of_transfer(transfer),
        Order::Post(Post { pending_id, amount, .. }) => {
            vec![("hold", pending_id.to_string()), ("amount", amount_or_all(*amount))]
        }
        Order::Void(Void { pending_id, .. }) => vec![("hold", pending_id.to_string())],
        Order::Reversal(Reversal { reverses_id, amount, .. }) => {
            vec![("reverses", reverses_id.to_string()), ("amount", amount_or_all(*amount))]
        }
        Order::Transaction(Transaction { legs, .. }) => vec![("legs", legs.len().to_string())],
    }
}

fn progress_rows(order: &Order, progress: &Progress) -> Vec<(&'static str, String)> {
    match *progress {
        Progress::None => Vec::new(),
        Progress::Hold { terms, state } => vec![
            ("state", state.name().to_owned()),
            (
                "expires",
                if terms.expires_at_ns == u64::MAX { "never".to_owned() } else { time(terms.expires_at_ns) },
            ),
        ],
        Progress::Moved { reversed, .. } if matches!(order, Order::Transaction(_)) => {
            vec![("reversed", if reversed == 0 { "no" } else { "yes" }.to_owned())]
        }
        Progress::Moved { amount, reversed } => {
            vec![("moved", amount.to_string()), ("reversed", reversed.to_string())]
        }
    }
}

fn print_legs(legs: &[Leg]) -> anyhow::Result<()> {
    let mut table = table(&["leg", "wallet", "side", "asset", "amount"]);
    for (index, leg) in legs.iter().enumerate() {
        table.add_row([
            index.to_string(),
            leg.wallet.to_string(),
            side_name(leg.side).to_owned(),
            leg.asset.to_string(),
            leg.amount.to_string(),
        ]);
    }
    super::align_right(&mut table, 4..5);
    print(&table.to_string())
}

pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Debit => "debit",
        Side::Credit => "credit",
    }
}

fn view_json(view: &TransferView) -> Value {
    let TransferView { order, outcome, progress } = view;
    let mut fields = order_fields(order);
    fields.insert("outcome".to_owned(), outcome_json(outcome));
    fields.insert("progress".to_owned(), progress_json(progress));
    Value::Object(fields)
}

/// An order as it was asked for.
pub(super) fn order_fields(order: &Order) -> Map<String, Value> {
    let (group_id, code, effective_at_ns, metadata) = order.notes();
    let mut fields = Map::new();
    fields.insert("id".to_owned(), order.id().to_string().into());
    fields.insert("kind".to_owned(), order.kind().name().into());
    if let Value::Object(own) = order_json(order) {
        fields.extend(own);
    }
    fields.insert("group_id".to_owned(), TransferId(group_id).to_string().into());
    fields.insert("code".to_owned(), code.into());
    fields.insert("effective_at_ns".to_owned(), effective_at_ns.to_string().into());
    fields.insert("metadata".to_owned(), bytes_text(metadata).into());
    fields
}

fn order_json(order: &Order) -> Value {
    let of_transfer = |transfer: &Transfer, timeout_s: Option<u32>| {
        let mut fields = json!({
            "debit_wallet": transfer.debit_wallet.to_string(),
            "credit_wallet": transfer.credit_wallet.to_string(),
            "asset": transfer.asset.0,
            "amount": transfer.amount.to_string(),
        });
        if let Some(timeout_s) = timeout_s {
            fields["timeout_s"] = timeout_s.into();
        }
        fields
    };
    match order {
        Order::Transfer(transfer) => of_transfer(transfer, None),
        Order::Pending(Pending { transfer, timeout_s }) => of_transfer(transfer, Some(*timeout_s)),
        Order::Post(Post { pending_id, amount, .. }) => {
            json!({ "pending_id": pending_id.to_string(), "amount": amount.to_string() })
        }
        Order::Void(Void { pending_id, .. }) => json!({ "pending_id": pending_id.to_string() }),
        Order::Reversal(Reversal { reverses_id, amount, .. }) => {
            json!({ "reverses_id": reverses_id.to_string(), "amount": amount.to_string() })
        }
        Order::Transaction(Transaction { legs, .. }) => {
            let legs: Vec<Value> = legs
                .iter()
                .map(|leg| {
                    json!({
                        "wallet": leg.wallet.to_string(),
                        "side": side_name(leg.side),
                        "asset": leg.asset.0,
                        "amount": leg.amount.to_string(),
                    })
                })
                .collect();
            json!({ "legs": legs })
        }
    }
}

fn progress_json(progress: &Progress) -> Value {
    match *progress {
        Progress::None => Value::Null,
        Progress::Hold { terms, state } => {
            let expires = terms.expires_at_ns;
            json!({
                "state": state.name(),
                "amount": terms.amount.to_string(),
                "expires_at_ns": if expires == u64::MAX { Value::Null } else { expires.to_string().into() },
            })
        }
        Progress::Moved { amount, reversed } => {
            json!({ "amount": amount.to_string(), "reversed": reversed.to_string() })
        }
    }
}
