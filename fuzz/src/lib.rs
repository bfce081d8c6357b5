//! What holds for any bytes whatever: one module per decoder, with one function that checks it.
//!
//! | module | decoder | what holds |
//! |---|---|---|
//! | [`frame`] | the frame reader of the client, the header of both sides | the same frames however the bytes arrive |
//! | [`request`] | every message that a server reads | what is decoded encodes to the bytes it came from |
//! | [`reply`] | every message that a client reads | the same, or to the same value where the wire has two ways |
//! | [`journal_record`] | records, entries, and the fold above them | what is decoded encodes to the same record; books balance |
//! | [`backup`] | backups | what is read is a chain from the first entry on, and no more than what is whole is called whole |
//! | [`config`] | the configuration file | what is accepted can be written down and read again |
//!
//! And for all of them: nothing panics, no number in the input sizes an allocation, and what is refused is refused with
//! words. `fuzz/run` searches for inputs that break it, guided by coverage; plain `cargo test` replays every input that
//! ever mattered: `seeds/` (made by hand), `corpus/` (found by coverage), `regressions/` (found by failing).
//!
//! The two files that are private to their crates are compiled into this one as they are.

pub mod backup;
mod bounds;
pub mod config;
#[path = "../../src/config.rs"]
pub mod config_file;
pub mod frame;
#[path = "../../client/src/frame_reader.rs"]
mod frame_reader;
pub mod journal_record;
pub mod reply;
pub mod request;
