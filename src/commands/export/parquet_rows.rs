//! Entries as Parquet: the columns of the CSV, with types, compressed with Snappy.

use super::Sink;
use super::row::{Row, rows_of};
use anyhow::Context;
use client::Event;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::sync::Arc;

/// Ids are UUIDs of 16 bytes, most significant first. Amounts are decimals of 38 digits, which is as much as most readers take.
const SCHEMA: &str = "
message entries {
  REQUIRED INT64 seq (INTEGER(64, false));
  REQUIRED INT32 part (INTEGER(32, false));
  REQUIRED INT64 timestamp (TIMESTAMP(NANOS, true));
  REQUIRED BYTE_ARRAY kind (STRING);
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) id (UUID);
  OPTIONAL BYTE_ARRAY status (STRING);
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) about_id (UUID);
  OPTIONAL INT32 code (INTEGER(16, false));
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) group_id (UUID);
  OPTIONAL INT64 effective_at (TIMESTAMP(NANOS, true));
  OPTIONAL BYTE_ARRAY metadata;
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) wallet (UUID);
  OPTIONAL INT64 asset (INTEGER(64, false));
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) debits_posted (DECIMAL(38, 0));
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) credits_posted (DECIMAL(38, 0));
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) debits_pending (DECIMAL(38, 0));
  OPTIONAL FIXED_LEN_BYTE_ARRAY(16) credits_pending (DECIMAL(38, 0));
  OPTIONAL BYTE_ARRAY details (STRING);
}";

/// So many rows are written together.
const GROUP_ROWS: usize = 128 << 10;

/// The first number that has 39 digits.
const TOO_LONG: u128 = 10_u128.pow(38);

/// A column that may have nothing in some rows.
#[derive(Debug)]
struct Column<T> {
    values: Vec<T>,
    /// Of each row, whether it has a value.
    levels: Vec<i16>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> Column<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

/// The columns of one group of rows, in the order of the schema.
#[derive(Debug, Default)]
struct RowGroup {
    seq: Vec<i64>,
    part: Vec<i32>,
    timestamp: Vec<i64>,
    kind: Vec<ByteArray>,
    id: Column<FixedLenByteArray>,
    status: Column<ByteArray>,
    about_id: Column<FixedLenByteArray>,
    code: Column<i32>,
    group_id: Column<FixedLenByteArray>,
    effective_at: Column<i64>,
    metadata: Column<ByteArray>,
    wallet: Column<FixedLenByteArray>,
    asset: Column<i64>,
    amounts: [Column<FixedLenByteArray>; 4],
    details: Column<ByteArray>,
}

pub(super) struct ParquetRows {
    writer: SerializedFileWriter<File>,
    group: RowGroup,
}

impl ParquetRows {
    pub(super) fn begin(file: File) -> anyhow::Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("bursar ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        Ok(Self { writer, group: RowGroup::default() })
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let group = std::mem::take(&mut self.group);
        if !group.seq.is_empty() {
            let mut writer = self.writer.next_row_group()?;
            let mut index = 0;
            while let Some(mut column) = writer.next_column()? {
                group.write(index, column.untyped())?;
                column.close()?;
                index += 1;
            }
            writer.close()?;
        }
        Ok(())
    }
}

impl Sink for ParquetRows {
    fn put(&mut self, event: &Event) -> anyhow::Result<()> {
        rows_of(event).into_iter().try_for_each(|row| self.group.push(row))?;
        if self.group.seq.len() >= GROUP_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<File> {
        self.flush()?;
        Ok(self.writer.into_inner()?)
    }
}

impl RowGroup {
    fn push(&mut self, row: Row<'_>) -> anyhow::Result<()> {
        let notes = row.order.and_then(|order| order.notes);
        // Times are below 2^63 until 2262.
        let time = |timestamp_ns: u64| i64::try_from(timestamp_ns).context("a time after 2262");
        self.seq.push(row.seq.cast_signed());
        self.part.push(row.part.cast_signed());
        self.timestamp.push(time(row.timestamp_ns)?);
        self.kind.push(row.kind.into());
        self.id.push(row.order.and_then(|order| order.id).map(|id| uuid(id.0)));
        self.status.push(row.order.map(|order| order.status.name().into()));
        self.about_id.push(row.order.and_then(|order| order.about).map(|id| uuid(id.0)));
        self.code.push(notes.map(|notes| notes.code.into()));
        self.group_id.push(notes.and_then(|notes| notes.group_id).map(|id| uuid(id.0)));
        let effective_at_ns = notes.and_then(|notes| notes.effective_at_ns);
        self.effective_at.push(effective_at_ns.map(time).transpose()?);
        self.metadata.push(notes.map(|notes| notes.metadata.to_vec().into()));
        self.wallet.push(row.wallet.map(|of| uuid(of.wallet.0)));
        self.asset.push(row.wallet.map(|of| of.asset.0.into()));
        let amounts = row.wallet.map(|of| {
            let posted = [of.debits_posted, of.credits_posted].map(u128::cast_signed);
            [posted[0], posted[1], of.debits_pending, of.credits_pending]
        });
        for (index, column) in self.amounts.iter_mut().enumerate() {
            let amount = amounts.map(|amounts| decimal(amounts[index])).transpose();
            column.push(amount.with_context(|| format!("entry {}", row.seq))?);
        }
        self.details.push(row.details.map(|details| details.into_bytes().into()));
        Ok(())
    }

