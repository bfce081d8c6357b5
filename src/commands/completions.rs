//! `bursar completions`: a script for a shell, made from the command line itself.

use super::print;
use crate::command_line::CommandLine;
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use std::process::ExitCode;

/// Prints it.
pub fn run(shell: Shell) -> anyhow::Result<ExitCode> {
    // First into memory: a reader that has gone away must not end in a panic.
    let mut script = Vec::new();
    generate(shell, &mut CommandLine::command(), "bursar", &mut script);
    print(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
