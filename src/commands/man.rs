//! `bursar man`: manual pages, made from the command line itself.

use super::print;
use crate::command_line::CommandLine;
use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::{Man, generate_to};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// Prints the page of `bursar`, or writes one for it and each of its commands.
pub fn run(directory: Option<&Path>) -> anyhow::Result<ExitCode> {
    let command = CommandLine::command();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        print(String::from_utf8(page)?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let context = || format!("cannot write manual pages to {}", directory.display());
    fs::create_dir_all(directory).with_context(context)?;
    generate_to(command.disable_help_subcommand(true), directory).with_context(context)?;
    Ok(ExitCode::SUCCESS)
}
