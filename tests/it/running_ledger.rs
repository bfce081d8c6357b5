//! The engine in this process, without sockets: started on a directory, asked, stopped.

use crate::books::{USD, system_wallet};
use crate::server::PATIENCE;
use actix_rt::{System, SystemRunner};
use actors::{
    Answer, Answered, BooksOptions, Engine, EngineOptions, FaultHook, Operations, WalletView, WalletsInMemory,
};
use ledger::fold::AssetTotals;
use ledger::{Asset, AssetCode, NewWallet, Order, Outcome, Status, Transfer, WalletId};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// A running engine on an actix system of its own.
pub(crate) struct RunningLedger {
    system: SystemRunner,
    pub(crate) engine: Engine,
    /// Why the process would have to end.
    pub(crate) fatal: Receiver<String>,
}

impl RunningLedger {
    pub(crate) fn start(data: &Path, shards: usize, fault_hook: Option<FaultHook>) -> Self {
        let system = System::new();
        let options = EngineOptions {
            data: data.to_owned(),
            shards,
            operations_max: 100_000,
            request_bytes_max: 100 << 20,
            wallets_in_memory: WalletsInMemory::default(),
            books: BooksOptions::default(),
            books_lag_max: 2_000_000,
            books_interval: Duration::ZERO,
            accept_clock: false,
            fault_hook,
        };
        let (sender, fatal) = mpsc::channel();
        let on_fatal = Box::new(move |reason| {
            // The test may be over.
            let _sent = sender.send(reason);
        });
        let started = system.block_on(async { Engine::start(&options, on_fatal) });
        let (engine, _) = started.expect("the ledger opens");
        Self { system, engine, fatal }
    }

    /// Stops with nothing under way. Nothing was fatal, and every permit came back.
    pub(crate) fn stop(self) {
        self.system.block_on(self.engine.stop(PATIENCE)).expect("the journal is closed");
        assert_eq!(self.engine.status().operations, 0, "every permit came back");
        assert_eq!(self.engine.status().request_bytes, 0, "every permit came back");
        assert_eq!(self.fatal.try_iter().collect::<Vec<_>>(), [""; 0], "nothing here is fatal");
    }

    /// Stops after something was fatal, or with requests under way that are not waited for. Returns where more that is
    /// fatal would be found.
    pub(crate) fn abandon(self) -> Receiver<String> {
        let stopped = self.system.block_on(self.engine.stop(Duration::ZERO));
        stopped.expect("the journal is closed");
        self.fatal
    }

    /// Submits a request to the router `via`, and returns where the answer comes.
    pub(crate) fn submit(&self, via: usize, operations: Operations) -> Receiver<Answered> {
        let (sender, answer) = mpsc::channel();
        let reply = Box::new(move |answered| {
            // The test may have failed meanwhile.
            let _sent = sender.send(answered);
        });
        self.engine.submit(via, operations, 100, None, reply).expect("it is admitted");
        answer
    }

    /// Submits requests, and then waits until every one is answered.
    pub(crate) fn ask_all(&self, requests: Vec<Operations>) -> Vec<Answer> {
        let submit = |(via, operations)| self.submit(via, operations);
        let answers: Vec<_> = requests.into_iter().enumerate().map(submit).collect();
        answers.iter().map(answer_of).collect()
    }

    pub(crate) fn ask(&self, operations: Operations) -> Answer {
        answer_of(&self.submit(0, operations))
    }

    /// Sends one transfer.
    pub(crate) fn pay(&self, transfer: &Transfer) -> Outcome {
        outcomes(self.ask(transfers(vec![transfer.clone()])))[0]
    }

    /// Creates dollars, the bank and the wallets.
    pub(crate) fn open_books(&self, bank: u128, wallets: &[NewWallet]) {
        let code = AssetCode::new("USD").expect("a code");
        self.ask(Operations::CreateAssets(vec![Ok(Asset { id: USD, code, scale: 2 })]));
        let mut all = vec![system_wallet(bank)];
        all.extend_from_slice(wallets);
        // A fault in a creation refuses it for now; it is asked for until it is there.
        for _ in 0..100 {
            let created = outcomes(self.ask(Operations::CreateWallets(all.clone())));
            if created.iter().all(|outcome| outcome.status.is_success()) {
                return;
            }
        }
        panic!("the wallets are never created");
    }

    /// The wallets as they are, in the order asked for. A wallet that is being rebuilt is asked again.
    pub(crate) fn wallets(&self, ids: &[WalletId]) -> Vec<WalletView> {
        for _ in 0..1_000 {
            if let Answer::Wallets(views) = self.ask(Operations::LookupWallets(ids.to_vec())) {
                return views.into_iter().map(|view| view.expect("it exists")).collect();
            }
        }
        panic!("the wallets can never be read");
    }

    /// The totals of the first asset.
    pub(crate) fn trial_balance(&self) -> AssetTotals {
        match self.ask(Operations::TrialBalance) {
            Answer::TrialBalance(view) => view.assets[0].1,
            other => panic!("not a trial balance: {other:?}"),
        }
    }
}

/// The answer that comes.
pub(crate) fn answer_of(answer: &Receiver<Answered>) -> Answer {
    answer.recv_timeout(PATIENCE).expect("every request is answered").into_answer()
}

pub(crate) fn outcomes(answer: Answer) -> Vec<Outcome> {
    match answer {
        Answer::Outcomes { outcomes, .. } => outcomes,
        other => panic!("not outcomes: {other:?}"),
    }
}

pub(crate) fn transfers(transfers: Vec<Transfer>) -> Operations {
    Operations::Orders { orders: transfers.into_iter().map(Order::Transfer).collect(), with_balances: false }
}

pub(crate) fn transfers_with_balances(transfers: Vec<Transfer>) -> Operations {
    Operations::Orders { orders: transfers.into_iter().map(Order::Transfer).collect(), with_balances: true }
}

/// Whether the same id is to be sent again, as a client does.
pub(crate) fn is_for_now(status: Status) -> bool {
    matches!(status, Status::Contended | Status::InternalError | Status::Unavailable)
}
