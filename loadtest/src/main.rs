//! The load harness: drives a server through its client, measures it, and checks that its books agree with what
//! it acknowledged. It never links the server. `docs/LOADTEST.md` says how to use it and what it proves.
//!
//! | module | holds |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`run`] | `run` and `idle`: population, load, verification, report |
//! | [`load`] | the tasks that send; [`schedule`] and [`pacer`] for an open loop |
//! | [`workload`] | what is sent, as a function of a number; [`population`], [`distribution`], [`transfer_ids`] |
//! | [`testimony`] | what the server said; [`expected_positions`], [`acknowledged_sample`] |
//! | [`verification`] | what the server said against what it holds |
//! | [`measurements`] | what is counted and timed |
//! | [`report`] | the result; [`report_table`], [`report_html`], [`plots`], [`plot_area`] |
//! | [`survival`] | loads on a server of the harness's own that is killed, stopped and held, and what must survive; [`server_process`] |
//! | [`crash`] | `crash`: rounds of kills; [`crash_report`] |
//! | [`soak`] | `soak`: all of that for long, on one ledger; [`server_vitals`] |

mod acknowledged_sample;
mod arguments;
mod books;
mod call_error;
mod crash;
mod crash_report;
mod distribution;
mod environment;
mod expected_positions;
mod figures;
mod interruption;
mod ledger_calls;
#[cfg(test)]
mod ledger_in_memory;
mod load;
mod measurements;
mod pacer;
mod plot_area;
mod plots;
mod population;
mod progress;
mod report;
mod report_html;
mod report_table;
mod request_channel;
mod run;
mod schedule;
mod server_process;
mod server_vitals;
mod soak;
mod survival;
mod testimony;
mod transfer_ids;
mod verification;
mod workload;

use anyhow::{Context, Result};
use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // One thread: load and server often share a machine, and one thread drives more than a small server takes.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        match &arguments.command {
            Command::Run(run) => run::run(run).await,
            Command::Idle(idle) => run::idle(idle).await,
            Command::Crash(crash) => crash::crash(crash).await,
            Command::Soak(soak) => soak::soak(soak).await,
        }
    })
}
