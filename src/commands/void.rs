//! `bursar void`.

use super::connect;
use super::order_report::{id, memo, report};
use crate::command_line::VoidArguments;
use ledger::Void;
use std::process::ExitCode;

/// Runs it.
pub async fn run(arguments: VoidArguments) -> anyhow::Result<ExitCode> {
    let VoidArguments { hold: pending_id, notes, client: flags } = arguments;
    let client = connect(&flags).await?;
    let id = id(&notes);
    let void = Void { id, pending_id, memo: memo(notes) };
    report("void", id, client.void_pending_with_balances(&[void]).await, &flags)
}
