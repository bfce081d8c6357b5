//! What a ledger must survive: loads of every kind against a server that is killed, stopped and paused under them, and
//! the comparison of what it said before with what it says afterwards. `crash` and `soak` are made of it.
//!
//! | module | holds |
//! |---|---|
//! | [`told`] | what was said of one thing that was asked for |
//! | [`load_kind`] | the kinds of load, and how much of each |
//! | [`round`] | what one stretch of load asked for and was told; [`openings`] wallets and assets, [`reads`] reads |
//! | [`round_load`] | the tasks that send it; [`pace`] holds them back |
//! | [`ledger_model`] | what the ledger must hold by all that was said; [`archive`] of earlier rounds |
//! | [`check`] | the ledger against the model; [`check_books`] and [`check_openings`] are parts of it, [`resend`] sends again |
//! | [`findings`] | what the checks found |
//! | [`kill`] | where a kill hit |
//! | [`tested_ledger`] | a data directory, its server, and the model of it |
//!
//! Nothing here decides when what is done; `crash` and `soak` do.

pub(crate) mod archive;
pub(crate) mod check;
pub(crate) mod check_books;
pub(crate) mod check_openings;
pub(crate) mod findings;
pub(crate) mod kill;
pub(crate) mod ledger_model;
pub(crate) mod load_kind;
pub(crate) mod openings;
pub(crate) mod pace;
pub(crate) mod reads;
pub(crate) mod resend;
pub(crate) mod round;
pub(crate) mod round_load;
pub(crate) mod tested_ledger;
pub(crate) mod told;
