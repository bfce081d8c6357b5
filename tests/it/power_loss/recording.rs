//! Recordings of a real server through clean stops, kills, recoveries, and kills in the middle of those.
//!
//! Each recording proves the recorder: what its events amount to is, byte by byte, what the directory holds at the end.

use super::conversation::Conversation;
use super::disk::Disk;
use super::event_log::{EventLog, What};
use super::witness::Witness;
use super::workload::{Amount, SOME, Workload};
use crate::books::Chance;
use crate::recorder::{Blow, Calls, Recorder};
use crate::server::{Ended, Server};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A recording on disk: `log`, `base` if it did not begin with nothing, and `after`, which names the recording and the event
/// after which the power was cut to get `base`.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) log: EventLog,
    pub(crate) conversation: Conversation,
    /// What everybody knew when it began.
    pub(crate) before: Witness,
    place: PathBuf,
}

/// How a recording is cut.
#[derive(Debug)]
pub(crate) struct Parts {
    /// How likely it is to be this recording: less for one that takes long to open.
    pub(crate) weight: u64,
    /// Events that are equally likely to hold the cut: of each process its start, its service, and its end.
    pub(crate) ranges: Vec<Range<usize>>,
}

impl Recording {
    /// Reads recording number `index` of a collection.
    pub(crate) fn read(collection: &Path, index: usize) -> Self {
        let place = place(collection, index);
        let before = match fs::read_to_string(place.join("after")) {
            Ok(text) => {
                let numbers: Vec<usize> =
                    text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
                Self::read(collection, numbers[0]).witness(numbers[1])
            }
            Err(_) => Witness::default(),
        };
        Self::made_at(&place, before)
    }

    /// Reads the recording at this place, with what everybody knew when it began.
    pub(crate) fn made_at(place: &Path, before: Witness) -> Self {
        let log = EventLog::read(&place.join("log"));
        let conversation = Conversation::read(&log);
        Self { log, conversation, before, place: place.to_owned() }
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// The disk before the first event.
    pub(crate) fn disk_at_start(&self) -> Disk {
        let base = self.place.join("base");
        if base.is_dir() { Disk::holding(&base) } else { Disk::empty() }
    }

    /// What everybody knows when the events before `cut` have happened.
    pub(crate) fn witness(&self, cut: usize) -> Witness {
        let mut witness = self.before.clone();
        witness.hear(&self.conversation, 0..cut);
        witness
    }
}

/// The parts of each recording of a collection, without reading the recordings themselves.
pub(crate) fn read_parts(collection: &Path) -> Vec<Parts> {
    let read = |index| {
        let text = fs::read_to_string(place(collection, index).join("parts")).expect("it was finished");
        let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
        let weight = numbers.next().expect("the weight comes first") as u64;
        let numbers: Vec<usize> = numbers.collect();
        Parts { weight, ranges: numbers.chunks(2).map(|range| range[0]..range[1]).collect() }
    };
    (0..count(collection)).map(read).collect()
}

fn place(collection: &Path, index: usize) -> PathBuf {
    collection.join(format!("recording-{index}"))
}

/// How many recordings a collection has.
pub(crate) fn count(collection: &Path) -> usize {
    (0..).take_while(|&index| place(collection, index).is_dir()).count()
}

fn ranges(log: &EventLog) -> Vec<Range<usize>> {
    let is = |what: &What| {
        let what = what.clone();
        move |(_, event): &(usize, &super::event_log::Event)| event.what == what
    };
    let events = || log.events.iter().enumerate();
    let mut starts: Vec<usize> = events().filter(is(&What::Started)).map(|(at, _)| at).collect();
    starts.push(log.events.len());
    let mut ranges = Vec::new();
    for process in starts.windows(2) {
        let [start, end] = [process[0], process[1]];
        let within = |&(at, _): &(usize, &super::event_log::Event)| (start..end).contains(&at);
        let first = events().filter(within).find(is(&What::Received)).map_or(end, |(at, _)| at);
        let last = events().filter(within).filter(is(&What::Sent)).last().map_or(first, |(at, _)| at + 1);
        ranges.extend([start..first, first..last, last..end].into_iter().filter(|range| !range.is_empty()));
    }
    ranges
}

/// The engine writes its log in segments of this length.
const SEGMENT_BYTES: u64 = 8 << 20;

/// Records one life after another into a new collection.
#[derive(Debug)]
pub(crate) struct Studio<'a> {
    collection: &'a Path,
    chance: Chance,
}

impl<'a> Studio<'a> {
    pub(crate) fn new(collection: &'a Path, seed: u64) -> Self {
        Self { collection, chance: Chance(seed) }
    }

    fn new_session(&mut self, base: Option<&Path>) -> Session {
        let place = place(self.collection, count(self.collection));
        let root = place.join("root");
        fs::create_dir(&place).expect("the collection is ours");
        if let Some(base) = base {
            fs::rename(base, place.join("base")).expect("the image is in the same collection");
            copy(&place.join("base"), &root);
        } else {
            fs::create_dir(&root).expect("the collection is ours");
        }
        let workload = Workload::new(self.chance.next());
        Session {
            recorder: Recorder::new(&root, &place),
            workload,
            place,
            chance: Chance(self.chance.next()),
        }
    }

