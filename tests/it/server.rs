//! The real server as a child process: started on a directory and on free ports, killed, stopped, started again.

use client::{Client, ClientOptions, Connection};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Nothing that is waited for takes so long, on however busy a machine; only a hang does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The binary, without any of this process's own settings for it.
pub(crate) fn bursar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BURSAR_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when it was killed by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the binary runs");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    }
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where clients connect.
    pub(crate) address: String,
    /// Where HTTP is served.
    pub(crate) http: String,
    data: PathBuf,
    flags: Vec<String>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    /// Disconnected when standard output is closed: when the process has ended.
    lines: Receiver<String>,
    stderr_closed: Receiver<String>,
    directory: Option<TempDir>,
}

impl Server {
    /// On a directory of its own.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self::on(&directory.path().join("data"), flags);
        server.directory = Some(directory);
        server
    }

    /// On a directory of the caller's.
    pub(crate) fn on(data: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        match Self::launch(bursar(), data, flags) {
            Ok(server) => server,
            Err(ended) => panic!("the server did not start: {ended:?}"),
        }
    }

    /// Tries to; how it ended if it did not start.
    pub(crate) fn attempt(data: &Path, flags: &[&str]) -> Result<Self, Ended> {
        Self::launch(bursar(), data, flags.iter().map(|&flag| flag.to_owned()).collect())
    }

    /// Starts it by way of another command, which becomes the server.
    pub(crate) fn launch(mut command: Command, data: &Path, flags: Vec<String>) -> Result<Self, Ended> {
        command.args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]).arg(data);
        if !flags.iter().any(|flag| flag == "--free-bytes-min") {
            command.args(["--free-bytes-min", "0"]);
        }
        if !flags.iter().any(|flag| flag == "--books-interval") {
            // Lives of servers are short here.
            command.args(["--books-interval", "300ms"]);
        }
        command.args(&flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let (stdout, lines) = collect(child.stdout.take().expect("standard output is piped"));
        let (stderr, stderr_closed) = collect(child.stderr.take().expect("standard error is piped"));
        let mut server = Self {
            child,
            address: String::new(),
            http: String::new(),
            data: data.to_owned(),
            flags,
            stdout,
            stderr,
            lines,
            stderr_closed,
            directory: None,
        };
        while server.address.is_empty() {
            match server.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some(address) = line.strip_prefix("metrics and health on http://") {
                        address.clone_into(&mut server.http);
                    } else if let Some(address) = line.strip_prefix("listening on ") {
                        address.clone_into(&mut server.address);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(server.wait()),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the server neither started nor ended"),
            }
        }
        assert!(!server.http.is_empty(), "the server says where HTTP is before where clients connect");
        Ok(server)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().expect("nobody panics with it").clone()
    }

    /// Kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a process that runs can be killed");
        self.wait();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Any signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self) -> Ended {
        for output in [&self.lines, &self.stderr_closed] {
            loop {
                match output.recv_timeout(PATIENCE) {
                    Ok(_) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        panic!("the server does not end: {}", self.stdout())
                    }
                }
            }
        }
        let status = self.child.wait().expect("the child is ours");
        let stderr = self.stderr.lock().expect("nobody panics with it").clone();
        Ended { code: status.code(), stdout: self.stdout(), stderr }
    }

    /// SIGTERM, and the wait for a clean end.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Starts again on the same directory with the same flags, after it was killed or stopped.
    pub(crate) fn restart(mut self) -> Self {
        let directory = self.directory.take();
        let launched = Self::launch(bursar(), &self.data, self.flags.clone());
        let mut server = launched.unwrap_or_else(|ended| panic!("the server did not start again: {ended:?}"));
        server.directory = directory;
        server
    }

    /// A client that gives nothing up.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address.clone(), patient()).await.expect("the server listens")
    }

    /// A connection that neither retries nor splits.
    pub(crate) async fn connection(&self) -> Connection {
        Connection::open(self.address.clone(), &patient()).await.expect("the server listens")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn patient() -> ClientOptions {
    ClientOptions { connect_timeout: PATIENCE, request_timeout: PATIENCE, ..ClientOptions::default() }
}

fn collect(output: impl Read + Send + 'static) -> (Arc<Mutex<String>>, Receiver<String>) {
    let text = Arc::new(Mutex::new(String::new()));
    let (sender, receiver) = mpsc::channel();
    let collected = Arc::clone(&text);
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            let mut text = collected.lock().expect("nobody panics with it");
            text.push_str(&line);
            text.push('\n');
            drop(text);
            // Nobody may be interested any more.
            let _sent = sender.send(line);
        }
    });
    (text, receiver)
}
