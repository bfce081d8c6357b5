//! `read_records`: the journal's records as they are on disk, for copies of it and for auditors.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::FRAME_HARD_MAX;
use bincode::{Decode, Encode};

/// What a page carries beside its records.
pub(crate) const PAGE_BYTES: u32 = 8 + LENGTH_BYTES;

/// What a record takes beside its own bytes.
pub(crate) const RECORD_BYTES: u32 = LENGTH_BYTES;

/// No frame holds more records than this.
const RECORDS_MAX: u32 = FRAME_HARD_MAX / RECORD_BYTES;

/// Records, as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsQuery {
    /// The first entry wanted: from the record that holds it on.
    pub from_seq: u64,
    /// No more than so many bytes of records, but at least one if there is one; 0 for as many as a frame may have.
    pub bytes_max: u32,
}

/// Records.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RecordsPage {
    /// The newest entry that was durable when this was read.
    pub durable_seq: u64,
    /// Each whole, in order, without a gap; none if all that is durable is below what was wanted.
    pub records: Vec<Vec<u8>>,
}

#[derive(Encode, Decode)]
struct RecordsQueryV1 {
    from_seq: u64,
    bytes_max: u32,
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, query: &RecordsQuery) {
    let &RecordsQuery { from_seq, bytes_max } = query;
    put(buffer, RecordsQueryV1 { from_seq, bytes_max });
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<RecordsQuery, FrameError> {
    let RecordsQueryV1 { from_seq, bytes_max } = reader.value()?;
    Ok(RecordsQuery { from_seq, bytes_max })
}

pub(crate) fn put_answer(buffer: &mut Vec<u8>, page: &RecordsPage) {
    put(buffer, page.durable_seq);
    put_sequence(buffer, page.records.iter().map(Vec::as_slice));
}

pub(crate) fn answer(reader: &mut BodyReader<'_>) -> Result<RecordsPage, FrameError> {
    Ok(RecordsPage {
        durable_seq: reader.value()?,
        records: reader.sequence(RECORDS_MAX, RECORD_BYTES, |record: &[u8]| Ok(record.to_vec()))?,
    })
}