    /// Writes the column at `index`.
    fn write(&self, index: usize, column: &mut ColumnWriter<'_>) -> anyhow::Result<()> {
        match (index, column) {
            (0, ColumnWriter::Int64ColumnWriter(writer)) => writer.write_batch(&self.seq, None, None)?,
            (1, ColumnWriter::Int32ColumnWriter(writer)) => writer.write_batch(&self.part, None, None)?,
            (2, ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(&self.timestamp, None, None)?
            }
            (3, ColumnWriter::ByteArrayColumnWriter(writer)) => writer.write_batch(&self.kind, None, None)?,
            (7, ColumnWriter::Int32ColumnWriter(writer)) => {
                writer.write_batch(&self.code.values, Some(&self.code.levels), None)?
            }
            (9 | 12, ColumnWriter::Int64ColumnWriter(writer)) => {
                let column = if index == 9 { &self.effective_at } else { &self.asset };
                writer.write_batch(&column.values, Some(&column.levels), None)?
            }
            (5 | 10 | 17, ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let column = match index {
                    5 => &self.status,
                    10 => &self.metadata,
                    _ => &self.details,
                };
                writer.write_batch(&column.values, Some(&column.levels), None)?
            }
            (index, ColumnWriter::FixedLenByteArrayColumnWriter(writer)) => {
                let column = match index {
                    4 => &self.id,
                    6 => &self.about_id,
                    8 => &self.group_id,
                    11 => &self.wallet,
                    amount => &self.amounts[amount - 13],
                };
                writer.write_batch(&column.values, Some(&column.levels), None)?
            }
            _ => unreachable!("the columns are those of the schema"),
        };
        Ok(())
    }
}

fn uuid(id: u128) -> FixedLenByteArray {
    ByteArray::from(id.to_be_bytes().to_vec()).into()
}

fn decimal(amount: i128) -> anyhow::Result<FixedLenByteArray> {
    anyhow::ensure!(
        amount.unsigned_abs() < TOO_LONG,
        "{amount} has more than 38 digits: export as CSV or JSON"
    );
    Ok(ByteArray::from(amount.to_be_bytes().to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::super::row::COLUMNS;
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_csv() {
        let schema = parse_message_type(SCHEMA).unwrap();
        let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, COLUMNS);
    }

    #[test]
    fn an_amount_of_39_digits_is_refused() {
        assert!(decimal(TOO_LONG.cast_signed() - 1).is_ok());
        assert!(decimal(1 - TOO_LONG.cast_signed()).is_ok());
        for amount in [TOO_LONG.cast_signed(), -TOO_LONG.cast_signed(), i128::MIN] {
            assert!(decimal(amount).unwrap_err().to_string().contains("more than 38 digits"));
        }
    }
}
