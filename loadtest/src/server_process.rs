//! A server that the harness started and may kill. It never outlives the harness: it is killed, by its own
//! process id, when this is dropped.

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;

/// How long a start may take, recovery included.
const START_MAX: Duration = Duration::from_mins(2);

/// How long a clean stop may take.
const STOP_MAX: Duration = Duration::from_mins(1);

/// What stands before the address in the line that says that the server is ready.
const READY: &str = "listening on ";

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) struct ServerCommand {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// All that servers print, one after the other.
    pub(crate) log: PathBuf,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    ready: Option<oneshot::Receiver<String>>,
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
        let (tell, ready) = oneshot::channel();
        tokio::spawn(copy_output(stdout, log, tell));
        Ok(ServerProcess { child, ready: Some(ready) })
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
            .status()
            .await
            .with_context(|| format!("starting {} verify", self.program.display()))?;
        if !status.success() {
            bail!("`verify {}` ended with {status}", self.data.display());
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
                Err(anyhow!("the server ended with {status} before it was ready"))
            }
            Err(_) => Err(anyhow!("the server was not ready after {} s", START_MAX.as_secs())),
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("killing the server")
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn terminate(mut self) -> Result<ExitStatus> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.context("the server has ended by itself")?;
        kill_process(pid, Signal::TERM).context("sending SIGTERM to the server")?;
        let ended = tokio::time::timeout(STOP_MAX, self.child.wait()).await;
        let ended =
            ended.map_err(|_| anyhow!("the server had not stopped after {} s", STOP_MAX.as_secs()))?;
        ended.context("waiting for the server's end")
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("asking whether the server runs")
    }
}

/// Copies what the server prints into the log, and tells the address when it is ready.
async fn copy_output(stdout: ChildStdout, mut log: File, tell: oneshot::Sender<String>) {
    let mut tell = Some(tell);
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // A log that cannot be written is no reason to stop reading: the server would wait.
        let _ = writeln!(log, "{line}");
        if let Some(address) = ready_address(&line)
            && let Some(tell) = tell.take()
        {
            // Nobody waits for a server that is to be killed while it starts.
            let _ = tell.send(address.to_owned());
        }
    }
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
        };
        let error = command.start().await.expect_err("it is no server");
        assert!(error.to_string().contains("before it was ready"), "{error}");
        assert!(command.verify().await.is_err());
    }
}
