//! `bursar config`: the effective configuration, with where each value came from.

use crate::command_line::ServerFlags;
use crate::config;
use std::process::ExitCode;

/// Prints it.
pub fn print(flags: &ServerFlags) -> anyhow::Result<ExitCode> {
    let effective = config::load(flags.config.as_deref(), flags)?;
    let mut table = super::table(&["setting", "value", "from"]);
    for (key, value, origin) in effective.origins {
        table.add_row([key, value, origin]);
    }
    super::print(&table.to_string())?;
    Ok(ExitCode::SUCCESS)
}
