//! The command line.

use crate::distribution::Distribution;
use crate::transfer_ids::IdOrder;
use crate::workload::LEGS_MAX_DEFAULT;
use crate::workload_kind::WorkloadKind;
use clap::{Args, Parser, Subcommand, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// Drives a Bursar server, measures it, and checks that its books agree with what it acknowledged.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends load, measures it, and verifies the books afterwards
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Kills a server of its own again and again under every kind of load, and checks what survived
    #[command(after_help = CRASH_EXAMPLES)]
    Crash(CrashArguments),
    /// Loads a server of its own for long, with kills, pauses and restarts, and checks everything again and again
    #[command(after_help = SOAK_EXAMPLES)]
    Soak(SoakArguments),
    /// One transfer at a time on one connection: the latency of an idle server
    #[command(after_help = IDLE_EXAMPLES)]
    Idle(IdleArguments),
}

const RUN_EXAMPLES: &str = "\
Examples:
  As fast as it goes, one transfer a request:
    bursar-loadtest run --addr 127.0.0.1:7411
  In batches, with a report to look at:
    bursar-loadtest run --addr 127.0.0.1:7411 --batch 1000 --in-flight 8 --report report.html
  At a fixed rate, latency counted from when each request was due:
    bursar-loadtest run --addr 127.0.0.1:7411 --rate 20000 --duration 1m
  A tenth of all transfers through one wallet, and every fifth request a read:
    bursar-loadtest run --addr 127.0.0.1:7411 --distribution hot:10 --read-share 20
  Holds that are captured, released or left to expire:
    bursar-loadtest run --addr 127.0.0.1:7411 --workload holds --batch 100 --in-flight 8
  Exactly fifty million transfers with ids in no order, the speed of each million told:
    bursar-loadtest run --addr 127.0.0.1:7411 --transfers 50000000 --ids random --batch 1000 --in-flight 8
  Eight of ten ids sent twice:
    bursar-loadtest run --addr 127.0.0.1:7411 --workload retries --retry-share 80

Exit code: 0 if everything agrees (or --no-verify), 1 if not or if the server could not be reached.
Ctrl-C ends the load early; it is still verified and reported.";

const CRASH_EXAMPLES: &str = "\
Examples:
  Twenty rounds in a temporary directory:
    bursar-loadtest crash --server-bin target/release/bursar
  A hundred, with the result as JSON:
    bursar-loadtest crash --server-bin target/release/bursar --rounds 100 --json crash.json
  With arguments for the server, on a disk of its own:
    bursar-loadtest crash --server-bin target/release/bursar --data /mnt/disk/crash -- --shards 2

The server is started as
    SERVER serve --data DIR --listen 127.0.0.1:0 --http 127.0.0.1:0 [its arguments]
and must say `listening on ADDRESS` on its standard output when it is ready.
Exit code: 0 if nothing was lost, doubled or changed, 1 otherwise. The first difference ends it.";

const SOAK_EXAMPLES: &str = "\
Examples:
  A minute:
    bursar-loadtest soak --server-bin target/release/bursar --duration 60s
  An hour, with a page of plots:
    bursar-loadtest soak --server-bin target/release/bursar --duration 1h --report soak.html

The server is started as by `crash`. Legs of load follow each other on one ledger; in and after
them the server is held, killed, stopped and started. The time is rounded up to whole legs, and
the checks at the end come on top.
Exit code: 0 if nothing was lost, doubled or changed and all bounds were held, 1 otherwise.
The first difference ends it. Ctrl-C ends it after the leg that runs; it is still checked and
reported. A second one ends it at once.";

