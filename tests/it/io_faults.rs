//! The disk fails: the n-th write, sync, open, rename … of a creation, an opening, a recovery, of service or of a stop is
//! answered with an error. The server then refuses to start, or ends, with a code and a message; nobody is told of an
//! outcome that is not there afterwards; and without the fault everything that was acknowledged is there.
//!
//! `BURSAR_TEST_IO_FAULT_POINTS` says how many points are tried, `BURSAR_TEST_IO_FAULT_SEED` with which seed the first one is
//! chosen.

use crate::books::{Chance, setting};
use crate::power_loss::crash_image::Survival;
use crate::power_loss::event_log::What;
use crate::power_loss::image_check::{check_opened, check_served};
use crate::power_loss::recording::{Recording, copy};
use crate::power_loss::witness::Witness;
use crate::power_loss::workload::{Amount, SOME, Workload};
use crate::power_loss::{Following, scratch};
use crate::recorder::{Blow, Calls, Errno, Recorder};
use crate::separate_process::{Heard, SeparateProcess, say, task};
use crate::server::{Ended, Server};
use client::ClientError;
use protocol::ErrorCode;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

/// When the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
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

const STAGES: [Stage; 5] = [Stage::Creation, Stage::Opening, Stage::Recovery, Stage::Service, Stage::Stop];

/// Little, so that many points can be tried.
const LITTLE: Amount = Amount { connections: 3, rounds: 4, batch_max: 6, metadata: 20 };

type Counts = [u64; Calls::EACH.len()];

