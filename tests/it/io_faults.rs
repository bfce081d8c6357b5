//! The disk fails: the n-th write, sync, open, rename … of a creation, an opening, a recovery, of service or of a stop is
//! answered with an error. The server then refuses to start, or ends, with a code and a message; nobody is told of an
//! outcome that is not there afterwards; and without the fault everything that was acknowledged is there.
//!
//! `BURSAR_TEST_IO_FAULT_POINTS` says how many points are tried, `BURSAR_TEST_IO_FAULT_SEED` with which seed the first one is
//! chosen.

mod ground;
mod verdict;

use crate::books::{Chance, setting};
use crate::power_loss::crash_image::Survival;
use crate::power_loss::image_check::{check_opened, check_served};
use crate::power_loss::recording::Recording;
use crate::power_loss::{Following, scratch};
use crate::separate_process::{Heard, SeparateProcess, say, task};
use ground::{Ground, Point, Run, Stage, go_through};
use std::fs;
use std::path::Path;
use std::thread;
use verdict::{check_end, check_everybody_was_told, is_known_fault, struck_paths};

/// How points went, in numbers.
#[derive(Default)]
struct Tally {
    /// A call was struck.
    struck: u64,
    /// The server refused to start, or ended, and said so.
    ended: u64,
    /// It was the fault of the storage engine that is known, and the server refused to serve what that left.
    known: u64,
}

/// Reports how the points of its task went.
#[test]
#[ignore = "run by the tests of the points, in processes of its own"]
fn some_points() {
    let Some(task) = task() else { return };
    let (which, place) = task.split_once(' ').expect("which, and where");
    let ground = Ground::prepare(Path::new(place));
    let points: Vec<Point> = match which.split_once('-') {
        None => ground.syncs_that_fail_from_then_on(),
        Some((first, rest)) => {
            let (end, step) = rest.split_once('-').expect("from, to, step");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let seeds = (number(first)..number(end)).step_by(number(step) as usize);
            seeds.map(|seed| Point::choose(seed, &ground.counts)).collect()
        }
    };
    for point in points {
        say("trying", &format!("{point:?}"));
        match try_point(&ground, &point) {
            Ok(tally) => say("went", &format!("{} {} {}", tally.struck, tally.ended, tally.known)),
            Err(fault) => say("fault", &format!("{point:?}: {fault}")),
        }
    }
    say("done", "");
}

fn try_point(ground: &Ground, point: &Point) -> Result<Tally, String> {
    let after = match point.stage {
        Stage::Creation => None,
        Stage::Recovery => Some(&ground.killed),
        Stage::Opening | Stage::Service | Stage::Stop => Some(&ground.stopped),
    };
    let run = Run::new(&ground.place.join(point.seed.to_string()), after);
    let went = go_through(point, &run);
    let recording = Recording::made_at(&run.place, run.before.clone());
    let struck = struck_paths(&recording);
    check_end(point, &run, &went, &struck)?;
    check_everybody_was_told(&recording).map_err(|fault| format!("{fault}; {:?}", went.ended))?;
    let tally = Tally {
        struck: u64::from(!struck.is_empty()),
        ended: u64::from(went.ended.code == Some(1)),
        known: u64::from(went.ended.code == Some(1) && is_known_fault(point, &struck)),
    };
    if tally.known == 0 {
        let mut chance = Chance(point.seed);
        check_afterwards(&run, &recording, &mut chance)?;
    }
    fs::remove_dir_all(&run.place).expect("the place is ours");
    Ok(tally)
}

/// Without faults, everything is there that was acknowledged.
fn check_afterwards(run: &Run, recording: &Recording, chance: &mut Chance) -> Result<(), String> {
    let mut following = Following::start(recording);
    following.go_on_until(recording.log.events.len());
    // After a sync that failed, the bytes may be gone although the process goes on to see them.
    let image = run.place.join("image");
    following.write_image(&Survival::choose(chance), &image);
    let witness = &following.witness;
    check_opened(&image.join("data"), witness, chance)
        .map_err(|fault| format!("after a power cut: {fault}"))?;
    if chance.below(3) == 0 {
        check_served(&run.data(), witness, chance)
    } else {
        check_opened(&run.data(), witness, chance).map(drop)
    }
}

/// Has some points tried by one process. Says how they went, and what was wrong.
fn try_points(which: &str, place: &Path) -> (Tally, Vec<String>) {
    let task = format!("{which} {}", place.display());
    let process = SeparateProcess::start("io_faults::some_points", &task);
    let (mut tally, mut faults) = (Tally::default(), Vec::new());
    let mut trying = String::from("the preparation");
    loop {
        match process.hear() {
            Heard::Said(word, point) if word == "trying" => trying = point,
            Heard::Said(word, numbers) if word == "went" => {
                let mut numbers = numbers.split(' ').map(|number| number.parse::<u64>().expect("a number"));
                let mut next = || numbers.next().expect("three numbers");
                tally.struck += next();
                tally.ended += next();
                tally.known += next();
            }
            Heard::Said(word, fault) if word == "fault" => faults.push(fault),
            Heard::Said(..) => return (tally, faults),
            Heard::Hangs => {
                faults.push(format!("{trying} hangs"));
                return (tally, faults);
            }
            Heard::Ended => {
                faults.push(format!("{trying} ended the process that tried it"));
                return (tally, faults);
            }
        }
    }
}

/// The engine syncs when it is let go of, and panics if that fails: on the way out of an error, too.
#[test]
fn a_sync_that_fails_on_the_way_out_of_an_error_is_no_panic() {
    let place = scratch();
    let (tally, faults) = try_points("syncs", &place.path().join("process"));
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(tally.ended > 10 && tally.ended == tally.struck, "{} of {}", tally.ended, tally.struck);
}

#[test]
fn wherever_the_disk_fails_the_server_says_so_and_nothing_acknowledged_is_lost() {
    let points = u64::from(setting("BURSAR_TEST_IO_FAULT_POINTS", 24));
    let first_seed = u64::from(setting("BURSAR_TEST_IO_FAULT_SEED", 1));
    let place = scratch();
    let processes = thread::available_parallelism().map_or(1, usize::from) as u64;
    let went: Vec<(Tally, Vec<String>)> = thread::scope(|scope| {
        let run = |index| {
            let place = place.path().join(format!("process-{index}"));
            let which = format!("{}-{}-{processes}", first_seed + index, first_seed + points);
            move || try_points(&which, &place)
        };
        let threads: Vec<_> = (0..processes).map(|index| scope.spawn(run(index))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let sum = |count: fn(&Tally) -> u64| went.iter().map(|(tally, _)| count(tally)).sum::<u64>();
    let (struck, ended, known) =
        (sum(|tally| tally.struck), sum(|tally| tally.ended), sum(|tally| tally.known));
    let faults: Vec<&String> = went.iter().flat_map(|(_, faults)| faults).collect();
    println!(
        "{points} points: a call was struck in {struck}, the server ended and said so in {ended}, {known} met the known \
         fault of the storage engine; {} faults",
        faults.len()
    );
    assert!(
        faults.is_empty(),
        "{faults:#?}\nto see one again:\nBURSAR_TEST_IO_FAULT_SEED=<its seed> BURSAR_TEST_IO_FAULT_POINTS=1 cargo test \
         --test it io_faults"
    );
    assert!(10 * struck >= 7 * points, "only {struck} of {points} points were reached");
}
