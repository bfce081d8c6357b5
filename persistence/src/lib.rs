//! What is on disk.
//!
//! The journal of opaque entries (write-ahead, durable before it is acknowledged), its head, and the opening, checking
//! and refusing of a data directory; above it the sequencer that gives entries their place, and the writer that makes
//! them durable; beside it the books, which the bookkeeper folds from the journal, and the reader over both. The lower half
//! (`record` to `recovery`) does not know what an entry means; [`entry_codec`], `replay`, `opened_ledger` and the books do.

mod backup_file;
mod bookkeeper;
#[cfg(all(test, not(bursar_loom)))]
mod bookkeeper_tests;
mod books;
mod chain;
#[cfg(test)]
mod chain_tests;
mod clean_marker;
pub mod clock;
mod data_directory;
#[cfg(test)]
mod directory_tests;
mod durability_gate;
mod durable_write;
mod engine;
pub mod entry_codec;
mod error;
mod fold_lag;
mod free_space;
mod head_file;
mod journal;
mod ledger_reader;
#[cfg(test)]
mod ledger_reader_tests;
#[cfg(all(test, bursar_loom))]
mod memory_order_tests;
mod new_file;
mod opened_ledger;
#[cfg(test)]
mod opened_ledger_tests;
pub mod record;
mod record_journal;
#[cfg(test)]
mod record_journal_tests;
mod record_store;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod replay;
#[cfg(test)]
mod replay_tests;
mod restore;
#[cfg(test)]
mod restore_tests;
mod scratch_copy;
mod sequencer;
#[cfg(all(test, not(bursar_loom)))]
mod sequencer_tests;
mod side_by_side;
#[cfg(any(test, feature = "simulated-disk"))]
mod simulated_disk;
mod sled_store;
mod stopped_ledger;
pub mod sync;
mod wallet_index;
mod writer;

pub use backup_file::{BackupReport, BackupWriter};
pub use bookkeeper::{Bookkeeper, BookkeeperThread, FoldPace, Folded, OnView};
pub use books::rebuild::{RebuildProgress, RebuildReport, rebuild_books};
pub use books::verification::{OnVerified, VerifyReport, verify, verify_and_read, verify_backup};
pub use books::view::{BooksView, Direction, Page, WalletQuery};
pub use books::window::WindowLimits;
pub use books::{Books, BooksOptions, history::HistoryRow, id_filter::IdFilter, rows::Marker};
pub use clock::{Clock, LedgerClock};
pub use data_directory::{DATA_FORMAT, DataDirectory};
pub use durability_gate::{Poisoned, Waiter};
pub use error::{BackupDamage, BooksDamage, Damage, PersistenceError};
pub use fold_lag::FoldLag;
pub use free_space::free_bytes;
pub use journal::{ChainPoint, Group, Journal, JournalReader, JournalTrimmer, Records};
pub use ledger_reader::{LedgerReader, StatementQuery, WholeJournal};
pub use new_file::NewFile;
pub use opened_ledger::{OnBooks, OnEntry, OpenedLedger, open_ledger};
pub use record::{Record, RecordError};
pub use record_journal::RecordJournal;
pub use recovery::{DroppedTail, OnRecord, OpenOptions, OpenedJournal, RecoveryReport, examine, open};
pub use replay::read_entries;
pub use restore::{OnProgress, RestoreProgress, read_backup, read_backup_from, restore};
pub use sequencer::{Committed, CriticalSection, Sequencer};
#[cfg(any(test, feature = "simulated-disk"))]
pub use simulated_disk::{Choose, Crash, DiskFailure, SimulatedDisk};
pub use stopped_ledger::read_records;
pub use wallet_index::WalletIndex;
pub use writer::{GroupCommit, JournalWriter, OnFailure};
