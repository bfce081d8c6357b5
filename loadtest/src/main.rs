//! The load harness: drives a server through its client, measures it, and checks that its books agree with what
//! it acknowledged. It never links the server. `docs/LOADTEST.md` says how to use it and what it proves.
//!
//! | module | holds |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`run`] | `run` and `idle`: population, load, verification, report |
//! | [`load`] | the tasks that send; [`agenda`] what comes next, [`repeats`] what is sent again; [`schedule`] and [`pacer`] for an open loop |
//! | [`workload`] | what is sent, as a function of a number; [`workload_kind`], [`scripts`] orders that belong together, [`planned_order`] one of them |
//! | [`population`] | who takes part; [`refusing_wallets`], [`distribution`], [`transfer_ids`] |
//! | [`orders`] | what one request carries |
//! | [`testimony`] | what the server said; [`expected_positions`], [`acknowledged_sample`], [`repetition`] what is said of an id that is sent twice |
//! | [`verification`] | what the server said against what it holds; [`progress_of_orders`] what must have become of an order |
//! | [`measurements`] | what is counted and timed |
//! | [`report`] | the result; [`report_table`], [`report_html`], [`plots`], [`plot_area`] |
//! | [`survival`] | loads on a server of the harness's own that is killed, stopped and held, and what must survive; [`server_process`] |
//! | [`crash`] | `crash`: rounds of kills; [`crash_report`] |
//! | [`soak`] | `soak`: all of that for long, on one ledger; [`server_vitals`] |

mod acknowledged_sample;
mod agenda;
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
mod orders;
mod pacer;
mod planned_order;
mod plot_area;
mod plots;
mod population;
mod progress;
mod progress_of_orders;
mod refusing_wallets;
mod repeats;
mod repetition;
mod report;
mod report_html;
mod report_table;
mod request_channel;
mod run;
mod schedule;
mod scripts;
mod server_process;
mod server_vitals;
mod soak;
mod survival;
mod testimony;
mod transfer_ids;
mod verification;
mod workload;
mod workload_kind;

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
