//! Where recordings are made: a real server through clean stops, kills, recoveries, and kills in the middle of those.
//!
//! Each recording proves the recorder: what its events amount to is, byte by byte, what the directory holds at the end.

use super::disk::Disk;
use super::event_log::EventLog;
use super::recording::{Recording, contents, copy, count, place, ranges};
use super::workload::{Amount, SOME, Workload};
use crate::books::Chance;
use crate::recorder::{Blow, Calls, Recorder};
use crate::server::{Ended, Server};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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

    fn new_session(&mut self, data: &Path, base: Option<&Path>) -> Session {
        let place = place(self.collection, count(self.collection));
        let root = place.join("root");
        fs::create_dir(&place).expect("the collection is ours");
        fs::write(place.join("where"), data.to_str().expect("UTF-8")).expect("the collection is ours");
        if let Some(base) = base {
            fs::rename(base, place.join("base")).expect("the image is in the same collection");
            copy(&place.join("base"), &root);
        } else {
            fs::create_dir(&root).expect("the collection is ours");
        }
        let workload = Workload::new(self.chance.next());
        Session {
            recorder: Recorder::new(&root, &place),
            data: data.to_owned(),
            workload,
            place,
            chance: Chance(self.chance.next()),
        }
    }

    /// Creation, work, a clean stop, a reopening, work, a kill, two kills in the midst of recovery, and a recovery.
    pub(crate) fn record_a_life(&mut self) {
        let mut session = self.new_session(Path::new("data"), None);
        session.serve_and_stop(SOME);
        session.serve_and_kill();
        session.kill_while_opening(80);
        session.serve_and_kill();
        session.kill_while_opening(80);
        session.serve_and_stop(SOME);
        session.serve_and_stop(Amount { rounds: 2, ..SOME });
        session.finish(16);
    }

    /// Kills in the midst of creation, over and over, the first one right at its beginning, and then some work.
    pub(crate) fn record_a_hard_birth(&mut self) {
        let mut session = self.new_session(Path::new("in/new/directories"), None);
        for calls_max in [6, 60, 60, 60] {
            session.kill_while_opening(calls_max);
        }
        session.serve_and_kill();
        session.serve_and_stop(Amount { rounds: 2, ..SOME });
        session.finish(16);
    }

    /// So much work that the engine's log outgrows its first segments.
    pub(crate) fn record_a_long_life(&mut self) {
        let mut session = self.new_session(Path::new("data"), None);
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
        let data = Recording::read(self.collection, index).data;
        let mut session = self.new_session(&data, Some(image));
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
    /// The data directory, below the root.
    data: PathBuf,
    workload: Workload,
    place: PathBuf,
    chance: Chance,
}

impl Session {
    fn launch(&self) -> Result<Server, Ended> {
        let data = self.recorder.root().join(&self.data);
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
