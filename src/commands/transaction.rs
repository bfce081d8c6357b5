//! `bursar transaction`.

use super::connect;
use super::order_report::{id, memo, report};
use crate::command_line::{LegArgument, TransactionArguments};
use anyhow::Context;
use ledger::{AssetId, Leg, Side, Transaction};
use std::process::ExitCode;

/// Runs it.
pub async fn run(arguments: TransactionArguments) -> anyhow::Result<ExitCode> {
    let TransactionArguments { debits, credits, asset, notes, client: flags } = arguments;
    // In this order, whatever the order on the command line: so the same command is the same transaction, and a leg
    // that is refused is counted through the debits first.
    let debits = debits.iter().map(|leg| (Side::Debit, leg));
    let credits = credits.iter().map(|leg| (Side::Credit, leg));
    let legs = debits.chain(credits).map(|(side, argument)| leg(side, argument, asset));
    let legs: Box<[Leg]> = legs.collect::<anyhow::Result<_>>()?;
    let client = connect(&flags).await?;
    let id = id(&notes);
    let transaction = Transaction { id, legs, memo: memo(notes) };
    report("transaction", id, client.create_transactions_with_balances(&[transaction]).await, &flags)
}

fn leg(side: Side, argument: &LegArgument, asset: Option<u32>) -> anyhow::Result<Leg> {
    let LegArgument { wallet, amount, asset: own } = *argument;
    let asset = own.or(asset.map(AssetId)).with_context(|| {
        format!("the leg {wallet}:{amount} says no asset: write {wallet}:{amount}:ASSET, or --asset for all")
    })?;
    Ok(Leg { wallet, side, asset, amount })
}
