//! A disk as a log of events leaves it: of each file and directory, what is surely there after a power cut, and what has
//! happened since, in order.
//!
//! What is taken for granted is what POSIX says and every journalling file system keeps:
//!
//! - `fsync` and `fdatasync` of a file, once returned, make durable what was written to that file before they began, and the
//!   length needed to read it; of a directory, the names that were entered, left and changed in it before they began. Nothing
//!   more: a synced file may be without its name, and a synced name without its bytes.
//! - `sync_file_range` makes nothing durable.
//! - A rename is atomic: after a cut the name leads to the old file or to the new one.
//! - A kill of the process loses nothing; only a power cut does.
//!
//! Which of the rest survives is chosen in `crash_image`.

use super::event_log::{Event, EventLog, What};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

/// Where a file or directory stands in [`Disk::nodes`]; the root stands first.
pub(crate) type NodeIndex = usize;

/// Counts changes, so that what came before a sync can be told from what came after.
pub(crate) type Serial = u64;

/// All there is below the recorded root.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) nodes: Vec<Node>,
    /// The newest change of a name that a sync of any directory has made durable. A file system whose journal keeps the
    /// order of names has made all earlier ones durable with it.
    pub(crate) names_synced_until: Serial,
    handles: HashMap<u32, NodeIndex>,
    /// Syncs under way: of what, and from which change on they promise nothing.
    syncs: HashMap<u64, (NodeIndex, Serial)>,
    serial: Serial,
}

#[derive(Debug)]
pub(crate) enum Node {
    File(FileNode),
    Directory(DirectoryNode),
}

#[derive(Debug, Default)]
pub(crate) struct FileNode {
    /// The content that is surely there.
    pub(crate) durable: Rc<Vec<u8>>,
    pub(crate) pending: Vec<(Serial, Change)>,
}

/// A change of a file's content.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Bytes of the log.
    Bytes { offset: u64, data: Range<usize> },
    /// The byte of the log, many times.
    Fill { offset: u64, bytes: u64, data: Range<usize> },
    /// A new length.
    Length(u64),
}

#[derive(Debug, Default)]
pub(crate) struct DirectoryNode {
    /// The names that are surely there.
    pub(crate) durable: BTreeMap<String, NodeIndex>,
    pub(crate) pending: Vec<(Serial, Naming)>,
    /// The names as running processes see them.
    newest: BTreeMap<String, NodeIndex>,
}

/// A change of a directory's names.
#[derive(Debug, Clone)]
pub(crate) enum Naming {
    Enter(String, NodeIndex),
    Leave(String),
    Rename { from: String, to: String, node: NodeIndex },
}

