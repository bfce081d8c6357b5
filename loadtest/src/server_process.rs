//! A server that the harness started and may kill or hold. It never outlives the harness: it is killed, by its own
//! process id, when this is dropped.

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a start may take, recovery included, on a machine that is busy with other things; a verification too.
const START_MAX: Duration = Duration::from_mins(10);

/// How long a clean stop may take.
const STOP_MAX: Duration = Duration::from_mins(5);

/// How long a process may take to be held after it was told to: it has to come out of the kernel for that.
const HOLD_MAX: Duration = Duration::from_mins(1);

/// What stands before the address in the line that says that the server is ready.
const READY: &str = "listening on ";

/// What stands in the line that says that the data directory was opened.
const OPENED: [&str; 2] = [", recovered in ", ": new ledger"];

/// So much of the end of the log is looked at for the server's last words.
const LAST_WORDS_BYTES: u64 = 4_096;

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) struct ServerCommand {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// All that servers print, one after the other.
    pub(crate) log: PathBuf,
    /// For whoever watches the server that runs.
    pub(crate) running: RunningPid,
}

/// The process id of the server that runs, or 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunningPid(Arc<AtomicI32>);

impl RunningPid {
    pub(crate) fn get(&self) -> Option<i32> {
        let pid = self.0.load(Ordering::Relaxed);
        (pid != 0).then_some(pid)
    }

    fn set(&self, pid: i32) {
        self.0.store(pid, Ordering::Relaxed);
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    pid: Pid,
    ready: Option<oneshot::Receiver<String>>,
    output: JoinHandle<Printed>,
    log: PathBuf,
    /// Dropped with the process.
    _running: Running,
}

/// While it is there, the server's process id is known to those who watch.
#[derive(Debug)]
struct Running(RunningPid);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

/// What a server had printed when it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    /// That the data directory was opened.
    pub(crate) opened: bool,
    /// That clients can connect.
    pub(crate) ready: bool,
}

impl ServerCommand {
    /// Starts a server, without waiting until it is ready.
    pub(crate) fn spawn(&self) -> Result<ServerProcess> {
        let log = self.open_log()?;
        let mut child = Command::new(&self.program)
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().context("sharing the server's log")?)
            // Ctrl-C is for the harness, which then ends the server itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let stdout = child.stdout.take().expect("the output is piped");
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.context("the server has no process id")?;
        let (tell, ready) = oneshot::channel();
        let output = tokio::spawn(copy_output(stdout, log, tell));
        self.running.set(pid.as_raw_nonzero().get());
        let running = Running(self.running.clone());
        Ok(ServerProcess { child, pid, ready: Some(ready), output, log: self.log.clone(), _running: running })
    }

    /// Starts a server and waits until it is ready. Returns its address, too.
    pub(crate) async fn start(&self) -> Result<(ServerProcess, String)> {
        let mut server = self.spawn()?;
        let address = server.ready().await?;
        Ok((server, address))
    }

    /// Runs the server's own check of the data directory; it must find nothing.
    pub(crate) async fn verify(&self) -> Result<()> {
        let log = self.open_log()?;
        let status = Command::new(&self.program)
            .arg("verify")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the server's log")?)
            .stderr(log)
            .kill_on_drop(true)
            .status();
        let status = tokio::time::timeout(START_MAX, status).await;
        let status = status.map_err(|_| anyhow!("`verify` had not ended after {} s", START_MAX.as_secs()))?;
        let status = status.with_context(|| format!("starting {} verify", self.program.display()))?;
        if !status.success() {
            bail!("`verify {}` ended with {status}: {}", self.data.display(), last_words(&self.log));
        }
        Ok(())
    }

    fn open_log(&self) -> Result<File> {
        let path: &Path = &self.log;
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("opening the server's log {}", path.display()))
    }
}