/// One fault.
#[derive(Clone, Copy, Debug)]
struct Point {
    seed: u64,
    stage: Stage,
    class: (Calls, &'static str),
    nth: u64,
    blow: Blow,
}

impl Point {
    fn choose(seed: u64, counts: &[(Stage, Counts)]) -> Self {
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
struct Run {
    place: PathBuf,
    recorder: Recorder,
    before: Witness,
}

impl Run {
    /// Begins with a copy of the other run's directory, as it was left; or with nothing.
    fn new(place: &Path, after: Option<&Run>) -> Self {
        fs::create_dir(place).expect("the place is ours");
        let (root, base) = (place.join("root"), place.join("base"));
        let before = match after {
            Some(run) => {
                copy(run.recorder.root(), &root);
                copy(run.recorder.root(), &base);
                run.witness()
            }
            None => {
                fs::create_dir(&root).expect("the place is ours");
                Witness::default()
            }
        };
        Self { place: place.to_owned(), recorder: Recorder::new(&root, place), before }
    }

    fn data(&self) -> PathBuf {
        self.recorder.root().join("data")
    }

    fn launch(&self) -> Result<Server, Ended> {
        Server::launch(self.recorder.command(), &self.data(), vec!["--shards".to_owned(), "2".to_owned()])
    }

    /// What was asked and acknowledged, up to now.
    fn witness(&self) -> Witness {
        let recording = Recording::made_at(&self.place, self.before.clone());
        recording.witness(recording.log.events.len())
    }

    fn counts(&self) -> Counts {
        Calls::EACH.map(|(class, _)| self.recorder.calls(class))
    }
}

/// What the points start from.
struct Ground {
    place: PathBuf,
    stopped: Run,
    killed: Run,
    /// How many calls of each class a stage makes without faults.
    counts: Vec<(Stage, Counts)>,
}

impl Ground {
    fn prepare(place: &Path) -> Self {
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
}

/// How a point went.
struct Went {
    struck: u64,
    ended: Ended,
    early: Vec<ClientError>,
}

fn go_through(point: &Point, run: &Run) -> Went {
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
    let struck = run.recorder.struck();
    run.recorder.calm();
    Went { struck, ended, early }
}

/// Reports how the points of its task went.
#[test]
#[ignore = "run by the test of the points, in processes of its own"]
fn some_points() {
    let Some(task) = task() else { return };
    let fields: Vec<&str> = task.splitn(4, ' ').collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let (first, end, step) = (number(fields[0]), number(fields[1]), number(fields[2]));
    let ground = Ground::prepare(Path::new(fields[3]));
    for seed in (first..end).step_by(step as usize) {
        let point = Point::choose(seed, &ground.counts);
        say("trying", &format!("{point:?}"));
        match try_point(&ground, &point) {
            Ok(()) => {}
            Err(fault) => say("fault", &format!("{point:?}: {fault}")),
        }
    }
    say("done", "");
}

fn try_point(ground: &Ground, point: &Point) -> Result<(), String> {
    let after = match point.stage {
        Stage::Creation => None,
        Stage::Recovery => Some(&ground.killed),
        Stage::Opening | Stage::Service | Stage::Stop => Some(&ground.stopped),
    };
    let run = Run::new(&ground.place.join(point.seed.to_string()), after);
    let went = go_through(point, &run);
    let recording = Recording::made_at(&run.place, run.before.clone());
    check_end(&recording, &run, &went)?;
    let mut following = Following::start(&recording);
    following.go_on_until(recording.log.events.len());
    let mut chance = Chance(point.seed);
    // After a sync that failed, the bytes may be gone although the process goes on to see them.
    let image = run.place.join("image");
    following.write_image(&Survival::choose(&mut chance), &image);
    let witness = &following.witness;
    check_opened(&image.join("data"), witness, &mut chance)
        .map_err(|fault| format!("after a power cut: {fault}"))?;
    if chance.below(3) == 0 {
        check_served(&run.data(), witness, &mut chance)?;
    } else {
        check_opened(&run.data(), witness, &mut chance)?;
    }
    fs::remove_dir_all(&run.place).expect("the place is ours");
    Ok(())
}

fn check_end(recording: &Recording, run: &Run, went: &Went) -> Result<(), String> {
    let mut paths = std::collections::HashMap::new();
    let mut struck = Vec::new();
    for event in &recording.log.events {
        match &event.what {
            What::Opened { path, .. } => drop(paths.insert(event.handle, path.clone())),
            What::Faulted { path } if path.is_empty() => struck.push(paths.get(&event.handle).cloned().unwrap_or_default()),
            What::Faulted { path } => struck.push(path.clone()),
            _ => {}
        }
    }
    let _ = run;
    say(
        "went",
        &format!(
            "struck {} {:?} code {:?} early {:?} stderr {}",
            went.struck,
            struck,
            went.ended.code,
            went.early.iter().map(ToString::to_string).collect::<Vec<_>>(),
            went.ended.stderr.replace(recording.place().to_str().unwrap(), "")
        ),
    );
    Ok(())
}

#[test]
fn wherever_the_disk_fails_the_server_says_so_and_nothing_acknowledged_is_lost() {
    let points = u64::from(setting("BURSAR_TEST_IO_FAULT_POINTS", 24));
    let first_seed = u64::from(setting("BURSAR_TEST_IO_FAULT_SEED", 1));
    let made = scratch();
    let processes = thread::available_parallelism().map_or(1, usize::from) as u64;
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for index in 0..processes {
            let place = made.path().join(format!("process-{index}"));
            let faults = &faults;
            scope.spawn(move || {
                let (first, end) = (first_seed + index, first_seed + points);
                let task = format!("{first} {end} {processes} {}", place.display());
                let process = SeparateProcess::start("io_faults::some_points", &task);
                let mut trying = String::from("none");
                let fault = |fault: String| faults.lock().expect("nobody panics with it").push(fault);
                loop {
                    match process.hear() {
                        Heard::Said(word, _) if word == "done" => break,
                        Heard::Said(word, point) if word == "trying" => trying = point,
                        Heard::Said(word, what) if word == "went" => println!("{trying} {what}"),
                        Heard::Said(_, what) => fault(what),
                        Heard::Hangs => break fault(format!("{trying} hangs")),
                        Heard::Ended => break fault(format!("{trying} ended the process that tried it")),
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().expect("nobody panics");
    let _ = (ErrorCode::Unavailable, STAGES);
    assert!(faults.is_empty(), "{faults:#?}");
}
