//! `bursar wallet list`.

use super::wallet::{owner_text, with_terms};
use super::{align_right, bytes_text, connect, position_json, print, print_json, report_refusal, table};
use crate::command_line::{ClientFlags, ListCount};
use client::{ListedWallet, WalletsPage, WalletsQuery};
use ledger::{Owner, WalletFlags};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Runs it.
pub(super) async fn run(
    owner: Option<Owner>,
    code: Option<u16>,
    with: WalletFlags,
    count: ListCount,
    flags: &ClientFlags,
) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    let mut wallets: Vec<ListedWallet> = Vec::new();
    let mut query = WalletsQuery { owner, code, flags: with, after: None, limit: 0 };
    let (as_of_seq, is_more) = loop {
        let left = count.max().saturating_sub(wallets.len() as u64);
        query.limit = u32::try_from(left).unwrap_or(0);
        let page = match report_refusal("list", "wallets", client.list_wallets(&query).await, flags)? {
            Ok(page) => page,
            Err(refused) => return Ok(refused),
        };
        let WalletsPage { as_of_seq, wallets: further, next } = page;
        wallets.extend(further);
        if next.is_none() || wallets.len() as u64 >= count.max() {
            break (as_of_seq, next.is_some());
        }
        query.after = next;
    };
    if flags.json {
        let wallets: Vec<Value> = wallets.iter().map(wallet_json).collect();
        print_json(&json!({ "as_of_seq": as_of_seq, "complete": !is_more, "wallets": wallets }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(&["wallet", "owner", "asset", "code", "flags", "balance"]);
    for ListedWallet { terms, position, .. } in &wallets {
        table.add_row([
            terms.id.to_string(),
            owner_text(&terms.owner),
            terms.asset.to_string(),
            terms.code.to_string(),
            terms.flags.names().collect::<Vec<_>>().join(", "),
            position.balance().to_string(),
        ]);
    }
    align_right(&mut table, 5..6);
    print(&format!("{table}\n{}", summary(wallets.len(), "wallets", is_more, as_of_seq)))?;
    Ok(ExitCode::SUCCESS)
}

/// What is said under a list.
pub(super) fn summary(count: usize, of: &str, is_more: bool, as_of_seq: u64) -> String {
    let more = if is_more { ", and there are more: ask for them with --limit or --all" } else { "" };
    format!("{count} {of} as of entry {as_of_seq}{more}")
}

fn wallet_json(wallet: &ListedWallet) -> Value {
    let ListedWallet { terms, position, version, last_seq, created_seq, created_at_ns } = wallet;
    with_terms(
        terms,
        json!({
            "position": position_json(position),
            "version": version,
            "last_seq": last_seq,
            "created_seq": created_seq,
            "created_at_ns": created_at_ns.to_string(),
            "metadata": bytes_text(&terms.metadata),
        }),
    )
}
