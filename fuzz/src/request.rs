//! Requests: what is decoded encodes to the bytes it came from.
//!
//! Input: the message type (one byte), then the body.

use crate::bounds::{check_words, within};
use protocol::{
    ErrorReply, FRAME_HARD_MAX, FRAME_LIMIT_MIN, FrameError, FrameHeader, HEADER_LENGTH, Limits,
    OPERATIONS_PER_REQUEST_MAX, Reply, Request, decode_reply, decode_request, encode_hello, encode_reply,
    encode_request,
};

/// The largest item of a request beside its own bytes, to each byte that it takes on the wire at least: an asset takes
/// 13 bytes there, and here a string and its length. All others have more of both, the legs of a transaction too.
const BYTES_PER_WIRE_BYTE: u64 = 4;

/// Checks it for one input.
pub fn check(input: &[u8]) {
    let [message_type, body @ ..] = input else { return };
    let bytes_max = BYTES_PER_WIRE_BYTE * body.len() as u64;
    match within(bytes_max, || decode_request(*message_type, body)) {
        Ok(request) => {
            assert_eq!(request.operation().request_type(), *message_type);
            check_again(&request, body);
            check_batch(&request);
        }
        Err(error) => check_refusal(&error),
    }
}

fn check_again(request: &Request, body: &[u8]) {
    let request_id = 0x0102_0304_0506_0708;
    let mut frame = Vec::new();
    match request {
        Request::Hello(hello) => encode_hello(request_id, hello, &mut frame),
        request => {
            let borrowed = request.as_ref().expect("only hello has no borrowed form");
            assert_eq!(borrowed.operation(), request.operation());
            assert_eq!(borrowed.operation_count(), request.operation_count());
            encode_request(request_id, request.head(), borrowed, FRAME_HARD_MAX, &mut frame)
                .expect("what came in a frame fits into one");
            // What is too large is not sent in part.
            let limit = HEADER_LENGTH as u32 + body.len() as u32 - 1;
            let mut unsent = vec![7];
            assert!(encode_request(request_id, request.head(), borrowed, limit, &mut unsent).is_err());
            assert_eq!(unsent, [7]);
        }
    }
    let (header, encoded) = open(&frame);
    assert_eq!((header.message_type, header.request_id), (request.operation().request_type(), request_id));
    assert_eq!(encoded, body, "{request:?}");
}

/// The header of a frame of ours, and its body.
pub(crate) fn open(frame: &[u8]) -> (FrameHeader, &[u8]) {
    let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>().expect("a frame has a header");
    let header = FrameHeader::parse(header, FRAME_HARD_MAX).expect("our own header is right");
    assert_eq!(header.body_length, body.len());
    (header, body)
}

fn check_batch(request: &Request) {
    let count = request.operation_count();
    assert!(count <= OPERATIONS_PER_REQUEST_MAX as usize);
    let limits = Limits::new(FRAME_LIMIT_MIN, 1, 2, 0);
    let fits = count <= limits.batch_max(request.operation()) as usize;
    match request.check_batch(&limits) {
        Ok(()) => assert!(fits),
        Err(reply) => {
            assert!(!fits);
            check_words(&reply);
        }
    }
}

/// What is refused is refused with a known reason, and with an error frame that the peer can read.
pub(crate) fn check_refusal(error: &FrameError) {
    assert!(FrameError::REASONS.contains(&error.reason()));
    check_words(error);
    let reply = Reply::Error(ErrorReply::from(error));
    let mut frame = Vec::new();
    encode_reply(1, &reply, FRAME_LIMIT_MIN, &mut frame);
    let (header, body) = open(&frame);
    let Ok(Reply::Error(told)) = decode_reply(header.message_type, body) else {
        panic!("our own error frame cannot be read")
    };
    // The text may have been cut.
    let Reply::Error(meant) = reply else { unreachable!("it was made so") };
    assert_eq!((told.code, told.retry_after_ms), (meant.code, meant.retry_after_ms));
    assert!(meant.text.starts_with(&told.text) && !told.text.is_empty());
}
