//! Bodies that are wrong: refused with a reason, whatever they are. Nothing panics, nothing allocates by a
//! number that a peer only claims.

use crate::samples::{Message, open, samples};
use ledger::{Order, Status};
use proptest::prelude::*;
use protocol::{FrameError, NewAsset, Operation, Reply, Request, decode_reply, decode_request};

#[test]
fn a_message_cut_short_at_any_byte_is_malformed() {
    for sample in samples() {
        let frame = sample.message.frame(1);
        let (header, body) = open(&frame);
        for length in 0..body.len() {
            let decoded = sample.message.decode_alike(header.message_type, &body[..length]);
            let reason = decoded.expect_err(sample.name).reason();
            assert_eq!(reason, "malformed_body", "{} cut to {length} bytes", sample.name);
        }
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    for sample in samples() {
        let mut frame = sample.message.frame(1);
        frame.extend_from_slice(&[0, 0]);
        let (header, body) = frame.split_at(protocol::HEADER_LENGTH);
        let decoded = sample.message.decode_alike(header[7], body);
        assert_eq!(decoded, Err(FrameError::TrailingBytes { count: 2 }), "{}", sample.name);
    }
}

#[test]
fn a_message_with_any_byte_changed_is_another_message_or_refused() {
    for sample in samples() {
        let frame = sample.message.frame(1);
        let (header, body) = open(&frame);
        let mut changed = body.to_vec();
        for index in 0..changed.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
                changed[index] = value;
                let decoded = sample.message.decode_alike(header.message_type, &changed);
                // Exactly one encoding: what is accepted encodes to what was read.
                if let Ok(message) = decoded
                    && !matches!(message, Message::Reply(Reply::Hello(_)))
                {
                    let again = message.frame(1);
                    assert_eq!(open(&again).1, changed, "{} with byte {index} = {value}", sample.name);
                }
            }
            changed[index] = body[index];
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(message_type: u8, body in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode_request(message_type, &body);
        let _ = decode_reply(message_type, &body);
    }
}

/// A request head, then what follows it.
fn body(parts: &[&[u8]]) -> Vec<u8> {
    [&[&[0; 20][..]], parts].concat().concat()
}

#[test]
fn claimed_lengths_are_checked_before_anything_is_allocated() {
    let check = |operation: Operation, body: &[u8], expected: &str| {
        let reason = decode_request(operation.request_type(), body).expect_err("wrong").reason();
        assert_eq!(reason, expected, "{operation}");
    };
    let huge = u64::MAX.to_le_bytes();
    let full = 8_190_u64.to_le_bytes();
    let one_more = 8_191_u64.to_le_bytes();
    for operation in [
        Operation::CreateAssets,
        Operation::CreateWallets,
        Operation::Balances,
        Operation::SetLimits,
        Operation::SetFlags,
        Operation::SetMetadata,
        Operation::CloseImports,
    ] {
        check(operation, &body(&[&huge]), "too_many_operations");
        check(operation, &body(&[&one_more]), "too_many_operations");
        check(operation, &body(&[&full]), "malformed_body");
    }
    for operation in [
        Operation::CreateTransfers,
        Operation::CreatePending,
        Operation::PostPending,
        Operation::VoidPending,
        Operation::Reverse,
        Operation::CreateTransactions,
    ] {
        check(operation, &body(&[&[0], &huge]), "too_many_operations");
        check(operation, &body(&[&[0], &one_more]), "too_many_operations");
        check(operation, &body(&[&[0], &full, &[0; 200]]), "malformed_body");
    }
    // A flag that is neither 0 nor 1, a code longer than its body, a code that is not UTF-8.
    check(Operation::CreateTransfers, &body(&[&[2], &[0; 8]]), "malformed_body");
    let one = 1_u64.to_le_bytes();
    check(Operation::CreateAssets, &body(&[&one, &[0; 4], &huge, &[0; 9]]), "malformed_body");
    check(Operation::CreateAssets, &body(&[&one, &[0; 4], &one, &[0xff, 0]]), "malformed_body");
    // More legs than are read of any transaction, and more than are there; a leg that is neither debit nor credit.
    let transaction = &[0; 16 + 16 + 2 + 8 + 8];
    let create = Operation::CreateTransactions;
    check(create, &body(&[&[0], &one, transaction, &huge]), "too_many_operations");
    check(create, &body(&[&[0], &one, transaction, &256_u64.to_le_bytes()]), "too_many_operations");
    check(create, &body(&[&[0], &one, transaction, &255_u64.to_le_bytes()]), "malformed_body");
    check(create, &body(&[&[0], &one, transaction, &one, &[0; 16], &[2], &[0; 20]]), "malformed_body");
    // More wallets and more kinds than a filter names; a kind of event that there is not.
    let (from, filter_max, kinds_max) = (&[0_u8][..], 65_u64.to_le_bytes(), 33_u64.to_le_bytes());
    let subscribe = Operation::Subscribe;
    check(subscribe, &body(&[from, &filter_max, &[0; 65 * 16]]), "too_many_operations");
    check(subscribe, &body(&[from, &[0; 8], &kinds_max, &[1; 33]]), "too_many_operations");
    check(subscribe, &body(&[from, &[0; 8], &one, &[8], &[0; 5]]), "malformed_body");
    // A moment that is neither of the two, and more wallets than any batch may have.
    check(Operation::BalancesAt, &body(&[&[2, 0, 0, 0], &[0; 16]]), "malformed_body");
    check(Operation::BalancesAt, &body(&[&[0; 12], &one_more]), "too_many_operations");
    // A statement of a kind that there is not.
    check(Operation::Statement, &body(&[&[0; 16 + 8 + 8 + 1], &[1, 8], &[0; 7]]), "malformed_body");
    // A hello for no version at all, and one with too long a name.
    check(Operation::Hello, &[&[2, 1][..], &[0; 16]].concat(), "malformed_body");
    check(Operation::Hello, &[&[1, 1, 65][..], &[0; 7], &[b'x'; 65], &[0; 8]].concat(), "malformed_body");
}

#[test]
fn message_types_that_do_not_exist_in_a_direction_are_refused() {
    for message_type in [0, 27, 0x7f, 0x81, 0x85, 0xff] {
        assert_eq!(decode_request(message_type, &[]), Err(FrameError::UnknownType { message_type }));
    }
    for message_type in [0, 1, 5, 25, 0x80, 0x9b] {
        assert_eq!(decode_reply(message_type, &[]), Err(FrameError::UnknownType { message_type }));
    }
}

#[test]
fn statuses_and_error_codes_that_are_not_known_are_errors_of_their_own() {
    let unknown = 12_345_u16.to_le_bytes();
    let outcome = [&1_u64.to_le_bytes()[..], &unknown, &[0; 1 + 8 + 8 + 4]].concat();
    let decoded = decode_reply(Operation::CreateAssets.reply_type(), &outcome);
    assert_eq!(decoded, Err(FrameError::UnknownStatus { number: 12_345 }));
    let error = [&unknown[..], &2_u64.to_le_bytes(), b"hm", &[0; 4]].concat();
    let decoded = decode_reply(0xff, &error);
    assert_eq!(decoded, Err(FrameError::UnknownErrorCode { number: 12_345, text: "hm".to_owned() }));
}

#[test]
fn a_transaction_of_too_many_legs_is_read_so_that_it_alone_is_refused() {
    let check = |legs: u8, expected: Result<(), Status>| {
        let leg = [&[1; 16][..], &[0], &[1; 4], &[1; 16]].concat();
        let items = [&[0_u8][..], &1_u64.to_le_bytes(), &[1; 16], &[0; 16 + 2 + 8 + 8]].concat();
        let body = body(&[&items, &u64::from(legs).to_le_bytes(), &leg.repeat(usize::from(legs))]);
        let decoded = decode_request(Operation::CreateTransactions.request_type(), &body);
        let Ok(Request::CreateTransactions(request)) = decoded else { panic!("{decoded:?}") };
        let order = Order::Transaction(request.orders[0].clone());
        assert_eq!(order.check_shape().map_err(|refusal| refusal.status), expected, "{legs} legs");
    };
    check(1, Err(Status::TooFewLegs));
    // All of them are of one wallet.
    check(64, Err(Status::WalletsMustDiffer));
    check(65, Err(Status::TooManyLegs));
    check(255, Err(Status::TooManyLegs));
}

#[test]
fn an_order_of_a_kind_that_cannot_be_looked_up_is_malformed() {
    for kind in [0, 5, 8, 255] {
        let body = [&1_u64.to_le_bytes()[..], &[1, kind], &[0; 300]].concat();
        let decoded = decode_reply(Operation::LookupTransfers.reply_type(), &body);
        assert_eq!(decoded.expect_err("no such kind").reason(), "malformed_body", "kind {kind}");
    }
}

#[test]
fn an_asset_that_is_wrong_is_refused_in_the_order_of_the_checks() {
    let check = |id: u32, code: &str, scale: u8, expected: Result<(), &str>| {
        let asset = NewAsset { id: ledger::AssetId(id), code: code.to_owned(), scale };
        let checked = asset.to_asset().map(drop).map_err(|refusal| refusal.status.name());
        assert_eq!(checked, expected, "{asset:?}");
    };
    check(1, "USD", 2, Ok(()));
    check(0, "usd", 39, Err("id_must_not_be_zero"));
    check(1, "usd", 39, Err("asset_scale_too_large"));
    check(1, "usd", 38, Err("asset_code_invalid"));
    check(1, "", 2, Err("asset_code_invalid"));
}

#[test]
fn an_answer_that_is_neither_one_nor_a_refusal_is_malformed() {
    for operation in [Operation::Statement, Operation::ReadRecords, Operation::Subscribe] {
        let decoded = decode_reply(operation.reply_type(), &[&[2, 0, 0, 0][..], &[0; 300]].concat());
        assert_eq!(decoded.expect_err("no such variant").reason(), "malformed_body", "{operation}");
        let unknown = decode_reply(operation.reply_type(), &[1, 0, 0, 0, 0x39, 0x30]);
        assert_eq!(unknown, Err(FrameError::UnknownStatus { number: 12_345 }), "{operation}");
    }
    // More rows than a page may have.
    let page = [&[0; 4 + 8 + 128][..], &1_001_u64.to_le_bytes(), &[0; 300]].concat();
    let decoded = decode_reply(Operation::Statement.reply_type(), &page);
    assert_eq!(decoded, Err(FrameError::TooManyOperations { given: 1_001, max: 1_000 }));
}
