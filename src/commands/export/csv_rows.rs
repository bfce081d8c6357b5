//! Entries as CSV (RFC 4180), with a header.

use super::Sink;
use super::row::{COLUMNS, rows_of};
use client::Event;
use csv::Writer;
use std::fs::File;

#[derive(Debug)]
pub(super) struct CsvRows(Writer<File>);

impl CsvRows {
    pub(super) fn begin(file: File) -> anyhow::Result<Self> {
        let mut writer = Writer::from_writer(file);
        writer.write_record(COLUMNS)?;
        Ok(Self(writer))
    }
}

impl Sink for CsvRows {
    fn put(&mut self, event: &Event) -> anyhow::Result<()> {
        rows_of(event).iter().try_for_each(|row| Ok(self.0.write_record(row.texts())?))
    }

    fn finish(self: Box<Self>) -> anyhow::Result<File> {
        Ok(self.0.into_inner().map_err(csv::IntoInnerError::into_error)?)
    }
}
