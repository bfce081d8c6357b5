//! `bursar export`: entries as CSV, JSON lines or Parquet.

mod csv_rows;
mod parquet_rows;
mod row;

use super::events::event_json;
use super::records::{self, Range};
use super::{facts, print, print_json};
use crate::command_line::{ExportArguments, ExportFormat};
use anyhow::bail;
use client::Event;
use csv_rows::CsvRows;
use parquet_rows::ParquetRows;
use persistence::NewFile;
use persistence::entry_codec::decode_entry;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Takes entries, and ends as a file.
trait Sink {
    fn put(&mut self, event: &Event) -> anyhow::Result<()>;

    /// Writes the end, and gives the file back.
    fn finish(self: Box<Self>) -> anyhow::Result<File>;
}

/// One JSON object a line, as `bursar events --json` prints them.
struct JsonLines(BufWriter<File>);

impl Sink for JsonLines {
    fn put(&mut self, event: &Event) -> anyhow::Result<()> {
        Ok(writeln!(self.0, "{}", event_json(event))?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<File> {
        Ok(self.0.into_inner().map_err(io::IntoInnerError::into_error)?)
    }
}

/// Runs it. Until it is whole and on disk, the file has another name.
pub async fn run(arguments: ExportArguments) -> anyhow::Result<ExitCode> {
    let ExportArguments { to, format, from, from_seq, before, source } = arguments;
    let begun = Instant::now();
    let format = match format {
        Some(format) => format,
        None => format_of(&to)?,
    };
    let (place, file) = NewFile::create(&to)?;
    let mut sink: Box<dyn Sink> = match format {
        ExportFormat::Csv => Box::new(CsvRows::begin(file)?),
        ExportFormat::Jsonl => Box::new(JsonLines(BufWriter::new(file))),
        ExportFormat::Parquet => Box::new(ParquetRows::begin(file)?),
    };
    let range = Range {
        from_seq: from_seq.unwrap_or(1),
        from_ns: from.unwrap_or(0),
        before_ns: before.unwrap_or(u64::MAX),
    };
    let (mut first_seq, mut last_seq, mut entries) = (0, 0, 0_u64);
    records::read("exporting", &source, range, &mut |record| {
        for (seq, timestamp_ns, payload) in record.entries() {
            if range.has(seq, timestamp_ns) {
                sink.put(&Event::of_entry(seq, timestamp_ns, decode_entry(seq, payload)?))?;
                first_seq = if entries == 0 { seq } else { first_seq };
                last_seq = seq;
                entries += 1;
            }
        }
        Ok(())
    })
    .await?;
    let file_bytes = place.keep(&sink.finish()?)?;
    let seconds = begun.elapsed().as_secs_f64();
    if source.client.json {
        print_json(&json!({
            "file": to,
            "format": format.name(),
            "entries": entries,
            "first_seq": first_seq,
            "last_seq": last_seq,
            "bytes": file_bytes,
            "elapsed_s": seconds,
        }))?;
    } else {
        let rows = [
            ("file", to.display().to_string()),
            ("entries", entries.to_string()),
            ("first entry", first_seq.to_string()),
            ("last entry", last_seq.to_string()),
            ("bytes", file_bytes.to_string()),
        ];
        print(&format!("{}\nexported in {seconds:.2} s", facts(&rows)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn format_of(path: &Path) -> anyhow::Result<ExportFormat> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    Ok(match extension.as_str() {
        "csv" => ExportFormat::Csv,
        "jsonl" | "ndjson" => ExportFormat::Jsonl,
        "parquet" => ExportFormat::Parquet,
        _ => bail!("{} ends in none of .csv, .jsonl and .parquet: say --format", path.display()),
    })
}
