//! Integration tests: the real binary over real sockets, and the engine under injected faults.
//!
//! | module | shows |
//! |---|---|
//! | `transfers`, `wallets` | what every operation is answered |
//! | `model` | that a naive model, and conservation under concurrency, agree with the server |
//! | `bad_input` | that a hostile or broken client harms nobody but itself |
//! | `restart`, `disk_full` | that what was acknowledged stays, whatever happens to the process or the disk |
//! | `http`, `command_line` | what operators and people see |
//! | `supervision` | that a wallet which panics is rebuilt, and others go on |
//! | `engine` | permits and deadlines, exactly |
//! | `architecture` | who may depend on whom |
//! | `documents` | that the documents say what the code does |
//!
//! `server`, `raw_connection`, `books` and `metrics_page` are what the tests are written with.

mod architecture;
mod backpressure;
mod bad_input;
mod books;
mod command_line;
mod disk_full;
mod documents;
mod engine;
mod fault;
mod http;
mod leaks;
mod metrics_page;
mod model;
mod process_usage;
mod raw_connection;
mod restart;
mod running_ledger;
mod served_ledger;
mod server;
mod stopping;
mod supervision;
mod transfers;
mod wallets;
