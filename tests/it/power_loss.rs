//! Power cuts, replayed: what a real server did to its directory is recorded call by call, thousands of images of what a
//! power cut could have left are built from that, and each is opened with the real code. Every outcome that had left the
//! server's sockets by then must be there, and nothing may be refused that only the power cut did.
//!
//! `BURSAR_TEST_POWER_LOSS_IMAGES` says how many images, `BURSAR_TEST_POWER_LOSS_SEED` with which seed the first one is
//! made. A failure keeps its recordings and names them for `BURSAR_TEST_POWER_LOSS_RECORDINGS`, since no two recordings of a
//! real server are alike.
//!
//! | module | is |
//! |---|---|
//! | `workload`, `studio` | what is recorded |
//! | `recording` | what was recorded |
//! | `event_log` | the recorder's events, read |
//! | `disk` | what is surely on disk after some event, and what is not |
//! | `crash_image` | one possibility of what is left |
//! | `conversation`, `witness` | what was acknowledged by then, and whether it is there |
//! | `image_check` | opening |

pub(crate) mod conversation;
pub(crate) mod crash_image;
pub(crate) mod disk;
pub(crate) mod event_log;
pub(crate) mod image_check;
pub(crate) mod recording;
mod studio;
pub(crate) mod witness;
pub(crate) mod workload;

use crate::books::{Chance, setting};
use crate::separate_process::{Heard, SeparateProcess, say, task};
use crash_image::{Survival, write_image};
use disk::Disk;
use image_check::{FINDINGS, Found};
use recording::{Parts, Recording, read_parts};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use studio::Studio;
use tempfile::TempDir;
use witness::Witness;

/// Images that one process opens: the storage engine keeps threads and memory for itself, and a hang takes only these.
const CHUNK: usize = 40;

/// From so many images on, a recording that takes longer is worth it, and so many images get one more recording.
const LONG_LIFE_FROM: usize = 500;

/// Room for recordings and for the images that are open at the same time.
const ROOM_BYTES: u64 = 1 << 30;

/// In memory where there is room, because a power cut that is only played needs no disk.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = persistence::free_bytes(memory).is_ok_and(|free| free > ROOM_BYTES);
    let made = if has_room { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// Where and how one image is cut.
#[derive(Clone, Debug)]
struct Cut {
    seed: u64,
    recording: usize,
    /// Events before this one have happened.
    event: usize,
    survival: Survival,
    /// For the checks.
    chance: Chance,
}

impl Cut {
    fn choose(seed: u64, parts: &[Parts]) -> Self {
        let mut chance = Chance(seed);
        let mut left = chance.below(parts.iter().map(|parts| parts.weight).sum());
        let mut recording = 0;
        while let Some(still_left) = left.checked_sub(parts[recording].weight) {
            (left, recording) = (still_left, recording + 1);
        }
        let ranges = &parts[recording].ranges;
        let range = &ranges[chance.below(ranges.len() as u64) as usize];
        let event = range.start + 1 + chance.below(range.len() as u64) as usize;
        let survival = Survival::choose(&mut chance);
        Self { seed, recording, event, survival, chance }
    }
}

/// A recording that is followed event by event, with what is known on the way.
pub(crate) struct Following<'a> {
    recording: &'a Recording,
    disk: Disk,
    pub(crate) witness: Witness,
    /// Events before this one have happened.
    event: usize,
}

impl<'a> Following<'a> {
    pub(crate) fn start(recording: &'a Recording) -> Self {
        let witness = recording.before.clone();
        Self { recording, disk: recording.disk_at_start(), witness, event: 0 }
    }

    pub(crate) fn go_on_until(&mut self, event: usize) {
        let events = self.event..event;
        for event in &self.recording.log.events[events.clone()] {
            self.disk.follow(event, &self.recording.log);
        }
        self.witness.hear(&self.recording.conversation, events);
        self.event = event;
    }

    /// Makes a directory of what a power cut now leaves.
    pub(crate) fn write_image(&self, survival: &Survival, place: &Path) {
        fs::create_dir(place).expect("the place is ours");
        write_image(&self.disk, &self.recording.log, survival.clone(), place);
    }
}

/// Opens the images of some seeds, and says on standard output how far it is.
fn check_images(collection: &Path, seeds: impl Iterator<Item = u64>) {
    let parts = read_parts(collection);
    let mut cuts: Vec<Cut> = seeds.map(|seed| Cut::choose(seed, &parts)).collect();
    // In this order each recording is followed once.
    cuts.sort_by_key(|cut| (cut.recording, cut.event));
    let place = tempfile::tempdir_in(collection).expect("the collection is ours");
    let mut found = Found::default();
    for cuts in cuts.chunk_by(|cut, next| cut.recording == next.recording) {
        let recording = &Recording::read(collection, cuts[0].recording);
        let mut following = Following::start(recording);
        for cut in cuts {
            following.go_on_until(cut.event);
            let image = place.path().join("image");
            following.write_image(&cut.survival, &image);
            say("opening", &cut.seed.to_string());
            let witness = &following.witness;
            match image_check::check(&image.join(&recording.data), witness, &mut cut.chance.clone()) {
                Ok(more) => found = add(found, more),
                Err(fault) => {
                    let newest = &recording.log.events[cut.event - 1].what;
                    let acknowledged = witness.acknowledged();
                    let seed = cut.seed;
                    say(
                        "fault",
                        &format!(
                            "{seed} {cut:?}, after {newest:?}, {acknowledged} outcomes acknowledged: {fault}"
                        ),
                    );
                }
            }
            fs::remove_dir_all(&image).expect("the place is ours");
        }
    }
    let found = found.map(|count| count.to_string());
    say("done", &found.join(" "));
}