const IDLE_EXAMPLES: &str = "\
Example:
  bursar-loadtest idle --addr 127.0.0.1:7411 --count 5000";

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) addr: String,
    /// What to send. Wherever transfers are counted, orders of every kind are
    #[arg(long, value_name = "NAME", value_enum, default_value_t = WorkloadKind::Transfers)]
    pub(crate) workload: WorkloadKind,
    /// Wallets to move money between; created if they are not there yet
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=100_000_000))]
    pub(crate) wallets: u32,
    /// Connections to open
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Requests in flight on each connection
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = at_least_one)]
    pub(crate) in_flight: usize,
    /// Transfers in each request
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// Legs of a transaction, at most; each has a random number of them, from 2 up
    #[arg(long, value_name = "COUNT", default_value_t = LEGS_MAX_DEFAULT, value_parser = clap::value_parser!(u8).range(2..=64))]
    pub(crate) legs: u8,
    /// With --workload retries, the percentage of ids that are sent twice: half of them at the same moment over two
    /// connections, half of them again later
    #[arg(long, value_name = "PERCENT", default_value_t = 50.0, value_parser = percentage)]
    pub(crate) retry_share: f64,
    /// How the ids of transfers follow each other
    #[arg(long, value_name = "NAME", value_enum, default_value_t = IdOrder::TimeOrdered)]
    pub(crate) ids: IdOrder,
    /// How long to send, for example 10s, 500ms or 2m [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "transfers")]
    pub(crate) duration: Option<Duration>,
    /// How many transfers to send, instead of a duration; one that is sent twice counts once. The speed of each million
    /// is told
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) transfers: Option<u64>,
    /// Transfers per second, whatever the server makes of it (an open loop); without, each answer is followed by
    /// the next request (a closed loop)
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Which wallets are used: uniform, zipf (the k-th 1/k as often as the first), or hot:P (P percent of
    /// transfers debit or credit the first wallet)
    #[arg(long, value_name = "NAME", default_value = "uniform")]
    pub(crate) distribution: Distribution,
    /// Percentage of requests that read the balance of a wallet instead
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percentage)]
    pub(crate) read_share: f64,
    /// What wallets, amounts and choices are derived from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Writes the result as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) json: Option<PathBuf>,
    /// Writes the result as a web page with plots
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// Does not compare the books with what was acknowledged
    #[arg(long)]
    pub(crate) no_verify: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct IdleArguments {
    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) addr: String,
    /// Transfers to make, one after the other
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// What wallets and amounts are derived from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Writes the result as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CrashArguments {
    /// The server's program
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) server_bin: PathBuf,
    /// How many rounds of load and kills
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// So many rounds on one data directory, then a new one: what a start has to read grows with every round
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds_per_ledger: u32,
    /// Where the data directories are made, ledger-1 and so on; the last one is kept [default: a temporary directory,
    /// kept only after a failure]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Wallets to move money between; the last three tenths have no funds at first, and some of them limits, so that
    /// there are refusals
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..=10_000_000))]
    pub(crate) wallets: u32,
    /// Connections to open
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Requests in flight on each connection, at most
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) in_flight: usize,
    /// Transfers in each request, at most; each request has a random number of them
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// What wallets, amounts and the moments of the kills are derived from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Writes the result as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) json: Option<PathBuf>,
    /// Where the server's output goes [default: a temporary file, kept only after a failure]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) server_log: Option<PathBuf>,
    /// Further arguments for the server, after `--`
    #[arg(last = true, value_name = "SERVER_ARGUMENTS")]
    pub(crate) server_arguments: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SoakArguments {
    /// The server's program
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) server_bin: PathBuf,
    /// For how long, for example 60s, 10m or 1h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// Transfers per second between bursts; at most, as each answer is followed by the next request
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// Transfers in a burst at full speed, about
    #[arg(long, value_name = "COUNT", default_value_t = 30_000)]
    pub(crate) burst: u64,
    /// The data directory, which must be new; it is kept [default: a temporary directory, kept only after a failure]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Wallets to move money between, as for `crash`; more are opened on the way
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    pub(crate) wallets: u32,
    /// Connections to open, at most
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Requests in flight on each connection, at most
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) in_flight: usize,
    /// Transfers in each request, at most; large batches have as many as the server takes
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// What wallets, amounts and what happens when are derived from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Writes the result as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) json: Option<PathBuf>,
    /// Writes the result as a web page with plots
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// Where the server's output goes [default: a temporary file, kept only after a failure]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) server_log: Option<PathBuf>,
    /// Further arguments for the server, after `--`
    #[arg(last = true, value_name = "SERVER_ARGUMENTS")]
    pub(crate) server_arguments: Vec<String>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count >= 1).ok_or_else(|| "a number from 1 up is expected".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| "a number above 0 is expected".to_owned())
}

fn percentage(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| "a number from 0 to 100 is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(arguments: &[&str]) -> Result<RunArguments, clap::Error> {
        let line = ["bursar-loadtest", "run", "--addr", "h:1"].iter().chain(arguments);
        match Arguments::try_parse_from(line)?.command {
            Command::Run(run) => Ok(run),
            other => panic!("{other:?} is not a run"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_written_with_their_unit() {
        let check = |text: &str, expected: Option<Duration>| {
            assert_eq!(run(&["--duration", text]).ok().and_then(|run| run.duration), expected, "{text}");
        };
        check("10s", Some(Duration::from_secs(10)));
        check("500ms", Some(Duration::from_millis(500)));
        check("1m 30s", Some(Duration::from_secs(90)));
        check("10", None);
        check("fast", None);
        check("", None);
    }

    #[test]
    fn numbers_out_of_range_and_contradictions_are_refused() {
        for wrong in [
            &["--wallets", "1"][..],
            &["--connections", "0"],
            &["--in-flight", "0"],
            &["--batch", "0"],
            &["--rate", "0"],
            &["--rate", "inf"],
            &["--read-share", "101"],
            &["--distribution", "hot:200"],
            &["--duration", "1s", "--transfers", "5"],
            &["--workload", "payments"],
            &["--legs", "1"],
            &["--legs", "65"],
            &["--retry-share", "-1"],
            &["--ids", "sequential"],
        ] {
            assert!(run(wrong).is_err(), "{wrong:?}");
        }
        assert!(run(&["--rate", "20000", "--read-share", "12.5", "--transfers", "5"]).is_ok());
    }

    #[test]
    fn arguments_after_two_dashes_are_the_servers() {
        let line = ["bursar-loadtest", "crash", "--server-bin", "x", "--", "--shards", "2"];
        let Command::Crash(crash) = Arguments::parse_from(line).command else { panic!("it is a crash") };
        assert_eq!(crash.server_arguments, ["--shards", "2"]);
    }

    #[test]
    fn the_workload_is_transfers_unless_another_is_named() {
        let without = run(&[]).expect("nothing more is needed");
        assert_eq!(
            (without.workload, without.ids, without.legs),
            (WorkloadKind::Transfers, IdOrder::TimeOrdered, 8)
        );
        for kind in WorkloadKind::ALL {
            let run =
                run(&["--workload", kind.name(), "--ids", "random", "--legs", "64"]).expect("it is known");
            assert_eq!((run.workload, run.ids, run.legs), (kind, IdOrder::Random, 64));
        }
    }
}
