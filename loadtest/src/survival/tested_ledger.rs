//! One data directory, the server on it, and the model of what it must hold. It does what it is told to: load, hold,
//! kill, stop, start, check.

use crate::books;
use crate::population::Population;
use crate::server_process::{ServerCommand, ServerProcess};
use crate::survival::check;
use crate::survival::findings::Findings;
use crate::survival::kill::{self, KillPhase, Kills};
use crate::survival::ledger_model::LedgerModel;
use crate::survival::load_kind::{LoadKind, LoadPlan};
use crate::survival::pace::Pace;
use crate::survival::round::Round;
use crate::survival::round_load::{Meter, RoundLoad};
use anyhow::{Context, Result, bail};
use client::{Client, ClientOptions, Operation};
use rand::Rng;
use rand::rngs::SmallRng;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long any one request may take, on a machine that is busy with other things.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

/// How long a load may take to go on after the server was held.
const GOES_ON_MAX: Duration = Duration::from_mins(2);

/// How long a start and a stop take until that is known.
const TOOK_AT_FIRST: Duration = Duration::from_millis(25);

/// Of the kills of a server that stops, how many wait until it has marked the directory clean: by chance that moment is
/// hardly ever hit.
const WHEN_MARKED_SHARE: f64 = 0.4;

/// Everything about one ledger.
#[derive(Debug)]
pub(crate) struct TestedLedger {
    command: ServerCommand,
    server: Option<ServerProcess>,
    address: String,
    client: Client,
    pub(crate) model: LedgerModel,
    pub(crate) start_took: Duration,
    stop_took: Duration,
}

impl TestedLedger {
    /// Makes a data directory, with so many attempts that are killed before the one that is let through, and prepares the
    /// population.
    pub(crate) async fn create(
        command: ServerCommand,
        population: Population,
        archived_max: usize,
        killed_attempts: u32,
        random: &mut SmallRng,
        kills: &mut Kills,
    ) -> Result<Self> {
        kill_starts(&command, killed_attempts, TOOK_AT_FIRST, random, kills).await?;
        let starting = Instant::now();
        let (server, address) = command.start().await?;
        let start_took = starting.elapsed();
        let client = connect(&address).await?;
        books::prepare(&client, population, population.funded() + 1).await?;
        books::prepare_refusing_wallets(&client, population).await?;
        let baseline = books::baseline(&client, population).await?;
        let model = LedgerModel::new(population, baseline, archived_max);
        let server = Some(server);
        Ok(Self { command, server, address, client, model, start_took, stop_took: TOOK_AT_FIRST })
    }

    /// What the server takes in one request of transfers; of other orders it may be less, and loads of these send less.
    pub(crate) fn server_batch(&self) -> u64 {
        u64::from(self.client.limits().batch_max(Operation::CreateTransfers))
    }

    /// Whether the server has not been ended.
    pub(crate) fn runs(&self) -> bool {
        self.server.is_some()
    }

    /// Begins a load of this kind.
    pub(crate) async fn load(
        &mut self,
        kind: LoadKind,
        plan: &LoadPlan,
        pace: Arc<Pace>,
        meter: Meter,
    ) -> Result<RoundLoad> {
        let round = self.model.begin(kind, plan.clone());
        RoundLoad::start(&self.address, &options(), plan, round, pace, meter).await
    }

    /// Nothing has ended the server.
    pub(crate) fn ensure_it_runs(&mut self) -> Result<()> {
        let server = self.running()?;
        if let Some(status) = server.ended()? {
            bail!("the server ended by itself under load, with {status}: {}", server.last_words());
        }
        Ok(())
    }

