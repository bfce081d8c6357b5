//! Where a ledger's records come from: a server, a stopped data directory, or a backup.

use super::connect;
use super::progress::{Progress, Unit};
use crate::command_line::RecordSource;
use anyhow::Context;
use client::{Client, ClientError, Moment, RecordsQuery};
use ledger::Status;
use persistence::{PersistenceError, Record, read_backup};

/// Which entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// From this entry on,
    pub(crate) from_seq: u64,
    /// and this time,
    pub(crate) from_ns: u64,
    /// before this time.
    pub(crate) before_ns: u64,
}

impl Range {
    pub(crate) const ALL: Self = Self { from_seq: 1, from_ns: 0, before_ns: u64::MAX };

    pub(crate) fn has(&self, seq: u64, timestamp_ns: u64) -> bool {
        seq >= self.from_seq && timestamp_ns >= self.from_ns && timestamp_ns < self.before_ns
    }

    fn may_have(&self, record: &Record) -> bool {
        record.last_seq() >= self.from_seq
            && record.last_timestamp() >= self.from_ns
            && record.first_timestamp() < self.before_ns
    }
}

/// Takes each record, in order.
pub(crate) type OnRecord<'a> = dyn FnMut(&Record) -> anyhow::Result<()> + 'a;

/// Gives every record that may have wanted entries to `on_record`, in order: of a server, up to what was durable when it was asked.
pub(crate) async fn read(
    what: &'static str,
    source: &RecordSource,
    range: Range,
    on_record: &mut OnRecord<'_>,
) -> anyhow::Result<()> {
    let Some(path) = &source.data else {
        return read_from_server(what, &connect(&source.client).await?, range, on_record).await;
    };
    let mut progress = Progress::begin(what, Unit::Entries, 0);
    // What stopped it is not a fault of the directory's.
    let mut stopped = None;
    let mut give = |record: &Record| {
        progress.set(record.last_seq());
        if !range.may_have(record) {
            return Ok(());
        }
        on_record(record).map_err(|error| {
            let reason = error.to_string();
            stopped = Some(error);
            PersistenceError::Replay { seq: record.first_seq(), reason }
        })
    };
    let read = if path.is_file() {
        read_backup(path, &mut |record, _| give(record)).map(drop)
    } else {
        persistence::read_records(path, &mut give).map(drop)
    };
    match stopped {
        Some(error) => Err(error),
        None => Ok(read?),
    }
}

async fn read_from_server(
    what: &'static str,
    client: &Client,
    range: Range,
    on_record: &mut OnRecord<'_>,
) -> anyhow::Result<()> {
    let durable_seq = client.ping().await?.durable_seq;
    let mut next_seq = range.from_seq.max(first_at(client, range.from_ns, durable_seq).await?);
    let mut progress = Progress::begin(what, Unit::Entries, durable_seq.saturating_sub(next_seq - 1));
    let first_seq = next_seq;
    while next_seq <= durable_seq {
        let page = records_from(client, next_seq).await?;
        for record in &page {
            if record.first_timestamp() >= range.before_ns {
                return Ok(());
            }
            next_seq = record.last_seq() + 1;
            on_record(record)?;
        }
        anyhow::ensure!(!page.is_empty(), "the server has no record of entry {next_seq}, which was durable");
        progress.set(next_seq - first_seq);
    }
    Ok(())
}

/// The first entry at this time or later, if it is durable; otherwise one that comes after.
async fn first_at(client: &Client, from_ns: u64, durable_seq: u64) -> anyhow::Result<u64> {
    let Some(before_ns) = from_ns.checked_sub(1) else { return Ok(1) };
    match client.balances_at(Moment::TimestampNs(before_ns), &[]).await {
        Ok(before) => Ok(before.as_of_seq + 1),
        Err(ClientError::QueryRefused { status: Status::MomentInTheFuture, .. }) => Ok(durable_seq + 1),
        Err(error) => Err(error.into()),
    }
}

async fn records_from(client: &Client, from_seq: u64) -> anyhow::Result<Vec<Record>> {
    let page = client.read_records(RecordsQuery { from_seq, bytes_max: 0 }).await?;
    let decode = |bytes| {
        Record::decode(bytes)
            .with_context(|| format!("the record of entry {from_seq} is not what was written"))
    };
    page.records.into_iter().map(decode).collect()
}
