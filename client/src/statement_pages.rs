//! A statement page by page, from the first to the last.

use crate::client::Client;
use crate::error::ClientError;
use protocol::{StatementPage, StatementQuery};

/// The pages of a statement, all of them as of the same entry.
#[derive(Debug)]
pub struct StatementPages {
    client: Client,
    /// The page to be read next; `None` after the last.
    query: Option<StatementQuery>,
}

impl StatementPages {
    pub(crate) fn new(client: Client, query: StatementQuery) -> Self {
        Self { client, query: Some(query) }
    }

    /// The next page; `None` after the last. After an error it may be called again, for the same page.
    pub async fn next(&mut self) -> Result<Option<StatementPage>, ClientError> {
        let Some(query) = &mut self.query else { return Ok(None) };
        let page = self.client.statement(query).await?;
        match page.next {
            Some(cursor) => query.cursor = Some(cursor),
            None => self.query = None,
        }
        Ok(Some(page))
    }
}