    /// Creation, work, a clean stop, a reopening, work, a kill, two kills in the midst of recovery, and a recovery.
    pub(crate) fn record_a_life(&mut self) {
        let mut session = self.new_session(None);
        session.serve_and_stop(SOME);
        session.serve_and_kill();
        session.kill_while_opening(80);
        session.serve_and_kill();
        session.kill_while_opening(80);
        session.serve_and_stop(SOME);
        session.serve_and_stop(Amount { rounds: 2, ..SOME });
        session.finish(16);
    }

    /// Kills in the midst of creation, over and over, and then some work.
    pub(crate) fn record_a_hard_birth(&mut self) {
        let mut session = self.new_session(None);
        for _ in 0..4 {
            session.kill_while_opening(60);
        }
        session.serve_and_kill();
        session.serve_and_stop(Amount { rounds: 2, ..SOME });
        session.finish(16);
    }

    /// So much work that the engine's log outgrows its first segments.
    pub(crate) fn record_a_long_life(&mut self) {
        let mut session = self.new_session(None);
        let much = Amount { connections: 2, rounds: 25, batch_max: 4_000, metadata: 256 };
        session.serve_and_stop(much);
        session.serve_and_kill();
        session.kill_while_opening(80);
        session.serve_and_stop(SOME);
        let bytes = fs::metadata(session.recorder.root().join("data/journal/db")).expect("the log").len();
        assert!(bytes > 2 * SEGMENT_BYTES, "only {bytes} bytes: it never outgrew a segment");
        session.finish(4);
    }

    /// Goes on with a directory that a power cut after an event of another recording left.
    /// An error is how a server ended that did not open it.
    pub(crate) fn record_a_life_after(
        &mut self,
        index: usize,
        cut: usize,
        image: &Path,
    ) -> Result<(), Ended> {
        let mut session = self.new_session(Some(image));
        fs::write(session.place.join("after"), format!("{index} {cut}\n")).expect("the collection is ours");
        session.try_to_kill_while_opening(80)?;
        session.launch()?.stop();
        session.serve_and_kill();
        session.serve_and_stop(Amount { rounds: 4, ..SOME });
        session.finish(16);
        Ok(())
    }
}

/// One recording in the making.
#[derive(Debug)]
struct Session {
    recorder: Recorder,
    workload: Workload,
    place: PathBuf,
    chance: Chance,
}

impl Session {
    fn launch(&self) -> Result<Server, Ended> {
        let data = self.recorder.root().join("data");
        Server::launch(self.recorder.command(), &data, vec!["--shards".to_owned(), "2".to_owned()])
    }

    fn serve(&mut self, amount: Amount) -> Server {
        let server = self.launch().unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"));
        let early = self.workload.run(&server, amount);
        assert!(early.is_empty(), "{early:?}");
        server
    }

    fn serve_and_stop(&mut self, amount: Amount) {
        self.serve(amount).stop();
    }

    fn serve_and_kill(&mut self) {
        let mut server = self.serve(Amount { rounds: 3, ..SOME });
        self.recorder.strike(Calls::THAT_MATTER, 1 + self.chance.below(150), Blow::Kill);
        self.workload.run(&server, Amount { rounds: 1_000, ..SOME });
        assert_eq!(server.wait().code, None, "it was killed");
        self.recorder.calm();
    }

    fn kill_while_opening(&mut self, calls_max: u64) {
        let killed = self.try_to_kill_while_opening(calls_max);
        killed.unwrap_or_else(|ended| panic!("it was not killed, but ended: {ended:?}"));
    }

    /// Kills it at one of the first calls that matter; if it was ready before that, at once.
    fn try_to_kill_while_opening(&mut self, calls_max: u64) -> Result<(), Ended> {
        self.recorder.strike(Calls::THAT_MATTER, 1 + self.chance.below(calls_max), Blow::Kill);
        match self.launch() {
            Ok(mut server) => {
                self.recorder.strike(Calls::THAT_MATTER, 1, Blow::Kill);
                self.workload.run(&server, SOME);
                assert_eq!(server.wait().code, None, "it was killed");
            }
            Err(Ended { code: None, .. }) => {}
            Err(ended) => return Err(ended),
        }
        self.recorder.calm();
        Ok(())
    }

    /// Compares what the events amount to with what is there.
    fn finish(self, weight: u64) {
        let log = EventLog::read(self.recorder.log());
        let base = self.place.join("base");
        let mut disk = if base.is_dir() { Disk::holding(&base) } else { Disk::empty() };
        for event in &log.events {
            disk.follow(event, &log);
        }
        assert_same(&contents(self.recorder.root()), &disk.newest(&log));
        let mut parts = vec![format!("{weight}\n")];
        parts.extend(ranges(&log).iter().map(|range| format!("{} {}\n", range.start, range.end)));
        fs::write(self.place.join("parts"), parts.concat()).expect("the collection is ours");
        fs::remove_dir_all(self.recorder.root()).expect("the collection is ours");
    }
}

fn assert_same(found: &BTreeMap<String, Option<Vec<u8>>>, followed: &BTreeMap<String, Option<Vec<u8>>>) {
    let names = |tree: &BTreeMap<String, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(followed), "the directory and the recording differ");
    for (name, content) in found {
        assert!(followed[name] == *content, "{name} has other bytes than were recorded");
    }
}

/// Every file and directory below a directory.
pub(crate) fn contents(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("it lies below").to_str().expect("UTF-8").to_owned();
            let content = path.is_file().then(|| fs::read(&path).expect("a file"));
            if content.is_none() {
                directories.push(path);
            }
            found.insert(name, content);
        }
    }
    found
}

/// Copies a directory with all that is below it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the collection is ours");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("there is room for a copy");
        }
    }
}