    /// SIGSTOP for so long, then SIGCONT. The server must not end by that, and the load must go on.
    pub(crate) async fn pause(&mut self, load: &mut RoundLoad, pause: Duration) -> Result<()> {
        self.ensure_it_runs()?;
        let server = self.running()?;
        if !server.hold().await? {
            bail!("the server ended by itself: {}", server.last_words());
        }
        tokio::time::sleep(pause).await;
        // More than were under way must be answered; but the load may end because there was enough.
        let enough = load.answered() + load.in_flight_max() + 1;
        server.release()?;
        let give_up = Instant::now() + GOES_ON_MAX;
        while load.answered() < enough && !load.has_ended() {
            self.ensure_it_runs()?;
            if Instant::now() > give_up {
                bail!("after a pause of {} ms nothing is answered any more", pause.as_millis());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.ensure_it_runs()
    }

    /// SIGKILL under load, with the process held before that for `held`, if at all.
    pub(crate) async fn kill(&mut self, held: Option<Duration>, kills: &mut Kills) -> Result<()> {
        self.ensure_it_runs()?;
        let mut server = self.server.take().context("the server runs")?;
        if let Some(held) = held {
            server.hold().await?;
            tokio::time::sleep(held).await;
        }
        server.kill().await?;
        let phase = if held.is_some() { KillPhase::WhileHeld } else { KillPhase::UnderLoad };
        phase.count(kills);
        Ok(())
    }

    /// SIGTERM, and SIGKILL at a random moment of the stop. If it has ended by then, it must have ended well.
    pub(crate) async fn kill_while_stopping(
        &mut self,
        random: &mut SmallRng,
        kills: &mut Kills,
    ) -> Result<()> {
        self.ensure_it_runs()?;
        let mut server = self.server.take().context("the server runs")?;
        let stopping = Instant::now();
        let when_marked = random.random_bool(WHEN_MARKED_SHARE);
        let kill_after = self.stop_took.mul_f64(random.random_range(0.0..1.2));
        server.ask_to_stop()?;
        while server.ended()?.is_none() {
            let now = if when_marked {
                kill::is_marked(&self.command.data)
            } else {
                stopping.elapsed() >= kill_after
            };
            if now {
                break;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        if server.hold().await? {
            kill::kill_stopping(server, &self.command.data).await?.count(kills);
            return Ok(());
        }
        self.stop_took = stopping.elapsed();
        match server.wait().await? {
            status if status.success() => Ok(()),
            status => bail!("SIGTERM ended the server with {status}"),
        }
    }

    /// SIGTERM, and waits for the end, which must be a good one.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.ensure_it_runs()?;
        let server = self.server.take().context("the server runs")?;
        let stopping = Instant::now();
        let status = server.terminate().await?;
        self.stop_took = stopping.elapsed();
        if !status.success() {
            bail!("SIGTERM ended the server with {status}");
        }
        Ok(())
    }

    /// Starts the server so many times, and kills it at a random moment of each start.
    pub(crate) async fn kill_starts(
        &self,
        count: u32,
        random: &mut SmallRng,
        kills: &mut Kills,
    ) -> Result<()> {
        kill_starts(&self.command, count, self.start_took, random, kills).await
    }

    /// The server's own check of the data of a server that does not run.
    pub(crate) async fn verify(&self) -> Result<()> {
        self.command.verify().await
    }

    /// Starts the server again.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let starting = Instant::now();
        let (server, address) = self.command.start().await?;
        self.start_took = starting.elapsed();
        self.client = connect(&address).await?;
        self.address = address;
        self.server = Some(server);
        Ok(())
    }

    /// Checks the round whose load has ended, and at most so much of earlier rounds.
    pub(crate) async fn check(
        &mut self,
        round: Round,
        archived_max: usize,
        findings: &mut Findings,
    ) -> Result<()> {
        check::check_archive(&self.client, &self.model, archived_max, findings).await?;
        check::check_round(&self.client, &mut self.model, round, findings).await
    }

    /// Checks at most so much of all rounds.
    pub(crate) async fn check_archive(&self, archived_max: usize, findings: &mut Findings) -> Result<()> {
        check::check_archive(&self.client, &self.model, archived_max, findings).await
    }

    fn running(&mut self) -> Result<&mut ServerProcess> {
        self.server.as_mut().context("the server runs")
    }
}

/// The options of every connection to a server that is killed and held.
fn options() -> ClientOptions {
    ClientOptions {
        name: concat!("bursar-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
        request_timeout: REQUEST_TIMEOUT,
        ..ClientOptions::default()
    }
}

async fn connect(address: &str) -> Result<Client> {
    Client::connect(address, options()).await.context("connecting to the server that was just started")
}

async fn kill_starts(
    command: &ServerCommand,
    count: u32,
    start_takes: Duration,
    random: &mut SmallRng,
    kills: &mut Kills,
) -> Result<()> {
    for _ in 0..count {
        let mut starting = command.spawn()?;
        tokio::time::sleep(start_takes.mul_f64(random.random_range(0.0..1.2))).await;
        if !starting.hold().await? {
            let words = starting.last_words();
            let status = starting.wait().await?;
            bail!("the server ended by itself while starting, with {status}: {words}");
        }
        kill::kill_starting(starting, &command.data).await?.count(kills);
    }
    Ok(())
}
