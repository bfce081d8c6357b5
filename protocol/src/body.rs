//! How bodies are encoded: bincode 2, little-endian, fixed-width integers.
//!
//! Wire structs borrow from the body, so bincode itself allocates nothing. Sequences are read and written
//! here and not by bincode: a claimed length is checked against its maximum and against the bytes that are
//! really there before a vector of that length is made.

use crate::frame::FrameError;
use crate::limits::FRAME_HARD_MAX;
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};

/// One wire struct borrows all its bytes from one frame, so it can never count more than the largest frame.
const ELEMENT_BYTES_MAX: usize = FRAME_HARD_MAX as usize;

pub(crate) type WireConfiguration = Configuration<LittleEndian, Fixint, Limit<ELEMENT_BYTES_MAX>>;

pub(crate) const WIRE: WireConfiguration =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit();

/// How many bytes a sequence's length takes, a string's and a byte string's too.
pub(crate) const LENGTH_BYTES: u32 = 8;

/// Reads a body from its start to its end.
pub(crate) struct BodyReader<'a> {
    rest: &'a [u8],
}

impl<'a> BodyReader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The next value.
    #[inline]
    pub(crate) fn value<T: BorrowDecode<'a, ()>>(&mut self) -> Result<T, FrameError> {
        let (value, used) = bincode::borrow_decode_from_slice(self.rest, WIRE)
            .map_err(|error| FrameError::malformed(error.to_string()))?;
        self.rest = self.rest.get(used..).unwrap_or_default();
        Ok(value)
    }

    /// A sequence of at most `count_max` elements, each of at least `element_bytes_min` bytes on the wire.
    #[inline]
    pub(crate) fn sequence<W, T>(
        &mut self,
        count_max: u32,
        element_bytes_min: u32,
        convert: impl Fn(W) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError>
    where
        W: BorrowDecode<'a, ()>,
    {
        self.elements(count_max, element_bytes_min, |reader| convert(reader.value::<W>()?))
    }

    /// The same where an element is more than one wire struct: `element` reads it.
    #[inline]
    pub(crate) fn elements<T>(
        &mut self,
        count_max: u32,
        element_bytes_min: u32,
        mut element: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = self.length(count_max, element_bytes_min)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// The length of a sequence, found possible: so many elements may be allocated.
    fn length(&mut self, count_max: u32, element_bytes_min: u32) -> Result<usize, FrameError> {
        let given: u64 = self.value()?;
        if given > u64::from(count_max) {
            return Err(FrameError::TooManyOperations { given, max: count_max });
        }
        // Cannot overflow: both factors are below 2^32.
        if given * u64::from(element_bytes_min) > self.rest.len() as u64 {
            return Err(FrameError::malformed(format!("a sequence of {given} elements is cut short")));
        }
        Ok(given as usize)
    }

    /// Nothing may follow.
    pub(crate) fn finish(self) -> Result<(), FrameError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FrameError::TrailingBytes { count: self.rest.len() }) }
    }
}

/// Appends to the buffer as bincode writes.
struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends one value.
#[inline]
pub(crate) fn put(buffer: &mut Vec<u8>, value: impl Encode) {
    // Wire structs are plain data, so only the writer could fail, and appending to a vector does not.
    bincode::encode_into_writer(value, Appender(buffer), WIRE).expect("plain data appended to a vector");
}

/// Appends a sequence: its length, then its elements.
#[inline]
pub(crate) fn put_sequence<W: Encode>(buffer: &mut Vec<u8>, elements: impl ExactSizeIterator<Item = W>) {
    put(buffer, elements.len() as u64);
    for element in elements {
        put(buffer, element);
    }
}
