//! Recordings of a real server, read: what it did to its disk, what was said meanwhile, and where to cut.

use super::conversation::Conversation;
use super::disk::Disk;
use super::event_log::{Event, EventLog, What};
use super::witness::Witness;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A recording on disk: `log`; `where` the data directory is, if not in `data`; `base` if it did not begin with nothing, and
/// `after`, which names the recording and the event after which the power was cut to get `base`.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) log: EventLog,
    pub(crate) conversation: Conversation,
    /// What everybody knew when it began.
    pub(crate) before: Witness,
    /// Where the data directory is, below the root.
    pub(crate) data: PathBuf,
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
        let data = fs::read_to_string(place.join("where")).map_or_else(|_| "data".into(), PathBuf::from);
        Self { log, conversation, before, data, place: place.to_owned() }
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

pub(crate) fn place(collection: &Path, index: usize) -> PathBuf {
    collection.join(format!("recording-{index}"))
}

/// How many recordings a collection has.
pub(crate) fn count(collection: &Path) -> usize {
    let mut count = 0;
    while place(collection, count).is_dir() {
        count += 1;
    }
    count
}

pub(crate) fn ranges(log: &EventLog) -> Vec<Range<usize>> {
    let is = |what: &What| {
        let what = what.clone();
        move |(_, event): &(usize, &Event)| event.what == what
    };
    let events = || log.events.iter().enumerate();
    let mut starts: Vec<usize> = events().filter(is(&What::Started)).map(|(at, _)| at).collect();
    starts.push(log.events.len());
    let mut ranges = Vec::new();
    for process in starts.windows(2) {
        let [start, end] = [process[0], process[1]];
        let within = |&(at, _): &(usize, &Event)| (start..end).contains(&at);
        let first = events().filter(within).find(is(&What::Received)).map_or(end, |(at, _)| at);
        let last = events().filter(within).rfind(is(&What::Sent)).map_or(first, |(at, _)| at + 1);
        ranges.extend([start..first, first..last, last..end].into_iter().filter(|range| !range.is_empty()));
    }
    ranges
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
