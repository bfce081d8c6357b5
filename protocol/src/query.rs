//! What all reads of the ledger's past have in common: the request is one question, and the answer is what was asked for
//! or the status that says why there is none.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;
use crate::outcome::status;
use crate::request::RequestHead;
use ledger::Status;

/// A request of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<T> {
    /// Deadline and trace.
    pub head: RequestHead,
    /// What is asked.
    pub what: T,
}

/// What a question is answered: what was asked for, or why it cannot be answered as it was asked.
pub type Queried<T> = Result<T, Status>;

/// How many bytes the number of a variant takes.
pub(crate) const VARIANT_BYTES: u32 = 4;

/// The number of the variant that is an answer.
pub(crate) const ANSWERED: u32 = 0;
const REFUSED: u32 = 1;

pub(crate) fn write_request<T>(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    what: &T,
    put_what: impl Fn(&mut Vec<u8>, &T),
) {
    put(buffer, head);
    put_what(buffer, what);
}

pub(crate) fn read_request<'a, T>(
    body: &'a [u8],
    what: impl Fn(&mut BodyReader<'a>) -> Result<T, FrameError>,
) -> Result<Query<T>, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let what = what(&mut reader)?;
    reader.finish()?;
    Ok(Query { head, what })
}

pub(crate) fn write_reply<T>(
    buffer: &mut Vec<u8>,
    answer: &Queried<T>,
    put_answer: impl Fn(&mut Vec<u8>, &T),
) {
    match answer {
        Ok(answer) => {
            put(buffer, ANSWERED);
            put_answer(buffer, answer);
        }
        Err(refused) => {
            put(buffer, REFUSED);
            put(buffer, refused.number());
        }
    }
}

pub(crate) fn read_reply<'a, T>(
    body: &'a [u8],
    answer: impl Fn(&mut BodyReader<'a>) -> Result<T, FrameError>,
) -> Result<Queried<T>, FrameError> {
    let mut reader = BodyReader::new(body);
    let queried = match reader.value()? {
        ANSWERED => Ok(answer(&mut reader)?),
        REFUSED => Err(status(reader.value()?)?),
        other => return Err(FrameError::malformed(format!("an answer of variant {other}"))),
    };
    reader.finish()?;
    Ok(queried)
}
