//! Frames out of a stream of bytes. Many frames come with one read; none is larger than the limit.

use protocol::{FrameError, FrameHeader, HEADER_LENGTH};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much room is made for one read.
const READ_ROOM: usize = 64 * 1024;

/// Reads frames.
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: Vec<u8>,
    /// Everything before it has been handed out.
    consumed: usize,
    frame_limit: u32,
}

/// Why there is no further frame.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// The peer has closed the connection, between two frames.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// What came is not a frame.
    Frame(FrameError),
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, frame_limit: u32) -> Self {
        Self { stream, buffer: Vec::new(), consumed: 0, frame_limit }
    }

    pub(crate) fn set_frame_limit(&mut self, frame_limit: u32) {
        self.frame_limit = frame_limit;
    }

    /// The next frame of those that were read already, if it is complete.
    pub(crate) fn buffered(&mut self) -> Result<Option<(FrameHeader, &[u8])>, FrameError> {
        let Some(header) = self.buffered_header()? else { return Ok(None) };
        let body_start = self.consumed + HEADER_LENGTH;
        let body_end = body_start + header.body_length;
        if self.buffer.len() < body_end {
            return Ok(None);
        }
        self.consumed = body_end;
        Ok(Some((header, &self.buffer[body_start..body_end])))
    }

    fn buffered_header(&self) -> Result<Option<FrameHeader>, FrameError> {
        let unread = &self.buffer[self.consumed..];
        let Some(bytes) = unread.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        FrameHeader::parse(bytes, self.frame_limit).map(Some)
    }

    /// Waits for more bytes. Call it when [`Self::buffered`] has no more frames.
    pub(crate) async fn fill(&mut self) -> Result<(), ReadFault> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        // The rest of a large frame is read in one piece; its length was checked against the limit.
        let header = self.buffered_header().map_err(ReadFault::Frame)?;
        let missing = header.map_or(0, |header| HEADER_LENGTH + header.body_length - self.buffer.len());
        self.buffer.reserve(missing.max(READ_ROOM));
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) if self.buffer.is_empty() => Err(ReadFault::Closed),
            Ok(0) => Err(ReadFault::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(ReadFault::Io(error)),
        }
    }
}