fn add(found: Found, more: Found) -> Found {
    std::array::from_fn(|index| found[index] + more[index])
}

/// Opens the images that its task names.
#[test]
#[ignore = "run by the test of the images, in processes of its own"]
fn a_chunk_of_images() {
    let Some(task) = task() else { return };
    let fields: Vec<&str> = task.splitn(3, ' ').collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let (first, count) = (number(fields[0]), number(fields[1]));
    check_images(Path::new(fields[2]), (0..count).map(|index| first.wrapping_add(index)));
}

/// Has a chunk of images opened. Says what was found in them, and what was wrong with them.
fn check_chunk(collection: &Path, first_seed: u64, count: usize) -> (Found, Vec<String>) {
    let task = format!("{first_seed} {count} {}", collection.display());
    let process = SeparateProcess::start("power_loss::a_chunk_of_images", &task);
    let (mut found, mut faults) = (Found::default(), Vec::new());
    let mut opening = String::from("none");
    loop {
        match process.hear() {
            Heard::Said(word, counts) if word == "done" => {
                for (found, count) in found.iter_mut().zip(counts.split(' ')) {
                    *found = count.parse().expect("a number");
                }
                return (found, faults);
            }
            Heard::Said(word, seed) if word == "opening" => opening = seed,
            Heard::Said(_, fault) => faults.push(fault),
            Heard::Hangs => {
                faults.push(format!("{opening} hangs"));
                return (found, faults);
            }
            Heard::Ended => {
                faults.push(format!("{opening} ended the process that opened it"));
                return (found, faults);
            }
        }
    }
}

/// Recordings of lives that begin with nothing, and of lives after power cuts in those.
fn record(collection: &Path, seed: u64, images: usize) -> Result<(), String> {
    let mut studio = Studio::new(collection, seed);
    studio.record_a_life();
    studio.record_a_hard_birth();
    if images >= LONG_LIFE_FROM {
        studio.record_a_life();
        studio.record_a_long_life();
    }
    let parts = read_parts(collection);
    let mut chance = Chance(seed);
    for _ in 0..=images / LONG_LIFE_FROM {
        let cut = Cut::choose(chance.next(), &parts);
        let recording = Recording::read(collection, cut.recording);
        let mut following = Following::start(&recording);
        following.go_on_until(cut.event);
        let image = collection.join("image");
        following.write_image(&cut.survival, &image);
        let lived = studio.record_a_life_after(cut.recording, cut.event, &image);
        lived.map_err(|ended| format!("what {cut:?} left was not opened: {ended:?}"))?;
    }
    Ok(())
}

#[test]
fn after_a_power_cut_at_any_moment_everything_acknowledged_is_there() {
    let images = setting("BURSAR_TEST_POWER_LOSS_IMAGES", 150) as usize;
    let first_seed = u64::from(setting("BURSAR_TEST_POWER_LOSS_SEED", 1));
    let made = scratch();
    let given = std::env::var_os("BURSAR_TEST_POWER_LOSS_RECORDINGS").map(PathBuf::from);
    let collection = given.clone().unwrap_or_else(|| made.path().to_owned());
    let mut begun = Instant::now();
    if given.is_none()
        && let Err(fault) = record(&collection, first_seed, images)
    {
        panic!("{fault}\nthe newest recording in {} began with it", made.keep().display());
    }
    let recorded = begun.elapsed();
    begun = Instant::now();
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Found::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= images {
                        break;
                    }
                    let seed = first_seed.wrapping_add(first as u64);
                    let (found, faults) = check_chunk(&collection, seed, CHUNK.min(images - first));
                    let mut results = results.lock().expect("nobody panics with it");
                    results.0 = add(results.0, found);
                    results.1.extend(faults);
                }
            });
        }
    });
    let (found, faults): (Found, Vec<String>) = results.into_inner().expect("nobody panics with it");
    println!(
        "{images} images of {} recordings in {:.1} s, after {:.1} s of recording: {} faults",
        recording::count(&collection),
        begun.elapsed().as_secs_f64(),
        recorded.as_secs_f64(),
        faults.len()
    );
    for (finding, count) in FINDINGS.iter().zip(found) {
        println!("{count:6} images: {finding}");
        assert!(
            count > 0 || images < LONG_LIFE_FROM || !faults.is_empty(),
            "no image was {finding}: they are not what they should be"
        );
    }
    if let Some(first) = faults.first() {
        let seed = first.split(' ').next().expect("a split has a first part");
        let kept = if given.is_some() { collection } else { made.keep() };
        for fault in faults.iter().take(5) {
            println!("{fault}");
        }
        panic!(
            "{} of {images} images are at fault; the first: seed {first}\nto see it again:\n\
             BURSAR_TEST_POWER_LOSS_RECORDINGS={} BURSAR_TEST_POWER_LOSS_SEED={seed} \
             BURSAR_TEST_POWER_LOSS_IMAGES=1 cargo test --test it power_loss",
            faults.len(),
            kept.display()
        );
    }
}
