//! Frames out of a stream: the same ones, and the same refusal, however the bytes arrive.
//!
//! Input: how the bytes arrive (one byte), the frame limit (one byte), then the stream.

use crate::bounds::{check_words, within};
use crate::frame_reader::{FrameReader, ReadFault};
use protocol::{
    ErrorReply, FRAME_HARD_MAX, FRAME_LIMIT_DEFAULT, FRAME_LIMIT_MIN, FrameError, FrameHeader, HEADER_LENGTH,
    HELLO_FRAME_MAX,
};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

/// What the client's reader makes room for at once, and how often a growing buffer is there twice.
const READ_ROOM: u64 = 64 * 1024;
const GROWTH: u64 = 4;

/// Checks it for one input.
pub fn check(input: &[u8]) {
    let [arrival, limit, stream @ ..] = input else { return };
    let frame_limit = match limit % 4 {
        0 => HELLO_FRAME_MAX,
        1 => FRAME_LIMIT_MIN,
        2 => FRAME_LIMIT_DEFAULT,
        // More than may be configured: the hard limit must hold all the same.
        _ => u32::MAX,
    };
    let (cut, end) = cut_into_frames(stream, frame_limit);
    // A peer may claim what it never sends, but never more than the limit.
    let claimed = u64::from(frame_limit.min(FRAME_HARD_MAX)).min(announced(stream, &cut) as u64);
    let bytes_max = GROWTH * (READ_ROOM + claimed + 2 * stream.len() as u64);
    within(bytes_max, || {
        let mut frames = cut.iter();
        let arriving = Arriving { rest: stream, piece: usize::from(*arrival) };
        let mut reader = FrameReader::new(arriving, HELLO_FRAME_MAX);
        // As after a hello.
        reader.set_frame_limit(frame_limit);
        let fault = loop {
            match reader.buffered() {
                Ok(Some((header, body))) => {
                    let &(expected_header, expected_body) =
                        frames.next().expect("no more frames than were sent");
                    assert_eq!(header, expected_header);
                    assert_eq!(body, expected_body);
                }
                Ok(None) => match fill(&mut reader) {
                    Ok(()) => {}
                    Err(fault) => break fault,
                },
                Err(error) => break ReadFault::Frame(error),
            }
        };
        assert_eq!(frames.len(), 0, "frames were lost");
        match (fault, end) {
            (ReadFault::Closed, End::Closed) => {}
            (ReadFault::Io(error), End::CutShort) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
            (ReadFault::Frame(error), End::Refused(expected)) => assert_eq!(error, expected),
            (fault, end) => panic!("the reader ends with {fault:?}, the stream with {end:?}"),
        }
    });
}

#[derive(Debug)]
enum End {
    Closed,
    CutShort,
    Refused(FrameError),
}

/// The frames of a stream that is there as a whole, and how it ends.
fn cut_into_frames(stream: &[u8], frame_limit: u32) -> (Vec<(FrameHeader, &[u8])>, End) {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        if rest.is_empty() {
            return (frames, End::Closed);
        }
        let Some((bytes, after)) = rest.split_first_chunk::<HEADER_LENGTH>() else {
            return (frames, End::CutShort);
        };
        match FrameHeader::parse(bytes, frame_limit) {
            Ok(header) => {
                check_header(bytes, &header, frame_limit);
                let Some((body, after)) = after.split_at_checked(header.body_length) else {
                    return (frames, End::CutShort);
                };
                frames.push((header, body));
                rest = after;
            }
            Err(error) => {
                check_words(&error);
                assert!(FrameError::REASONS.contains(&error.reason()));
                check_words(&ErrorReply::from(&error));
                return (frames, End::Refused(error));
            }
        }
    }
}

fn check_header(bytes: &[u8; HEADER_LENGTH], header: &FrameHeader, frame_limit: u32) {
    let limit = frame_limit.min(FRAME_HARD_MAX) as usize;
    assert!(HEADER_LENGTH + header.body_length <= limit, "{header:?} is above the limit of {limit}");
    let mut again = Vec::with_capacity(HEADER_LENGTH);
    again.extend_from_slice(&((header.body_length + HEADER_LENGTH - 4) as u32).to_le_bytes());
    again.extend_from_slice(b"BR");
    again.extend_from_slice(&[header.version, header.message_type]);
    again.extend_from_slice(&header.request_id.to_le_bytes());
    assert_eq!(again, bytes);
}

/// How many bytes the frame that the stream breaks off in was to have; 0 if it does not.
fn announced(stream: &[u8], frames: &[(FrameHeader, &[u8])]) -> usize {
    let whole: usize = frames.iter().map(|(_, body)| HEADER_LENGTH + body.len()).sum();
    let header = stream[whole..].first_chunk::<HEADER_LENGTH>();
    header.map_or(0, |bytes| FrameHeader::parse(bytes, u32::MAX).map_or(0, |header| header.body_length))
}

fn fill(reader: &mut FrameReader<Arriving<'_>>) -> Result<(), ReadFault> {
    let mut filling = pin!(reader.fill());
    match filling.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(filled) => filled,
        Poll::Pending => panic!("bytes that are there are waited for"),
    }
}

/// A stream whose bytes arrive in pieces.
struct Arriving<'a> {
    rest: &'a [u8],
    /// 0 for all at once.
    piece: usize,
}

impl AsyncRead for Arriving<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let piece = if self.piece == 0 { usize::MAX } else { self.piece };
        let (now, later) = self.rest.split_at(piece.min(buffer.remaining()).min(self.rest.len()));
        buffer.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}
