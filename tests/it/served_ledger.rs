//! The whole server in this process: `serve::run` with its own thread and actix system, as `main` runs it, but with the
//! faults of a test.

use actix_rt::System;
use actors::FaultHook;
use bursar::config::Config;
use bursar::serve::{Listeners, run_with_faults};
use bursar::telemetry::Telemetry;
use client::{Client, ClientOptions, Connection};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

use crate::server::PATIENCE;

/// A running server.
pub(crate) struct ServedLedger {
    /// Where clients connect.
    pub(crate) address: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// A configuration for a directory, with free ports.
pub(crate) fn config(data: &Path) -> Config {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    Config { data: data.to_owned(), listen: any_port, http: any_port, free_bytes_min: 0, ..Config::default() }
}

/// There is one for a process.
pub(crate) fn telemetry() -> Arc<Telemetry> {
    static TELEMETRY: OnceLock<Arc<Telemetry>> = OnceLock::new();
    Arc::clone(TELEMETRY.get_or_init(|| Telemetry::install().expect("nobody else has")))
}

impl ServedLedger {
    pub(crate) fn start(config: Config, fault_hook: Option<FaultHook>) -> Self {
        let listeners = Listeners::bind(&config).expect("there are free ports");
        let address = listeners.clients_address().expect("it is bound").to_string();
        let (stop, stopped) = oneshot::channel();
        let telemetry = telemetry();
        let thread = std::thread::spawn(move || {
            System::new().block_on(async {
                let stop = async {
                    // Dropped, it is to stop too.
                    let _asked = stopped.await;
                };
                run_with_faults(config, listeners, telemetry, fault_hook, |_| {}, stop).await
            })
        });
        Self { address, stop, thread }
    }

    /// A client that gives nothing up.
    pub(crate) async fn client(&self) -> Client {
        let options = ClientOptions {
            connect_timeout: PATIENCE,
            request_timeout: PATIENCE,
            ..ClientOptions::default()
        };
        Client::connect(self.address.clone(), options).await.expect("the server listens")
    }

    /// A connection that neither retries nor splits.
    pub(crate) async fn connection(&self) -> Connection {
        let options = ClientOptions::default();
        Connection::open(self.address.clone(), &options).await.expect("the server listens")
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        // It may have ended by itself.
        let _asked = self.stop.send(());
        self.thread.join().expect("the server does not panic")
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(self) -> anyhow::Result<()> {
        let Self { stop, thread, .. } = self;
        let ended = thread.join().expect("the server does not panic");
        drop(stop);
        ended
    }
}
