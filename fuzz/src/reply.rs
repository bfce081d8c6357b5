//! Replies: what is decoded encodes to the bytes it came from; a hello's and an error's, which have more than one way
//! on the wire, to the same value.
//!
//! Input: the message type (one byte), then the body.

use crate::bounds::within;
use crate::request::{check_refusal, open};
use protocol::error_reply::ERROR_TEXT_MAX;
use protocol::operation::ERROR_MESSAGE_TYPE;
use protocol::{
    ErrorCode, Event, FRAME_HARD_MAX, FRAME_LIMIT_MIN, OPERATIONS_PER_REQUEST_MAX, Operation, Reply,
    TransferView, WalletView, decode_reply, encode_reply,
};

/// The largest answer in memory.
const ANSWER_BYTES: usize = {
    let (wallet, transfer) = (size_of::<Option<WalletView>>(), size_of::<Option<TransferView>>());
    if wallet > transfer { wallet } else { transfer }
};

/// Checks it for one input.
pub fn check(input: &[u8]) {
    let [message_type, body @ ..] = input else { return };
    // An answer that is not there takes one byte on the wire, and as much as any other in memory.
    let answers_max = (body.len() as u64).min(u64::from(OPERATIONS_PER_REQUEST_MAX));
    // An event takes 30 bytes on the wire at least; everything else there no more than four times as much in memory.
    let events_max = body.len() as u64 / 30;
    let bytes_max =
        answers_max * ANSWER_BYTES as u64 + events_max * size_of::<Event>() as u64 + 4 * body.len() as u64;
    match within(bytes_max, || decode_reply(*message_type, body)) {
        Ok(reply) => {
            let expected = reply.operation().map_or(ERROR_MESSAGE_TYPE, Operation::reply_type);
            assert_eq!(expected, *message_type);
            check_again(&reply, body);
            check_small_frame(&reply);
        }
        Err(error) => check_refusal(&error),
    }
}

fn check_again(reply: &Reply, body: &[u8]) {
    let mut frame = Vec::new();
    encode_reply(77, reply, FRAME_HARD_MAX, &mut frame);
    let (header, encoded) = open(&frame);
    assert_eq!(header.request_id, 77);
    match reply {
        Reply::Hello(_) | Reply::Error(_) => {
            assert_eq!(decode_reply(header.message_type, encoded).as_ref(), Ok(reply));
        }
        reply => assert_eq!(encoded, body, "{reply:?}"),
    }
}

/// A reply that is larger than the frame limit becomes an error that fits.
fn check_small_frame(reply: &Reply) {
    let mut frame = Vec::new();
    encode_reply(77, reply, FRAME_LIMIT_MIN, &mut frame);
    let (header, body) = open(&frame);
    match reply {
        // Cut to its maximum already.
        Reply::Error(error) => assert!(error.text.len() <= ERROR_TEXT_MAX),
        _ if header.message_type != ERROR_MESSAGE_TYPE => {}
        _ => {
            let Ok(Reply::Error(told)) = decode_reply(header.message_type, body) else {
                panic!("our own error frame cannot be read")
            };
            assert_eq!(told.code, ErrorCode::ReplyTooLarge);
        }
    }
    assert!(frame.len() <= FRAME_LIMIT_MIN as usize);
}
