//! Headers: what is refused before anything is allocated.

use protocol::error_reply::ERROR_TEXT_MAX;
use protocol::{
    AssetTrialBalance, ErrorCode, ErrorReply, FRAME_HARD_MAX, FrameError, FrameHeader, HEADER_LENGTH,
    HELLO_FRAME_MAX, Hello, Reply, RequestHead, RequestRef, TrialBalance, decode_reply, encode_reply,
    encode_request,
};

fn header(length: u32, magic: [u8; 2], version: u8) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..6].copy_from_slice(&magic);
    bytes[6..8].copy_from_slice(&[version, 9]);
    bytes[8..].copy_from_slice(&0x0807_0605_0403_0201_u64.to_le_bytes());
    bytes
}

#[test]
fn a_header_is_judged_by_magic_then_length_then_version() {
    let check = |length: u32, magic: &[u8; 2], version: u8, limit: u32, expected: Result<usize, &str>| {
        let parsed = FrameHeader::parse(&header(length, *magic, version), limit);
        let judged = parsed.map(|header| header.body_length).map_err(|error| error.reason());
        assert_eq!(judged, expected, "length {length}, magic {magic:?}, version {version}, limit {limit}");
    };
    check(12, b"BR", 1, HELLO_FRAME_MAX, Ok(0));
    check(HELLO_FRAME_MAX - 4, b"BR", 1, HELLO_FRAME_MAX, Ok(1008));
    check(HELLO_FRAME_MAX - 3, b"BR", 1, HELLO_FRAME_MAX, Err("too_large"));
    check(FRAME_HARD_MAX - 3, b"BR", 1, u32::MAX, Err("too_large"));
    check(u32::MAX, b"BR", 1, u32::MAX, Err("too_large"));
    check(12, b"BR", 1, 0, Err("too_large"));
    check(11, b"BR", 1, HELLO_FRAME_MAX, Err("too_short"));
    check(0, b"BR", 1, HELLO_FRAME_MAX, Err("too_short"));
    check(12, b"BR", 0, HELLO_FRAME_MAX, Err("unsupported_version"));
    check(12, b"BR", 2, HELLO_FRAME_MAX, Err("unsupported_version"));
    check(u32::MAX, b"RB", 9, HELLO_FRAME_MAX, Err("bad_magic"));
    // What an HTTP client and a TLS client open with.
    let http = FrameHeader::parse(b"GET / HTTP/1.1\r\n", HELLO_FRAME_MAX);
    assert_eq!(http.unwrap_err().reason(), "bad_magic");
}

#[test]
fn the_request_id_is_known_even_of_a_frame_that_is_too_large() {
    assert_eq!(protocol::frame::request_id(&header(u32::MAX, *b"BR", 1)), 0x0807_0605_0403_0201);
}

#[test]
fn every_fault_has_a_reason_and_becomes_an_error_for_the_peer() {
    let check = |error: FrameError, reason: &str, code: ErrorCode, fatal: bool| {
        assert_eq!(error.reason(), reason);
        assert!(FrameError::REASONS.contains(&reason));
        let reply = ErrorReply::from(&error);
        assert_eq!((reply.code, reply.code.is_fatal()), (code, fatal), "{error}");
    };
    check(FrameError::BadMagic { found: 0 }, "bad_magic", ErrorCode::Malformed, true);
    check(FrameError::TooShort { length: 1 }, "too_short", ErrorCode::Malformed, true);
    check(FrameError::TooLarge { frame_bytes: 2, limit: 1 }, "too_large", ErrorCode::TooLarge, true);
    let version = FrameError::UnsupportedVersion { found: 2 };
    check(version, "unsupported_version", ErrorCode::UnsupportedVersion, true);
    check(FrameError::UnknownType { message_type: 77 }, "unknown_type", ErrorCode::UnknownMessage, false);
    check(FrameError::MalformedBody { fault: String::new() }, "malformed_body", ErrorCode::Malformed, true);
    check(FrameError::TrailingBytes { count: 1 }, "trailing_bytes", ErrorCode::Malformed, true);
    let many = FrameError::TooManyOperations { given: 2, max: 1 };
    check(many, "too_many_operations", ErrorCode::TooManyOperations, false);
    check(FrameError::UnknownStatus { number: 1 }, "unknown_status", ErrorCode::Malformed, true);
    let code = FrameError::UnknownErrorCode { number: 999, text: String::new() };
    check(code, "unknown_error_code", ErrorCode::Malformed, true);
}

#[test]
fn a_request_that_would_be_too_large_is_not_appended() {
    let ids = vec![ledger::WalletId(1); 100];
    let mut buffer = b"before".to_vec();
    let result = encode_request(1, RequestHead::default(), RequestRef::Balances(&ids), 1024, &mut buffer);
    assert_eq!(result.unwrap_err().reason(), "too_large");
    assert_eq!(buffer, b"before");
}

#[test]
fn a_reply_that_would_be_too_large_becomes_an_error() {
    let asset = AssetTrialBalance {
        asset: ledger::Asset {
            id: ledger::AssetId(1),
            code: ledger::AssetCode::new("USD").unwrap(),
            scale: 2,
        },
        totals: ledger::fold::AssetTotals::default(),
    };
    let reply = Reply::TrialBalance(TrialBalance { as_of_seq: 1, assets: vec![asset; 100] });
    let mut buffer = Vec::new();
    encode_reply(5, &reply, 4096, &mut buffer);
    let (header, body) = crate::samples::open(&buffer);
    let Ok(Reply::Error(error)) = decode_reply(header.message_type, body) else { panic!("not an error") };
    assert_eq!((header.request_id, error.code), (5, ErrorCode::ReplyTooLarge));
}

#[test]
fn the_longest_error_fits_in_a_frame_before_hello_and_is_cut_between_characters() {
    let error = ErrorReply::new(ErrorCode::Malformed, "é".repeat(ERROR_TEXT_MAX));
    let mut buffer = Vec::new();
    encode_reply(0, &Reply::Error(error), HELLO_FRAME_MAX, &mut buffer);
    assert!(buffer.len() <= HELLO_FRAME_MAX as usize);
    let (header, body) = crate::samples::open(&buffer);
    let Ok(Reply::Error(error)) = decode_reply(header.message_type, body) else { panic!("not an error") };
    assert_eq!(error.text, "é".repeat(ERROR_TEXT_MAX / 2));
}

#[test]
fn the_version_of_a_connection_is_one_that_both_speak() {
    let check = |version_min: u8, version_max: u8, expected: Option<u8>| {
        let hello = Hello { version_min, version_max, client_name: String::new(), credentials: Vec::new() };
        assert_eq!(hello.common_version(), expected, "{version_min} to {version_max}");
    };
    check(1, 1, Some(1));
    check(0, 255, Some(1));
    check(1, 7, Some(1));
    check(2, 7, None);
    check(0, 0, None);
}
