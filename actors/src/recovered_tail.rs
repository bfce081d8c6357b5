//! What the entries above the books say of ids, of what orders can be about, and of assets, taken up when a ledger is opened.

use crate::claims::Claims;
use crate::originals::Originals;
use ledger::fold::FoldFault;
use ledger::{Asset, Entry, Facts, HoldState, ImportId, Original, TransferId};
use persistence::{BooksView, PersistenceError};
use std::collections::BTreeMap;

/// The tail on its way into memory.
#[derive(Debug, Default)]
pub(crate) struct RecoveredTail {
    pub(crate) claims: Claims,
    pub(crate) originals: Originals,
    /// Assets, each with the entry that created it and its time.
    pub(crate) assets: Vec<(Asset, u64, u64)>,
    /// Imports that are closed, each with the entry that closed it and its time.
    pub(crate) imports: BTreeMap<ImportId, (u64, u64)>,
    /// How many wallets were created.
    pub(crate) wallets: u64,
    /// What was moved back for the first time in the tail.
    reversed: Vec<TransferId>,
}

impl RecoveredTail {
    /// Takes up the next entry.
    pub(crate) fn take_up(
        &mut self,
        seq: u64,
        timestamp_ns: u64,
        entry: &Entry,
    ) -> Result<(), PersistenceError> {
        let fault = |fault: String| Err(FoldFault { seq, fault }.into());
        if let Some(id) = entry.order_id()
            && !self.claims.recover(id, seq)
        {
            return fault(format!("uses the id {id} again"));
        }
        match entry {
            Entry::AssetCreated(asset) => self.assets.push((asset.clone(), seq, timestamp_ns)),
            Entry::ImportClosed(import) => drop(self.imports.insert(*import, (seq, timestamp_ns))),
            Entry::WalletCreated(_) => self.wallets += 1,
            Entry::Pended(pending) => {
                self.originals.note(pending.transfer.id, entry.original(timestamp_ns), seq);
            }
            entry => {
                let Some((id, kind, facts)) = entry.resolves() else { return Ok(()) };
                let known = self.originals.known(id).map(|(original, _)| original);
                let before = match (&facts, known) {
                    (_, Some(original)) => Some(original),
                    (Facts::Hold(terms), None) => {
                        Some(Original::Hold { terms: *terms, state: HoldState::Open })
                    }
                    (Facts::Reversed(facts), None) => {
                        self.reversed.push(id);
                        facts.original()
                    }
                };
                let Some(mut original) = before else {
                    return fault(format!("moves back legs that none has: {facts:?}"));
                };
                original.progress(kind, &facts);
                self.originals.note(id, original, seq);
            }
        }
        Ok(())
    }

    /// What was moved back before the tail is in the books: it counts as well. An id that is used up there is not used again.
    pub(crate) fn add_books(&mut self, books: &BooksView) -> Result<(), PersistenceError> {
        let ids: Vec<TransferId> = self.claims.all_decided().map(|(id, _)| id).collect();
        if let Some(id) = books.any_used(&ids)? {
            let seq = self.claims.decided(id).expect("it is one of those that are decided");
            return Err(FoldFault { seq, fault: format!("uses the id {id} again") }.into());
        }
        for id in std::mem::take(&mut self.reversed) {
            let Some((_, Original::Moved { reversed: before, .. })) = books.original(id)? else { continue };
            let Some((mut original, seq)) = self.originals.known(id) else { continue };
            if let Original::Moved { reversed, .. } = &mut original {
                *reversed = reversed.saturating_add(before);
            }
            self.originals.note(id, original, seq);
        }
        let mut assets: Vec<_> = books.assets()?.into_values().collect();
        assets.append(&mut self.assets);
        self.assets = assets;
        self.imports.append(&mut books.imports()?);
        self.wallets += books.totals()?.values().map(|totals| totals.wallets).sum::<u64>();
        Ok(())
    }
}
