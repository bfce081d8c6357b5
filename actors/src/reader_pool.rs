//! Threads that read the disk, so that no shard's thread ever does.

use crate::core::{ReadJob, Readers};
use std::io;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// A disk has little to gain from more, and the shards have the processors.
const THREADS: usize = 2;

/// A small pool: tokio's own for blocking work, bounded.
#[derive(Debug)]
pub(crate) struct ReaderPool {
    /// `None` while it is being dropped.
    runtime: Option<Runtime>,
}

impl ReaderPool {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .thread_name("reader")
            // All of them, all the time: what runs does not depend on what was read a moment ago.
            .thread_keep_alive(Duration::MAX)
            .build()?;
        let all_there = Arc::new(Barrier::new(THREADS));
        for _ in 0..THREADS {
            let all_there = Arc::clone(&all_there);
            runtime.spawn_blocking(move || all_there.wait());
        }
        Ok(Self { runtime: Some(runtime) })
    }
}

impl Readers for ReaderPool {
    fn run(&self, job: ReadJob) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn_blocking(job);
        }
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropped from an actor's thread too, where waiting for the readers is not allowed.
            runtime.shutdown_background();
        }
    }
}
