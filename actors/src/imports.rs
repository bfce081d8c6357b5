//! Which imports are closed.
//!
//! Wallets that are created under an import are not shown, and take part only in orders of the import's group, until one entry closes
//! it. So whoever moves a whole platform here gives all wallets their opening balances, checks them, and then shows them at once.
//! Imports are few: all that are closed are in memory.

use ledger::ImportId;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use persistence::Committed;
use std::collections::{BTreeMap, BTreeSet};

/// All imports that are closed, each with the entry that closed it.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    closed: RwLock<BTreeMap<ImportId, Committed>>,
}

impl Imports {
    /// Those that the ledger knows when it is opened, each with the entry that closed it and its time.
    pub(crate) fn new(closed: BTreeMap<ImportId, (u64, u64)>) -> Self {
        let closing = |(id, (seq, timestamp_ns))| (id, Committed { seq, timestamp_ns });
        Self { closed: RwLock::new(closed.into_iter().map(closing).collect()) }
    }

    /// To close one, journaling that while the guard is held.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ImportId, Committed>> {
        self.closed.write()
    }

    /// Keeps all that are open from being closed while the guard is held. An error is the entry that has closed this one.
    pub(crate) fn keep_open(&self, import: ImportId) -> Result<KeptOpen<'_>, u64> {
        if import == ImportId::NONE {
            return Ok(KeptOpen { _guard: None });
        }
        let closed = self.closed.read();
        match closed.get(&import) {
            Some(closing) => Err(closing.seq),
            None => Ok(KeptOpen { _guard: Some(closed) }),
        }
    }

    pub(crate) fn is_closed(&self, import: ImportId) -> bool {
        self.closed.read().contains_key(&import)
    }

    /// Whether wallets that were created under this import, or under none, are shown as of the entry `seq`.
    pub(crate) fn shows(&self, import: ImportId, seq: u64) -> bool {
        let is_hasty = cfg!(bursar_broken = "hasty_import");
        import == ImportId::NONE
            || is_hasty
            || self.closed.read().get(&import).is_some_and(|closing| closing.seq <= seq)
    }

    /// The imports whose wallets are shown as of the entry `seq`.
    pub(crate) fn shown_at(&self, seq: u64) -> BTreeSet<ImportId> {
        let closed = self.closed.read();
        closed.iter().filter(|(_, closing)| closing.seq <= seq).map(|(id, _)| *id).collect()
    }
}

/// While it is held, no import is closed.
#[derive(Debug)]
pub(crate) struct KeptOpen<'a> {
    _guard: Option<RwLockReadGuard<'a, BTreeMap<ImportId, Committed>>>,
}
