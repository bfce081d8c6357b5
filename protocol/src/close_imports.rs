//! `close_imports`: imports whose wallets are to be shown; one outcome each. A second time it is answered `exists`.

use crate::request::RequestHead;
use ledger::ImportId;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseImports {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Which imports.
    pub imports: Vec<ImportId>,
}