impl ServerProcess {
    async fn ready(&mut self) -> Result<String> {
        let ready = self.ready.take().expect("one waits only once for a server to be ready");
        match tokio::time::timeout(START_MAX, ready).await {
            Ok(Ok(address)) => Ok(address),
            Ok(Err(_)) => {
                let status = self.child.wait().await.context("waiting for the server's end")?;
                Err(anyhow!("the server ended with {status} before it was ready: {}", last_words(&self.log)))
            }
            Err(_) => Err(anyhow!("the server was not ready after {} s", START_MAX.as_secs())),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// SIGKILL, and waits for the end. Returns what it had printed.
    pub(crate) async fn kill(mut self) -> Result<Printed> {
        self.child.kill().await.context("killing the server")?;
        self.output.await.context("reading the server's output to its end")
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn terminate(mut self) -> Result<ExitStatus> {
        self.ask_to_stop()?;
        self.wait().await
    }

    /// Waits for the end of one that was asked to stop.
    pub(crate) async fn wait(mut self) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(STOP_MAX, self.child.wait()).await;
        let ended =
            ended.map_err(|_| anyhow!("the server had not stopped after {} s", STOP_MAX.as_secs()))?;
        ended.context("waiting for the server's end")
    }

    /// SIGSTOP, and waits until it stands still. False if it has ended.
    pub(crate) async fn hold(&mut self) -> Result<bool> {
        if self.ended()?.is_some() {
            return Ok(false);
        }
        self.signal(Signal::STOP)?;
        let give_up = Instant::now() + HOLD_MAX;
        while Instant::now() < give_up {
            match process_state(self.pid()) {
                Some('T') => return Ok(true),
                Some('Z' | 'X') | None => return Ok(false),
                Some(_) => tokio::time::sleep(Duration::from_micros(100)).await,
            }
        }
        bail!("the server was told to stand still and did not within {} s", HOLD_MAX.as_secs())
    }

    /// SIGCONT.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("asking whether the server runs")
    }

    /// The last line that it or an earlier one printed.
    pub(crate) fn last_words(&self) -> String {
        last_words(&self.log)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        // Until it was waited for, its id is nobody else's.
        if let Some(status) = self.ended()? {
            bail!("the server has ended by itself with {status}: {}", self.last_words());
        }
        kill_process(self.pid, signal).with_context(|| format!("sending the server {signal:?}"))
    }
}

/// The state of a process as one letter, as in `ps`. It stands behind the name, which is in parentheses.
fn process_state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn last_words(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&end).into_owned())
    };
    let end = read().unwrap_or_default();
    let last = end.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| "it printed nothing".to_owned(), |line| format!("its last line is `{line}`"))
}

/// Copies what the server prints into the log, and tells the address when it is ready.
async fn copy_output(stdout: ChildStdout, mut log: File, tell: oneshot::Sender<String>) -> Printed {
    let mut tell = Some(tell);
    let mut printed = Printed::default();
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // A log that cannot be written is no reason to stop reading: the server would wait.
        let _ = writeln!(log, "{line}");
        printed.opened |= OPENED.iter().any(|opened| line.contains(opened));
        if let Some(address) = ready_address(&line)
            && let Some(tell) = tell.take()
        {
            printed.ready = true;
            // Nobody waits for a server that is to be killed while it starts.
            let _ = tell.send(address.to_owned());
        }
    }
    printed
}

/// The address in `listening on 127.0.0.1:7411`, whatever stands before and after it.
fn ready_address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(READY)?;
    let address = rest.split_whitespace().next()?;
    address.parse::<std::net::SocketAddr>().is_ok().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_says_ready() {
        assert_eq!(ready_address("listening on 127.0.0.1:41279"), Some("127.0.0.1:41279"));
        assert_eq!(ready_address("INFO listening on [::1]:7 with 2 shards"), Some("[::1]:7"));
        assert_eq!(ready_address("metrics and health on http://127.0.0.1:39725"), None);
        assert_eq!(ready_address("listening on the network"), None);
    }

    #[tokio::test]
    async fn a_server_that_ends_before_it_is_ready_is_an_error_that_says_so() {
        let place = tempfile::tempdir().expect("there is room for a directory");
        let command = ServerCommand {
            program: PathBuf::from("false"),
            data: place.path().join("data"),
            arguments: Vec::new(),
            log: place.path().join("log"),
            running: RunningPid::default(),
        };
        let error = command.start().await.expect_err("it is no server");
        assert!(error.to_string().contains("before it was ready"), "{error}");
        assert!(command.verify().await.is_err());
    }

    #[tokio::test]
    async fn a_process_that_is_held_stands_still_until_it_is_released_or_killed() {
        let place = tempfile::tempdir().expect("there is room for a directory");
        let script = place.path().join("server");
        std::fs::write(&script, "#!/bin/sh\necho 'x: new ledger'\nexec sleep 600\n").expect("it is written");
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("it is ours");
        let command = ServerCommand {
            program: script,
            data: place.path().join("data"),
            arguments: Vec::new(),
            log: place.path().join("log"),
            running: RunningPid::default(),
        };
        let mut server = command.spawn().expect("it is a program");
        assert_eq!(command.running.get(), Some(server.pid()));
        assert!(server.hold().await.expect("it can be held"));
        assert_eq!(process_state(server.pid()), Some('T'));
        server.release().expect("it runs");
        while process_state(server.pid()) == Some('T') {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while !server.last_words().contains("new ledger") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(server.hold().await.expect("it can be held"));
        let printed = server.kill().await.expect("it can be killed while it is held");
        assert_eq!(printed, Printed { opened: true, ready: false });
        assert_eq!(command.running.get(), None);
    }
}
