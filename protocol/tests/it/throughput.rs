//! How fast the hot path is. Not part of the ordinary run: `cargo test --release -p bursar-protocol -- --ignored
//! --nocapture`.

use crate::samples::{open, outcome, transfer};
use ledger::{RefusalDetail, Status};
use protocol::{
    FRAME_LIMIT_DEFAULT, Reply, RequestHead, RequestRef, TransfersCreated, decode_reply, decode_request,
    encode_reply, encode_request,
};
use std::hint::black_box;
use std::time::Instant;

fn measure(what: &str, items: usize, mut round: impl FnMut()) {
    const ROUNDS: usize = 200;
    round();
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| round());
    let nanoseconds = start.elapsed().as_nanos() / (ROUNDS * items) as u128;
    println!("{what}: {nanoseconds} ns an item");
    assert!(nanoseconds < 2_500, "{what} is slower than 400,000 items/s");
}

#[test]
#[ignore = "measures time, and only means something in release"]
fn transfers_and_their_outcomes_pass_faster_than_the_server_can_use_them() {
    for (count, metadata) in [(1, 0), (8_190, 0), (8_190, 256)] {
        let transfers = vec![ledger::Transfer { metadata: vec![7; metadata].into(), ..transfer() }; count];
        let request = RequestRef::CreateTransfers { transfers: &transfers, with_balances: false };
        let mut frame = Vec::new();
        let label = format!("{count} × {metadata} bytes");
        measure(&format!("encode request, {label}"), count, || {
            frame.clear();
            let limit = FRAME_LIMIT_DEFAULT;
            encode_request(1, RequestHead::default(), black_box(request), limit, &mut frame).unwrap();
        });
        measure(&format!("decode request, {label}"), count, || {
            let (header, body) = open(&frame);
            black_box(decode_request(header.message_type, body).unwrap());
        });
        let outcomes = vec![outcome(Status::Created, RefusalDetail::None); count];
        let reply = Reply::CreateTransfers(TransfersCreated { outcomes, positions: Vec::new() });
        measure(&format!("encode reply, {label}"), count, || {
            frame.clear();
            encode_reply(1, black_box(&reply), FRAME_LIMIT_DEFAULT, &mut frame);
        });
        measure(&format!("decode reply, {label}"), count, || {
            let (header, body) = open(&frame);
            black_box(decode_reply(header.message_type, body).unwrap());
        });
    }
}
