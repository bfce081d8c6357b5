//! Integration tests: the real binary over real sockets, and the engine under injected faults.
//!
//! | module | shows |
//! |---|---|
//! | `transfers`, `wallets` | what every operation is answered |
//! | `model` | that a naive model, and conservation under concurrency, agree with the server |
//! | `bad_input` | that a hostile or broken client harms nobody but itself |
//! | `power_loss` | that it stays through a power cut at any moment |
//! | `io_faults`, `clock` | that it stays when the disk fails, and when the wall clock is set |
//! | `restart`, `disk_full`, `memory` | that what was acknowledged stays, whatever happens to the process, the disk or the memory |
//! | `pause` | that a process which is stopped and continued goes on |
//! | `http`, `command_line` | what operators and people see |
//! | `supervision` | that a wallet which panics is rebuilt, and others go on |
//! | `engine` | permits and deadlines, exactly |
//! | `architecture` | who may depend on whom |
//! | `documents` | that the documents say what the code does |
//!
//! The other modules are what the tests are written with.

mod architecture;
mod bad_input;
mod books;
mod clock;
mod command_line;
mod disk_full;
mod documents;
mod engine;
mod fault;
mod http;
mod io_faults;
mod memory;
mod metrics_page;
mod model;
mod pause;
mod power_loss;
mod raw_connection;
mod recorder;
mod restart;
mod running_ledger;
mod separate_process;
mod server;
mod small_disk;
mod supervision;
mod transfers;
mod wallets;
