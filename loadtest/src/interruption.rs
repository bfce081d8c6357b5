//! Ctrl-C and SIGTERM: the first ends the load so that it is still verified and reported, the second ends it all.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that was interrupted, by convention.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// The two signals that ask a process to end.
#[derive(Debug)]
pub(crate) struct Interruption {
    interrupt: Signal,
    terminate: Signal,
}

impl Interruption {
    /// From now on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Calls `first` at the first, and ends the process at the second.
    pub(crate) async fn watch(mut self, first: impl FnOnce()) {
        self.next().await;
        eprintln!("interrupted: ending the load; once more ends this at once");
        first();
        self.next().await;
        std::process::exit(EXIT_CODE_INTERRUPTED);
    }
}
