//! `bursar hold`.

use super::connect;
use super::order_report::{report, transfer};
use crate::command_line::HoldArguments;
use ledger::Pending;
use std::process::ExitCode;

/// Runs it.
pub async fn run(arguments: HoldArguments) -> anyhow::Result<ExitCode> {
    let HoldArguments { movement, expires_after: timeout_s, notes, client: flags } = arguments;
    let client = connect(&flags).await?;
    let pending = Pending { transfer: transfer(&movement, notes), timeout_s };
    let id = pending.transfer.id;
    report("hold", id, client.create_pending_with_balances(&[pending]).await, &flags)
}
