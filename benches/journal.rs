//! The journal alone: one group commit, durable on the disk that holds the temporary directory, by group size.
//!
//! Each commit is what the server does before it acknowledges: records, flush, sync of the log, head, sync of the head.
//! `TMPDIR` names another disk. On a file system in memory the figures say nothing.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{AssetId, Transfer, TransferId, WalletId};
use persistence::{Group, Journal, OpenOptions, entry_codec, open};
use std::time::{Duration, Instant};

/// A group as the sequencer would hand it over: lengths, timestamps and payloads, one entry after another.
#[derive(Default)]
struct Gathered {
    body: Vec<u8>,
    entry_ends: Vec<u32>,
    payload: Vec<u8>,
}

impl Gathered {
    /// Fills it with `count` transfers from sequence number `first_seq` on, each timestamped with its number.
    fn fill(&mut self, first_seq: u64, count: u64) {
        self.body.clear();
        self.entry_ends.clear();
        for seq in first_seq..first_seq + count {
            self.payload.clear();
            entry_codec::encode_transferred(&transfer(seq), &mut self.payload);
            self.body.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
            self.body.extend_from_slice(&seq.to_le_bytes());
            self.body.extend_from_slice(&self.payload);
            self.entry_ends.push(self.body.len() as u32);
        }
    }
}

fn transfer(seq: u64) -> Transfer {
    // Wide ids, as UUIDs are, so that an entry is as long as in production.
    let wide =
        |number: u64| (u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64) | u128::from(number);
    Transfer {
        id: TransferId(wide(seq)),
        debit_wallet: WalletId(wide(seq % 1_000 + 1)),
        credit_wallet: WalletId(wide(seq % 999 + 2_000)),
        asset: AssetId(1),
        amount: 1_000,
        group_id: 0,
        code: 1,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal/commit");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for count in [1, 10, 100, 1_000, 8_190] {
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let opened = open(&directory.path().join("data"), &OpenOptions::default(), &mut |_| Ok(()));
        let mut journal = opened.expect("an empty directory opens").journal;
        let mut gathered = Gathered::default();
        let mut next_seq = 1;
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|commits| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..commits {
                    gathered.fill(next_seq, count);
                    let last_seq = next_seq + count - 1;
                    let group = Group {
                        first_seq: next_seq,
                        body: &gathered.body,
                        entry_ends: &gathered.entry_ends,
                        last_timestamp: last_seq,
                    };
                    let started = Instant::now();
                    journal.append_group(&group).expect("the disk takes it");
                    elapsed += started.elapsed();
                    next_seq = last_seq + 1;
                }
                elapsed
            });
        });
        assert_eq!(journal.durable_seq(), next_seq - 1);
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