impl Naming {
    pub(crate) fn apply(&self, names: &mut BTreeMap<String, NodeIndex>) {
        match self {
            Self::Enter(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Leave(name) => {
                names.remove(name);
            }
            Self::Rename { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl Change {
    /// Which bytes of the file it touches; of a new length none.
    pub(crate) fn touches(&self) -> Range<usize> {
        match self {
            Self::Bytes { offset, data } => *offset as usize..*offset as usize + data.len(),
            Self::Fill { offset, bytes, .. } => *offset as usize..(offset + bytes) as usize,
            Self::Length(_) => 0..0,
        }
    }

    /// Does it, but only up to `end` in the file.
    pub(crate) fn apply_until(&self, end: usize, log: &EventLog, content: &mut Vec<u8>) {
        let touched = self.touches();
        let end = touched.end.min(end);
        if touched.start < end && content.len() < end {
            set_length(content, end);
        }
        match self {
            Self::Bytes { data, .. } if touched.start < end => {
                let length = end - touched.start;
                content[touched.start..end].copy_from_slice(&log.data(data)[..length]);
            }
            Self::Fill { data, .. } if touched.start < end => {
                content[touched.start..end].fill(log.data(data)[0]);
            }
            Self::Length(length) => set_length(content, *length as usize),
            Self::Bytes { .. } | Self::Fill { .. } => {}
        }
    }

    pub(crate) fn apply(&self, log: &EventLog, content: &mut Vec<u8>) {
        self.apply_until(usize::MAX, log, content);
    }
}

impl Disk {
    /// A disk with nothing in the root.
    pub(crate) fn empty() -> Self {
        Self {
            nodes: vec![Node::Directory(DirectoryNode::default())],
            names_synced_until: 0,
            handles: HashMap::new(),
            syncs: HashMap::new(),
            serial: 0,
        }
    }

    /// A disk that holds, durably, what is in the directory.
    pub(crate) fn holding(path: &Path) -> Self {
        let mut disk = Self::empty();
        disk.hold(0, path);
        disk
    }

    fn hold(&mut self, directory: NodeIndex, path: &Path) {
        for entry in fs::read_dir(path).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("names are UTF-8");
            let node = self.nodes.len();
            if entry.file_type().expect("a type").is_dir() {
                self.nodes.push(Node::Directory(DirectoryNode::default()));
                self.hold(node, &entry.path());
            } else {
                let durable = Rc::new(fs::read(entry.path()).expect("a file"));
                self.nodes.push(Node::File(FileNode { durable, pending: Vec::new() }));
            }
            let names = self.directory_mut(directory);
            names.durable.insert(name.clone(), node);
            names.newest.insert(name, node);
        }
    }

    /// Lets one event happen.
    pub(crate) fn follow(&mut self, event: &Event, log: &EventLog) {
        self.serial += 1;
        match &event.what {
            What::Started => {
                self.handles.clear();
                self.syncs.clear();
            }
            What::Opened { path, creates, truncates } => {
                let node = self.find(path).unwrap_or_else(|| {
                    assert!(creates, "{path} was opened, and nobody had made it");
                    self.make(path, Node::File(FileNode::default()))
                });
                if *truncates {
                    self.change(node, Change::Length(0));
                }
                self.handles.insert(event.handle, node);
            }
            What::Wrote { offset } => {
                self.change_by(event.handle, Change::Bytes { offset: *offset, data: event.data.clone() });
            }
            What::Filled { offset, bytes } => {
                let change = Change::Fill { offset: *offset, bytes: *bytes, data: event.data.clone() };
                self.change_by(event.handle, change);
            }
            What::SetLength(length) => self.change_by(event.handle, Change::Length(*length)),
            What::SyncBegun { number } => {
                self.syncs.insert(*number, (self.handles[&event.handle], self.serial));
            }
            What::SyncEnded { number, failed } => {
                let (node, until) = self.syncs.remove(number).expect("a sync ends once, after it began");
                if !failed {
                    self.make_durable(node, until, log);
                }
            }
            What::Renamed { from, to } => {
                let ((directory, from), (same, to)) = (self.place(from), self.place(to));
                assert_eq!(directory, same, "a rename from one directory to another is not followed yet");
                let node = self.directory_mut(directory).newest[&from];
                self.name(directory, Naming::Rename { from, to, node });
            }
            What::Linked { from, to } => {
                let node = self.find(from).unwrap_or_else(|| panic!("nobody had made {from}"));
                let (directory, name) = self.place(to);
                self.name(directory, Naming::Enter(name, node));
            }
            What::Unlinked(path) | What::RemovedDirectory(path) => {
                let (directory, name) = self.place(path);
                assert!(self.find(path).is_some(), "{path} was removed, and nobody had made it");
                self.name(directory, Naming::Leave(name));
            }
            What::MadeDirectory(path) => {
                self.make(path, Node::Directory(DirectoryNode::default()));
            }
            What::RangeSynced | What::Accepted | What::Sent | What::Received | What::Faulted { .. } => {}
        }
    }

    /// Every file's path and newest content, as a running process sees them, and every directory's path.
    pub(crate) fn newest(&self, log: &EventLog) -> BTreeMap<String, Option<Vec<u8>>> {
        let mut found = BTreeMap::new();
        self.collect_newest(0, "", log, &mut found);
        found
    }

    fn collect_newest(
        &self,
        directory: NodeIndex,
        prefix: &str,
        log: &EventLog,
        found: &mut BTreeMap<String, Option<Vec<u8>>>,
    ) {
        let Node::Directory(directory) = &self.nodes[directory] else { panic!("{prefix} is a file") };
        for (name, &node) in &directory.newest {
            let path = format!("{prefix}{name}");
            match &self.nodes[node] {
                Node::Directory(_) => {
                    self.collect_newest(node, &format!("{path}/"), log, found);
                    found.insert(path, None);
                }
                Node::File(file) => {
                    let mut content = file.durable.as_ref().clone();
                    for (_, change) in &file.pending {
                        change.apply(log, &mut content);
                    }
                    found.insert(path, Some(content));
                }
            }
        }
    }

    /// The directory that holds a path's last name, and that name.
    fn place(&self, path: &str) -> (NodeIndex, String) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.find(directory).unwrap_or_else(|| panic!("nobody had made {directory}"));
        (directory, name.to_owned())
    }

    fn find(&self, path: &str) -> Option<NodeIndex> {
        let mut node = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Directory(directory) = &self.nodes[node] else { return None };
            node = *directory.newest.get(name)?;
        }
        Some(node)
    }

    fn make(&mut self, path: &str, node: Node) -> NodeIndex {
        let (directory, name) = self.place(path);
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.name(directory, Naming::Enter(name, node));
        node
    }

    fn name(&mut self, directory: NodeIndex, naming: Naming) {
        let serial = self.serial;
        let directory = self.directory_mut(directory);
        naming.apply(&mut directory.newest);
        directory.pending.push((serial, naming));
    }

    fn change_by(&mut self, handle: u32, change: Change) {
        self.change(self.handles[&handle], change);
    }

    fn change(&mut self, node: NodeIndex, change: Change) {
        let Node::File(file) = &mut self.nodes[node] else { panic!("a directory was written to") };
        file.pending.push((self.serial, change));
    }

    fn directory_mut(&mut self, node: NodeIndex) -> &mut DirectoryNode {
        match &mut self.nodes[node] {
            Node::Directory(directory) => directory,
            Node::File(_) => panic!("a file was used as a directory"),
        }
    }

    fn make_durable(&mut self, node: NodeIndex, until: Serial, log: &EventLog) {
        match &mut self.nodes[node] {
            Node::File(file) => {
                let synced = file.pending.partition_point(|&(serial, _)| serial < until);
                let content = Rc::make_mut(&mut file.durable);
                for (_, change) in file.pending.drain(..synced) {
                    change.apply(log, content);
                }
            }
            Node::Directory(directory) => {
                let synced = directory.pending.partition_point(|&(serial, _)| serial < until);
                for (_, naming) in directory.pending.drain(..synced) {
                    naming.apply(&mut directory.durable);
                }
                self.names_synced_until = self.names_synced_until.max(until);
            }
        }
    }
}

/// Cuts it off, or adds zeros at its end. (`resize` adds them one by one in a build without optimisation, and files are of megabytes.)
pub(crate) fn set_length(content: &mut Vec<u8>, length: usize) {
    match length.checked_sub(content.len()) {
        Some(missing) => content.extend_from_slice(&vec![0; missing]),
        None => content.truncate(length),
    }
}
