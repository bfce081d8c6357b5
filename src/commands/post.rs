//! `bursar post`.

use super::connect;
use super::order_report::{id, memo, report};
use crate::command_line::PostArguments;
use ledger::Post;
use std::process::ExitCode;

/// Runs it.
pub async fn run(arguments: PostArguments) -> anyhow::Result<ExitCode> {
    let PostArguments { hold: pending_id, amount, notes, client: flags } = arguments;
    let client = connect(&flags).await?;
    let id = id(&notes);
    let post = Post { id, pending_id, amount: amount.unwrap_or(0), memo: memo(notes) };
    report("post", id, client.post_pending_with_balances(&[post]).await, &flags)
}
