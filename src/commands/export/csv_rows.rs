//! Entries as CSV (RFC 4180), with a header.

use super::row::{COLUMNS, DETAILS};
use super::{Sink, put_rows};
use client::Event;
use csv::Writer;
use std::fs::File;

#[derive(Debug)]
pub(super) struct CsvRows(Writer<File>);

impl CsvRows {
    pub(super) fn begin(file: File) -> anyhow::Result<Self> {
        let mut writer = Writer::from_writer(file);
        writer.write_record(COLUMNS.iter().chain([&DETAILS]))?;
        Ok(Self(writer))
    }
}

impl Sink for CsvRows {
    fn put(&mut self, event: &Event) -> anyhow::Result<()> {
        put_rows(event, &mut |row| Ok(self.0.write_record(row.texts())?))
    }

    fn finish(self: Box<Self>) -> anyhow::Result<File> {
        Ok(self.0.into_inner().map_err(csv::IntoInnerError::into_error)?)
    }
}
