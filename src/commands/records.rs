//! Where a ledger's records come from: a server, a stopped data directory, or a backup.

use super::connect;
use super::progress::{Progress, Unit};
use crate::command_line::RecordSource;
use anyhow::Context;
use client::RecordsQuery;
use persistence::{PersistenceError, Record};

/// Takes each record, in order.
pub(crate) type OnRecord<'a> = dyn FnMut(&Record) -> Result<(), PersistenceError> + 'a;

/// Gives every record from the first one on to `on_record`: of a server, all that was durable when it was asked.
pub(crate) async fn read(
    what: &'static str,
    source: &RecordSource,
    on_record: &mut OnRecord<'_>,
) -> anyhow::Result<()> {
    if let Some(directory) = &source.data {
        let mut progress = Progress::begin(what, Unit::Entries, 0);
        persistence::read_records(directory, &mut |record| {
            progress.set(record.last_seq());
            on_record(record)
        })?;
    } else {
        let client = connect(&source.client).await?;
        let durable_seq = client.ping().await?.durable_seq;
        let mut progress = Progress::begin(what, Unit::Entries, durable_seq);
        let mut next_seq = 1;
        while next_seq <= durable_seq {
            let page = client.read_records(RecordsQuery { from_seq: next_seq, bytes_max: 0 }).await?;
            for bytes in page.records {
                let record = Record::decode(bytes).with_context(|| {
                    format!("the record of entry {next_seq} is not what the server wrote")
                })?;
                next_seq = record.last_seq() + 1;
                on_record(&record)?;
            }
            progress.set(next_seq - 1);
        }
    }
    Ok(())
}
