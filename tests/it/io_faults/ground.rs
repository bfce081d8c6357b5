//! What a fault is, and the directories and processes that it befalls.

use crate::books::Chance;
use crate::power_loss::recording::{Recording, copy};
use crate::power_loss::witness::Witness;
use crate::power_loss::workload::{Amount, SOME, Workload};
use crate::recorder::{Blow, Calls, Errno, Recorder};
use crate::server::{Ended, Server};
use client::ClientError;
use std::fs;
use std::path::{Path, PathBuf};

/// When the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A directory is made.
    Creation,
    /// A directory is opened after a clean stop.
    Opening,
    /// A directory is opened after a kill.
    Recovery,
    /// Clients are served.
    Service,
    /// The server was told to stop.
    Stop,
}

/// Little, so that many points can be tried.
pub(crate) const LITTLE: Amount = Amount { connections: 3, rounds: 4, batch_max: 6, metadata: 20 };

pub(crate) type Counts = [u64; Calls::EACH.len()];

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) seed: u64,
    pub(crate) stage: Stage,
    pub(crate) class: (Calls, &'static str),
    pub(crate) nth: u64,
    pub(crate) blow: Blow,
}

impl Point {
    pub(crate) fn choose(seed: u64, counts: &[(Stage, Counts)]) -> Self {
        let mut chance = Chance(seed);
        let (stage, counts) = &counts[chance.below(counts.len() as u64) as usize];
        let made: Vec<_> = Calls::EACH.into_iter().zip(counts).filter(|(_, count)| **count > 0).collect();
        let (class, count) = made[chance.below(made.len() as u64) as usize];
        let errno = if chance.below(2) == 0 { Errno::Io } else { Errno::NoSpace };
        let blow = match chance.below(3) {
            0 => Blow::FailFromThenOn(errno),
            1 if class.0 == Calls::WRITE => Blow::WriteHalfThenFail(errno),
            _ => Blow::FailOnce(errno),
        };
        Self { seed, stage: *stage, class, nth: 1 + chance.below(*count), blow }
    }
}

/// A directory that is served under faults, and the recording of it.
pub(crate) struct Run {
    pub(crate) place: PathBuf,
    pub(crate) recorder: Recorder,
    pub(crate) before: Witness,
}

impl Run {
    /// Begins with a copy of the other run's directory, as it was left; or with nothing.
    pub(crate) fn new(place: &Path, after: Option<&Run>) -> Self {
        fs::create_dir(place).expect("the place is ours");
        let (root, base) = (place.join("root"), place.join("base"));
        let before = if let Some(run) = after {
            copy(run.recorder.root(), &root);
            copy(run.recorder.root(), &base);
            run.witness()
        } else {
            fs::create_dir(&root).expect("the place is ours");
            Witness::default()
        };
        Self { place: place.to_owned(), recorder: Recorder::new(&root, place), before }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.recorder.root().join("data")
    }

    pub(crate) fn launch(&self) -> Result<Server, Ended> {
        Server::launch(self.recorder.command(), &self.data(), vec!["--shards".to_owned(), "2".to_owned()])
    }

    /// What was asked and acknowledged, up to now.
    pub(crate) fn witness(&self) -> Witness {
        let recording = Recording::made_at(&self.place, self.before.clone());
        recording.witness(recording.log.events.len())
    }

    fn counts(&self) -> Counts {
        Calls::EACH.map(|(class, _)| self.recorder.calls(class))
    }
}

/// What the points start from.
pub(crate) struct Ground {
    pub(crate) place: PathBuf,
    pub(crate) stopped: Run,
    pub(crate) killed: Run,
    /// How many calls of each class a stage makes without faults.
    pub(crate) counts: Vec<(Stage, Counts)>,
}

impl Ground {
    pub(crate) fn prepare(place: &Path) -> Self {
        fs::create_dir(place).expect("the place is ours");
        let mut counts = Vec::new();
        let mut note = |stage, before: Counts, run: &Run| {
            let now = run.counts();
            counts.push((stage, std::array::from_fn(|index| now[index] - before[index])));
            now
        };
        let mut workload = Workload::new(7);
        let stopped = Run::new(&place.join("stopped"), None);
        let mut server = stopped.launch().expect("nothing fails yet");
        let made = note(Stage::Creation, Counts::default(), &stopped);
        assert!(workload.run(&server, LITTLE).is_empty());
        let served = note(Stage::Service, made, &stopped);
        server.stop();
        note(Stage::Stop, served, &stopped);

        let killed = Run::new(&place.join("killed"), None);
        let mut server = killed.launch().expect("nothing fails yet");
        assert!(workload.run(&server, LITTLE).is_empty());
        killed.recorder.strike(Calls::THAT_MATTER, 20, Blow::Kill);
        workload.run(&server, SOME);
        server.wait();
        killed.recorder.calm();

        for (stage, name, run) in [(Stage::Opening, "open", &stopped), (Stage::Recovery, "recover", &killed)]
        {
            let run = Run::new(&place.join(name), Some(run));
            run.launch().expect("nothing fails yet").stop();
            note(stage, Counts::default(), &run);
        }
        Self { place: place.to_owned(), stopped, killed, counts }
    }

    /// From each sync of a creation on, all of them fail.
    pub(crate) fn syncs_that_fail_from_then_on(&self) -> Vec<Point> {
        let class = Calls::EACH[3];
        let counts = self.counts.iter().find(|(stage, _)| *stage == Stage::Creation);
        let (_, counts) = counts.expect("every stage is counted");
        (1..=counts[3])
            .map(|nth| Point {
                seed: nth,
                stage: Stage::Creation,
                class,
                nth,
                blow: Blow::FailFromThenOn(Errno::Io),
            })
            .collect()
    }
}

/// How a point went.
pub(crate) struct Went {
    pub(crate) ended: Ended,
    pub(crate) early: Vec<ClientError>,
}

pub(crate) fn go_through(point: &Point, run: &Run) -> Went {
    let mut workload = Workload::new(point.seed);
    let arm = || run.recorder.strike(point.class.0, point.nth, point.blow);
    let mut early = Vec::new();
    let while_opening = !matches!(point.stage, Stage::Service | Stage::Stop);
    if while_opening {
        arm();
    }
    let ended = match run.launch() {
        Err(ended) => ended,
        Ok(mut server) => {
            early.extend(workload.run(&server, LITTLE));
            if point.stage == Stage::Service {
                arm();
                for _ in 0..20 {
                    if run.recorder.struck() > 0 {
                        break;
                    }
                    early.extend(workload.run(&server, LITTLE));
                }
            } else if point.stage == Stage::Stop {
                arm();
            }
            server.terminate();
            server.wait()
        }
    };
    run.recorder.calm();
    Went { ended, early }
}
