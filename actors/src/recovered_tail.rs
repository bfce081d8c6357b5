//! What the entries above the books say of ids, of what orders can be about, and of assets, taken up when a ledger is opened.

use crate::claims::Claims;
use crate::originals::Originals;
use ledger::fold::FoldFault;
use ledger::{Asset, Entry, Facts, HoldState, Original, TransferId};
use persistence::{BooksView, PersistenceError};

/// The tail on its way into memory.
#[derive(Debug, Default)]
pub(crate) struct RecoveredTail {
    pub(crate) claims: Claims,
    pub(crate) originals: Originals,
    /// Assets, each with the entry that created it and its time.
    pub(crate) assets: Vec<(Asset, u64, u64)>,
    /// How many wallets were created.
    pub(crate) wallets: u64,
}

impl RecoveredTail {
    /// Takes up the next entry.
    pub(crate) fn take_up(
        &mut self,
        books: &BooksView,
        seq: u64,
        timestamp_ns: u64,
        entry: &Entry,
    ) -> Result<(), PersistenceError> {
        if let Some(id) = entry.order_id()
            && !self.claims.recover(id, seq)
        {
            return Err(FoldFault { seq, fault: format!("uses the id {id} again") }.into());
        }
        match entry {
            Entry::AssetCreated(asset) => self.assets.push((asset.clone(), seq, timestamp_ns)),
            Entry::WalletCreated(_) => self.wallets += 1,
            Entry::Pended(pending) => {
                self.originals.note(pending.transfer.id, entry.original(timestamp_ns), seq);
            }
            entry => {
                if let Some((id, kind, facts)) = entry.resolves() {
                    let mut original = self.before(books, seq, id, &facts)?;
                    original.progress(kind, &facts);
                    self.originals.note(id, original, seq);
                }
            }
        }
        Ok(())
    }

    /// What the earlier order had come to before the entry `seq`, which says `facts` of it.
    fn before(
        &self,
        books: &BooksView,
        seq: u64,
        id: TransferId,
        facts: &Facts,
    ) -> Result<Original, PersistenceError> {
        if let Some((original, _)) = self.originals.known(id) {
            return Ok(original);
        }
        match facts {
            Facts::Hold(terms) => Ok(Original::Hold { terms: *terms, state: HoldState::Open }),
            Facts::Reversed(facts) => match books.original(id)? {
                Some((_, original)) => Ok(original),
                None => facts.original().ok_or_else(|| {
                    FoldFault { seq, fault: format!("moves back legs that none has: {facts:?}") }.into()
                }),
            },
        }
    }
}
