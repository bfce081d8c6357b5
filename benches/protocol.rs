//! The wire: `create_transfers` encoded and decoded, request and reply, by batch size. Bytes in memory, no sockets.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{AssetId, Outcome, RefusalDetail, Status, Transfer, TransferId, WalletId};
use protocol::{
    FRAME_LIMIT_DEFAULT, HEADER_LENGTH, Operation, OrdersAnswered, Reply, RequestHead, RequestRef,
    decode_reply, decode_request, encode_reply, encode_request,
};
use std::hint::black_box;

const BATCHES: [usize; 4] = [1, 100, 1_000, 8_190];

fn transfers(count: usize) -> Vec<Transfer> {
    let transfer = |number: usize| Transfer {
        id: TransferId(0x018f_4a3e_7d6b_7c1a_9f00_0000_0000_0000 + number as u128),
        debit_wallet: WalletId(1 + number as u128 % 1_000),
        credit_wallet: WalletId(2 + number as u128 % 1_000),
        asset: AssetId(1),
        amount: 1_000 + number as u128,
        group_id: 0,
        code: 1,
        effective_at_ns: 0,
        metadata: Box::default(),
    };
    (0..count).map(transfer).collect()
}

fn created(count: usize) -> Reply {
    let outcome = |number: usize| Outcome {
        status: Status::Created,
        replayed: false,
        seq: 1 + number as u64,
        timestamp_ns: 1_767_225_600_000_000_000 + number as u64,
        detail: RefusalDetail::None,
    };
    Reply::CreateTransfers(OrdersAnswered {
        outcomes: (0..count).map(outcome).collect(),
        positions: Vec::new(),
    })
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protocol/create_transfers_request");
    for count in BATCHES {
        let transfers = transfers(count);
        let request = RequestRef::CreateTransfers { orders: &transfers, with_balances: false };
        let head = RequestHead { deadline_ms: 10_000, trace_id: 0 };
        let mut frame = Vec::new();
        encode_request(1, head, request, FRAME_LIMIT_DEFAULT, &mut frame).expect("a full batch fits a frame");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("encode", count), &request, |bencher, &request| {
            let mut buffer = Vec::with_capacity(frame.len());
            bencher.iter(|| {
                buffer.clear();
                encode_request(1, head, black_box(request), FRAME_LIMIT_DEFAULT, &mut buffer)
                    .expect("a full batch fits a frame");
                black_box(&buffer);
            });
        });
        let body = &frame[HEADER_LENGTH..];
        group.bench_with_input(BenchmarkId::new("decode", count), body, |bencher, body| {
            let message_type = Operation::CreateTransfers.request_type();
            bencher.iter(|| decode_request(message_type, black_box(body)).expect("it was just encoded"));
        });
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protocol/create_transfers_reply");
    for count in BATCHES {
        let reply = created(count);
        let mut frame = Vec::new();
        encode_reply(1, &reply, FRAME_LIMIT_DEFAULT, &mut frame);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("encode", count), &reply, |bencher, reply| {
            let mut buffer = Vec::with_capacity(frame.len());
            bencher.iter(|| {
                buffer.clear();
                encode_reply(1, black_box(reply), FRAME_LIMIT_DEFAULT, &mut buffer);
                black_box(&buffer);
            });
        });
        let body = &frame[HEADER_LENGTH..];
        group.bench_with_input(BenchmarkId::new("decode", count), body, |bencher, body| {
            let message_type = Operation::CreateTransfers.reply_type();
            bencher.iter(|| decode_reply(message_type, black_box(body)).expect("it was just encoded"));
        });
    }
    group.finish();
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
