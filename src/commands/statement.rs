//! `bursar wallet statement`.

use super::wallet_list::summary;
use super::{align_right, connect, facts, position_json, print, print_json, report_refusal, table, time};
use crate::command_line::StatementArguments;
use client::{StatementPage, StatementQuery, StatementRow};
use ledger::{TransferId, WalletId};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Runs it.
pub(super) async fn run(arguments: StatementArguments) -> anyhow::Result<ExitCode> {
    let StatementArguments { id, from, to, newest_first, kind, code, group, count, client: flags } =
        arguments;
    let client = connect(&flags).await?;
    let mut query = StatementQuery {
        from_ns: from.unwrap_or(0),
        to_ns: to.unwrap_or(u64::MAX),
        newest_first,
        kind,
        code,
        group_id: group.map(|group| group.0),
        ..StatementQuery::of(id)
    };
    let mut whole: Option<StatementPage> = None;
    let whole = loop {
        let rows = whole.as_ref().map_or(0, |page| page.rows.len()) as u64;
        query.limit = u32::try_from(count.max().saturating_sub(rows)).unwrap_or(0);
        let page = match report_refusal("wallet", &id.to_string(), client.statement(&query).await, &flags)? {
            Ok(page) => page,
            Err(refused) => return Ok(refused),
        };
        query.cursor = page.next;
        let whole = match &mut whole {
            None => whole.insert(page),
            Some(whole) => {
                whole.rows.extend(page.rows);
                whole.next = page.next;
                whole
            }
        };
        if whole.next.is_none() || whole.rows.len() as u64 >= count.max() {
            break whole;
        }
    };
    if flags.json {
        print_json(&statement_json(id, whole))?;
    } else {
        print_statement(id, whole)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn statement_json(id: WalletId, statement: &StatementPage) -> Value {
    let StatementPage { as_of_seq, opening, closing, rows, next } = statement;
    json!({
        "wallet": id.to_string(),
        "as_of_seq": as_of_seq,
        "opening": position_json(opening),
        "closing": position_json(closing),
        "complete": next.is_none(),
        "rows": rows.iter().map(row_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &StatementRow) -> Value {
    json!({
        "seq": row.seq,
        "timestamp_ns": row.timestamp_ns.to_string(),
        "kind": row.kind.name(),
        "id": row.id.to_string(),
        "counterparty": row.counterparty.map(|wallet| wallet.to_string()),
        "debits": row.debits.to_string(),
        "credits": row.credits.to_string(),
        "code": row.code,
        "group_id": TransferId(row.group_id).to_string(),
        "position": position_json(&row.position),
    })
}

fn print_statement(id: WalletId, statement: &StatementPage) -> anyhow::Result<()> {
    let StatementPage { as_of_seq, opening, closing, rows, next } = statement;
    let mut table =
        table(&["entry", "time", "kind", "order", "other wallet", "debits", "credits", "balance"]);
    for row in rows {
        let amount = |amount: u128| if amount == 0 { String::new() } else { amount.to_string() };
        table.add_row([
            row.seq.to_string(),
            time(row.timestamp_ns),
            row.kind.to_string(),
            row.id.to_string(),
            row.counterparty.map(|wallet| wallet.to_string()).unwrap_or_default(),
            amount(row.debits),
            amount(row.credits),
            row.position.balance().to_string(),
        ]);
    }
    align_right(&mut table, 5..8);
    let head = [("wallet", id.to_string()), ("opening balance", opening.balance().to_string())];
    let foot = [("closing balance", closing.balance().to_string())];
    let summary = summary(rows.len(), "entries", next.is_some(), *as_of_seq);
    print(&format!("{}\n{table}\n{}\n{summary}", facts(&head), facts(&foot)))
}
