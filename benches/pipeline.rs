//! The whole house but its door: requests submitted to the engine in this process, decided by wallet actors, durable on
//! the disk that holds the temporary directory, and answered. No sockets, no frames.
//!
//! The bench's own thread makes the requests, so it competes with the shards for the processors. `TMPDIR` names another
//! disk.

use actors::{Answer, Answered, BooksOptions, Engine, EngineOptions, Operations, WalletsInMemory};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{
    Asset, AssetCode, AssetId, NewWallet, Order, OverdraftLimit, Owner, Status, Transfer, TransferId,
    WalletFlags, WalletId,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const ASSET: AssetId = AssetId(1);
const WALLETS: u64 = 10_000;

/// What a request weighs, by the operation.
const TRANSFER_BYTES: u64 = 123;

// The allocator of the server: measured with another one, this would be another program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A ledger in a directory of its own, with its wallets in it.
struct Ledger {
    engine: Engine,
    next_transfer: u64,
    requests: usize,
    answers: (Sender<Answered>, Receiver<Answered>),
}

impl Ledger {
    fn start(data: std::path::PathBuf) -> Self {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let options = EngineOptions {
            data,
            shards,
            operations_max: 1 << 20,
            request_bytes_max: 1 << 30,
            wallets_in_memory: WalletsInMemory::default(),
            books: BooksOptions::default(),
            books_lag_max: 2_000_000,
            books_interval: Duration::from_mins(1),
            accept_clock: false,
            fault_hook: None,
        };
        let (engine, _report) =
            Engine::start(&options, Box::new(|reason| panic!("{reason}"))).expect("an empty directory opens");
        let mut ledger = Self { engine, next_transfer: 0, requests: 0, answers: channel() };
        let code = AssetCode::new("USD").expect("three letters are a code");
        ledger.submit(Operations::CreateAssets(vec![Ok(Asset { id: ASSET, code, scale: 2 })]));
        ledger.take_answer();
        let wallets = (0..WALLETS).map(|number| NewWallet {
            id: wallet(number),
            owner: Owner::Number(0),
            asset: ASSET,
            code: 0,
            flags: WalletFlags::SYSTEM,
            overdraft_limit: OverdraftLimit::Limited(0),
            balance_max: 0,
            metadata: Box::default(),
            import: ledger::ImportId::NONE,
        });
        ledger.submit(Operations::CreateWallets(wallets.collect()));
        ledger.take_answer();
        ledger
    }

    fn submit(&mut self, operations: Operations) {
        let answers = self.answers.0.clone();
        let bytes = operations.len() as u64 * TRANSFER_BYTES;
        let reply =
            Box::new(move |answered| answers.send(answered).expect("the bench waits for its answers"));
        self.requests += 1;
        self.engine.submit(self.requests, operations, bytes, None, reply).expect("there is room for it");
    }

    fn submit_transfers(&mut self, count: u64) {
        let transfers = (0..count).map(|_| {
            self.next_transfer += 1;
            let number = self.next_transfer;
            let debit = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            Transfer {
                id: TransferId(0x018f_4a3e_0000_7000_8000_0000_0000_0000 + u128::from(number)),
                debit_wallet: wallet(debit),
                credit_wallet: wallet(debit + 1 + number % (WALLETS - 1)),
                asset: ASSET,
                amount: 1,
                group_id: 0,
                code: 0,
                effective_at_ns: 0,
                metadata: Box::default(),
            }
        });
        let orders = transfers.map(Order::Transfer).collect();
        self.submit(Operations::Orders { orders, with_balances: false });
    }

    fn take_answer(&self) {
        let answered = self.answers.1.recv().expect("the engine answers every request");
        let Answer::Outcomes { outcomes, .. } = answered.into_answer() else {
            panic!("a write is answered so")
        };
        assert!(
            outcomes.iter().all(|outcome| outcome.status == Status::Created),
            "nothing here is ever refused"
        );
    }
}

fn wallet(number: u64) -> WalletId {
    WalletId(1 + u128::from(number % WALLETS))
}

fn transfers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline/transfers");
    group.sample_size(10).warm_up_time(Duration::from_secs(2)).measurement_time(Duration::from_secs(5));
    for (batch, in_flight) in [(1, 1), (1, 1_024), (1_000, 16)] {
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let system = actix_rt::System::new();
        let mut ledger = system.block_on(async { Ledger::start(directory.path().join("data")) });
        group.throughput(Throughput::Elements(batch));
        let name = BenchmarkId::new(format!("batch_{batch}"), format!("{in_flight}_in_flight"));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|requests| {
                let started = Instant::now();
                let mut unsent = requests;
                for _ in 0..unsent.min(in_flight) {
                    ledger.submit_transfers(batch);
                    unsent -= 1;
                }
                for _ in 0..requests {
                    ledger.take_answer();
                    if unsent > 0 {
                        ledger.submit_transfers(batch);
                        unsent -= 1;
                    }
                }
                started.elapsed()
            });
        });
        system.block_on(ledger.engine.stop(Duration::from_secs(10))).expect("the last entries are written");
    }
    group.finish();
}

criterion_group!(benches, transfers);
criterion_main!(benches);
