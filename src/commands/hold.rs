//! `bursar hold`, and `bursar hold list`.

use super::order_report::{report, transfer};
use super::transfer::side_name;
use super::wallet_list::summary;
use super::{align_right, connect, print, print_json, report_refusal, table, time};
use crate::command_line::{ClientFlags, HoldCommand, HoldSubcommand, ListCount};
use anyhow::Context;
use client::{OpenHold, PendingPage, PendingQuery};
use ledger::{Pending, WalletId};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Runs it.
pub async fn run(command: HoldCommand) -> anyhow::Result<ExitCode> {
    let HoldCommand { command, movement, expires_after: timeout_s, notes, client: flags } = command;
    if let Some(HoldSubcommand::List { wallet, count, client }) = command {
        return list(wallet, count, &client).await;
    }
    let movement = movement.context("the wallets, the amount and the asset are missing")?;
    let client = connect(&flags).await?;
    let pending = Pending { transfer: transfer(&movement, notes), timeout_s };
    let id = pending.transfer.id;
    report("hold", id, client.create_pending_with_balances(&[pending]).await, &flags)
}

async fn list(wallet: WalletId, count: ListCount, flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    let mut holds: Vec<OpenHold> = Vec::new();
    let mut query = PendingQuery { wallet, after: None, limit: 0 };
    let (as_of_seq, is_more) = loop {
        let left = count.max().saturating_sub(holds.len() as u64);
        query.limit = u32::try_from(left).unwrap_or(0);
        let answer = client.list_pending(&query).await;
        let page = match report_refusal("wallet", &wallet.to_string(), answer, flags)? {
            Ok(page) => page,
            Err(refused) => return Ok(refused),
        };
        let PendingPage { as_of_seq, holds: further, next } = page;
        holds.extend(further);
        if next.is_none() || holds.len() as u64 >= count.max() {
            break (as_of_seq, next.is_some());
        }
        query.after = next;
    };
    if flags.json {
        let (wallet, holds) = (wallet.to_string(), holds.iter().map(hold_json).collect::<Vec<_>>());
        print_json(
            &json!({ "wallet": wallet, "as_of_seq": as_of_seq, "complete": !is_more, "holds": holds }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(&["hold", "side", "amount", "expires", "entry"]);
    for hold in &holds {
        let never = hold.expires_at_ns == u64::MAX;
        table.add_row([
            hold.id.to_string(),
            side_name(hold.side).to_owned(),
            hold.amount.to_string(),
            if never { "never".to_owned() } else { time(hold.expires_at_ns) },
            hold.seq.to_string(),
        ]);
    }
    align_right(&mut table, 2..3);
    print(&format!("{table}\n{}", summary(holds.len(), "open holds", is_more, as_of_seq)))?;
    Ok(ExitCode::SUCCESS)
}

fn hold_json(hold: &OpenHold) -> Value {
    let OpenHold { id, side, amount, expires_at_ns, seq } = hold;
    let expires = if *expires_at_ns == u64::MAX { Value::Null } else { expires_at_ns.to_string().into() };
    json!({
        "id": id.to_string(),
        "side": side_name(*side),
        "amount": amount.to_string(),
        "expires_at_ns": expires,
        "seq": seq,
    })
}
