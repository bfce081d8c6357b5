//! Integration tests: the real binary over real sockets, and the engine under injected faults.
//!
//! | module | shows |
//! |---|---|
//! | `transfers`, `wallets` | what every operation is answered |
//! | `reads` | that everything which is told of the past is what a naive model makes of the records |
//! | `events` | that subscribers get every entry once, in order, and hold up nobody |
//! | `model` | that a naive model, and conservation under concurrency, agree with the server |
//! | `bad_input` | that a hostile or broken client harms nobody but itself |
//! | `power_loss` | that it stays through a power cut at any moment |
//! | `linearizability` | that what concurrent clients are told has an order, also across crashes |
//! | `corruption` | that damage on disk is repaired or refused, and never served |
//! | `io_faults`, `clock` | that it stays when the disk fails, and when the wall clock is set |
//! | `restart`, `disk_full`, `memory` | that what was acknowledged stays, whatever happens to the process, the disk or the memory |
//! | `pause` | that a process which is stopped and continued goes on |
//! | `http`, `command_line` | what operators and people see |
//! | `supervision` | that a wallet which panics is rebuilt, and others go on; and what ends the process |
//! | `backup` | that a backup is whole, and what is restored from it is that ledger |
//! | `import` | that an import is shown all at once, and goes on when it was cut off |
//! | `export` | that what is exported is what was decided, in every form |
//! | `stopping`, `leaks` | how a server stops, and that nothing of it is left behind |
//! | `backpressure` | that a client which reads nothing is not read from |
//! | `engine` | permits, deadlines and stops, exactly |
//! | `architecture` | who may depend on whom |
//! | `documents` | that the documents say what the code does |
//!
//! The tests are written with `server` (the binary), `served_ledger` (the server in this process), `running_ledger` (the
//! engine alone), `naive` (the rules as somebody would write them in an afternoon), `raw_connection`, `books`,
//! `told_history` (the model of reads), `metrics_page`, `fault`, `process_usage`, `recorder` and `separate_process`.

mod architecture;
mod backpressure;
mod backup;
mod bad_input;
mod books;
mod clock;
mod command_line;
mod corruption;
mod disk_full;
mod documents;
mod engine;
mod events;
mod export;
mod fault;
mod http;
mod import;
mod io_faults;
mod leaks;
mod linearizability;
mod memory;
mod metrics_page;
mod model;
// The naive ledger that the rules alone are held to, too.
#[path = "../../ledger/tests/it/naive.rs"]
mod naive;
mod pause;
mod power_loss;
mod process_usage;
mod raw_connection;
mod reads;
mod recorder;
mod restart;
mod running_ledger;
mod separate_process;
mod served_ledger;
mod server;
mod small_disk;
mod stopping;
mod supervision;
mod told_history;
mod transfers;
mod wallets;
