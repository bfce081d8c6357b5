//! A part of a test in a process of its own, because the storage engine keeps threads and memory for itself, a hang must be
//! told from work, and a file that one thread has locked stays locked while another thread starts a program.
//!
//! The part is an ignored test of this same binary; it is told what to do by one variable of its environment, and says how it
//! goes on standard output, line by line.

use crate::server::PATIENCE;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

const TASK: &str = "BURSAR_TEST_TASK_OF_PART";

/// The process. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct SeparateProcess {
    child: Child,
    lines: Receiver<String>,
}

/// What comes next from it.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It said something: the first word, and the rest.
    Said(String, String),
    /// It has not said anything for too long.
    Hangs,
    /// It is gone.
    Ended,
}

impl SeparateProcess {
    /// Starts the ignored test with this full name.
    pub(crate) fn start(test: &str, task: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(TASK, task).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program runs");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix("> ") {
                    // Nobody may listen any more.
                    let _heard = sender.send(said.to_owned());
                }
            }
        });
        Self { child, lines }
    }

    pub(crate) fn hear(&self) -> Heard {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
                Heard::Said(word.to_owned(), rest.to_owned())
            }
            Err(RecvTimeoutError::Timeout) => Heard::Hangs,
            Err(RecvTimeoutError::Disconnected) => Heard::Ended,
        }
    }
}

impl Drop for SeparateProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Inside of such a process: what it is to do. `None` when somebody runs all ignored tests.
pub(crate) fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// Inside of such a process: says one line to the test.
pub(crate) fn say(word: &str, rest: &str) {
    let mut stdout = std::io::stdout().lock();
    // The test harness may have begun a line.
    writeln!(stdout, "\n> {word} {}", rest.replace('\n', " ")).expect("somebody reads");
    stdout.flush().expect("somebody reads");
}
