//! `bursar reverse`.

use super::connect;
use super::order_report::{id, memo, report};
use crate::command_line::ReverseArguments;
use ledger::Reversal;
use std::process::ExitCode;

/// Runs it.
pub async fn run(arguments: ReverseArguments) -> anyhow::Result<ExitCode> {
    let ReverseArguments { original: reverses_id, amount, notes, client: flags } = arguments;
    let client = connect(&flags).await?;
    let id = id(&notes);
    let reversal = Reversal { id, reverses_id, amount: amount.unwrap_or(0), memo: memo(notes) };
    report("reversal", id, client.reverse_with_balances(&[reversal]).await, &flags)
}
