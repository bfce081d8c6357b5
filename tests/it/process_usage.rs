//! What a process holds (threads, file descriptors), and tests that count it in a process of their own.

use crate::server::PATIENCE;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How much of what a process may leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessUsage {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
}

impl ProcessUsage {
    /// Of this process, or of another.
    pub(crate) fn of(process: &str) -> Self {
        let entries = |what: &str| {
            let entries = std::fs::read_dir(format!("/proc/{process}/{what}")).expect("the process runs");
            entries.map(|entry| entry.expect("it is listed").path())
        };
        // The books' engine keeps tables open, up to a bound, and as many as there happen to be.
        let is_table = |path: &PathBuf| {
            std::fs::read_link(path).is_ok_and(|file| file.to_string_lossy().contains("/tables/"))
        };
        Self {
            threads: entries("task").count(),
            descriptors: entries("fd").filter(|path| !is_table(path)).count(),
        }
    }

    /// Waits until no more is held than `before`: threads end, and descriptors are closed, a moment after they are
    /// let go.
    pub(crate) fn assert_back_to(before: Self, process: &str, context: &str) {
        wait_until(&format!("{context}: back to {before:?}"), || {
            let now = Self::of(process);
            if now.threads <= before.threads && now.descriptors <= before.descriptors {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        });
    }
}

/// Waits until the condition holds; what it says meanwhile is said when it never does.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> Result<(), String>) {
    let started = Instant::now();
    loop {
        match condition() {
            Ok(()) => return,
            Err(state) => assert!(started.elapsed() < PATIENCE, "never: {what}, but {state}"),
        }
        // Not what decides: only how often is looked.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a test in a process of its own, so that what it counts is not what other tests use. `test` is its full name.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "BURSAR_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|alone| alone == test) {
        return body();
    }
    let this = std::env::current_exe().expect("a test binary");
    let ran = Command::new(this)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, test)
        .output()
        .expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}\n{stdout}\n{stderr}", ran.status);
    assert!(stdout.contains("1 passed"), "{test} is the name of a test: {stdout}");
}
