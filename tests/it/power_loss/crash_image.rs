//! What a power cut leaves of a disk: one of the many possibilities, chosen by a seed.
//!
//! A file's unsynced bytes reach the disk when the system writes them back: at any moment, in any order, sector by sector.
//! So after a cut each sector holds the bytes of *some* moment since the last sync, whatever its neighbours hold; a file that
//! grew may have its new length without its bytes, which then are zeros, or its bytes up to the last sector that was
//! written back. Losing, keeping, tearing and reordering of writes are all cases of this.
//!
//! Of unsynced names, either some prefix of all changes is there, as on a file system whose journal keeps their order
//! (ext4, XFS), or any of them, as POSIX allows.

use super::disk::{Change, DirectoryNode, Disk, FileNode, Node, NodeIndex, set_length};
use super::event_log::EventLog;
use crate::books::Chance;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Which unsynced writes of a file survive.
#[derive(Clone, Copy, Debug)]
enum BytesKept {
    Nothing,
    Everything,
    /// All up to some write, of which a part.
    Prefix,
    /// Each write is written back as a whole, or not.
    SomeWrites {
        percent: u64,
    },
    /// Each sector that a write touches is written back after it, or not.
    SomeSectors {
        percent: u64,
    },
    /// Each sector is written back once, after everything, or not.
    SomeSectorsAtTheEnd {
        percent: u64,
    },
    /// Only the last write: all before it were still waiting.
    LastWrite,
}

/// Which unsynced changes of names survive.
#[derive(Clone, Copy, Debug)]
enum NamesKept {
    Nothing,
    Everything,
    /// All up to some change, over all directories.
    Prefix,
    /// Any.
    Some {
        percent: u64,
    },
}

/// The choices of one image.
#[derive(Clone, Debug)]
pub(crate) struct Survival {
    names: NamesKept,
    /// For all files, unless each file chooses for itself.
    bytes: Option<BytesKept>,
    sector: usize,
    chance: Chance,
}

impl Survival {
    pub(crate) fn choose(chance: &mut Chance) -> Self {
        let percent = [5, 30, 50, 70, 95][chance.below(5) as usize];
        let names = match chance.below(6) {
            0 => NamesKept::Nothing,
            1 => NamesKept::Everything,
            2 | 3 => NamesKept::Prefix,
            _ => NamesKept::Some { percent },
        };
        let bytes = (chance.below(2) == 0).then(|| choose_bytes(chance));
        let sector = if chance.below(2) == 0 { 512 } else { 4096 };
        Self { names, bytes, sector, chance: Chance(chance.next()) }
    }
}

fn choose_bytes(chance: &mut Chance) -> BytesKept {
    let percent = [3, 20, 50, 80, 97][chance.below(5) as usize];
    match chance.below(10) {
        0 => BytesKept::Nothing,
        1 => BytesKept::Everything,
        2 | 3 => BytesKept::Prefix,
        4 | 5 => BytesKept::SomeWrites { percent },
        6 | 7 => BytesKept::SomeSectors { percent },
        8 => BytesKept::SomeSectorsAtTheEnd { percent },
        _ => BytesKept::LastWrite,
    }
}

/// Writes what is left of the disk into the directory, which is empty.
pub(crate) fn write_image(disk: &Disk, log: &EventLog, survival: Survival, into: &Path) {
    let Survival { names, bytes, sector, mut chance } = survival;
    let names_until = match names {
        NamesKept::Prefix => choose_names_until(disk, &mut chance),
        _ => 0,
    };
    let mut writing = Writing { disk, log, names, names_until, bytes, sector, chance };
    writing.write_directory(0, into);
}

/// Somewhere between the last sync of names and now.
fn choose_names_until(disk: &Disk, chance: &mut Chance) -> u64 {
    let mut serials: Vec<u64> = disk
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Directory(directory) => Some(directory.pending.iter().map(|&(serial, _)| serial + 1)),
            Node::File(_) => None,
        })
        .flatten()
        .filter(|&serial| serial > disk.names_synced_until)
        .collect();
    serials.push(disk.names_synced_until);
    serials[chance.below(serials.len() as u64) as usize]
}

struct Writing<'a> {
    disk: &'a Disk,
    log: &'a EventLog,
    names: NamesKept,
    names_until: u64,
    bytes: Option<BytesKept>,
    sector: usize,
    chance: Chance,
}

impl Writing<'_> {
    fn write_directory(&mut self, node: NodeIndex, path: &Path) {
        let Node::Directory(directory) = &self.disk.nodes[node] else { panic!("the root is a directory") };
        for (name, node) in self.surviving_names(directory) {
            let path = path.join(name);
            match &self.disk.nodes[node] {
                Node::Directory(_) => {
                    fs::create_dir(&path).expect("the place of the image is ours");
                    self.write_directory(node, &path);
                }
                Node::File(file) => write_sparse(&path, &self.surviving_bytes(file)),
            }
        }
    }

    fn surviving_names(&mut self, directory: &DirectoryNode) -> BTreeMap<String, NodeIndex> {
        let mut names = directory.durable.clone();
        for (serial, naming) in &directory.pending {
            let survives = match self.names {
                NamesKept::Nothing => false,
                NamesKept::Everything => true,
                NamesKept::Prefix => *serial < self.names_until,
                NamesKept::Some { percent } => self.chance.below(100) < percent,
            };
            if survives {
                naming.apply(&mut names);
            }
        }
        names
    }

    fn surviving_bytes(&mut self, file: &FileNode) -> Vec<u8> {
        let mut on_disk = file.durable.as_ref().clone();
        if file.pending.is_empty() {
            return on_disk;
        }
        let chance = &mut self.chance;
        let kept = self.bytes.unwrap_or_else(|| choose_bytes(chance));
        // What the system holds in memory, from which sectors are written back.
        let mut in_memory = on_disk.clone();
        let last = file.pending.len() - 1;
        let prefix = chance.below(file.pending.len() as u64 + 1) as usize;
        for (index, (_, change)) in file.pending.iter().enumerate() {
            let touched = change.touches();
            let mut end = usize::MAX;
            if matches!(kept, BytesKept::Prefix) && index == prefix {
                // The cut came in the middle of this one.
                end = touched.start + chance.below(touched.len() as u64 + 1) as usize;
            }
            change.apply_until(end, self.log, &mut in_memory);
            let percent = match kept {
                BytesKept::Nothing | BytesKept::SomeSectorsAtTheEnd { .. } => 0,
                BytesKept::Everything => 100,
                BytesKept::Prefix => 100 * u64::from(index <= prefix),
                BytesKept::SomeWrites { percent } => 100 * u64::from(chance.below(100) < percent),
                BytesKept::SomeSectors { percent } => percent,
                BytesKept::LastWrite => 100 * u64::from(index == last),
            };
            if matches!(change, Change::Length(_)) {
                if chance.below(100) < percent {
                    change.apply(self.log, &mut on_disk);
                }
            } else {
                write_back(&in_memory, &mut on_disk, touched, self.sector, percent, chance);
            }
        }
        if let BytesKept::SomeSectorsAtTheEnd { percent } = kept {
            for (_, change) in &file.pending {
                write_back(&in_memory, &mut on_disk, change.touches(), self.sector, percent, chance);
            }
        }
        let is_whole = matches!(kept, BytesKept::Everything | BytesKept::Prefix);
        if on_disk.len() < in_memory.len() && !is_whole && chance.below(3) == 0 {
            set_length(&mut on_disk, in_memory.len());
        }
        on_disk
    }
}

/// Copies sectors of `touched` from memory to the disk, each with this chance.
fn write_back(
    in_memory: &[u8],
    on_disk: &mut Vec<u8>,
    touched: std::ops::Range<usize>,
    sector: usize,
    percent: u64,
    chance: &mut Chance,
) {
    if percent == 0 || touched.is_empty() {
        return;
    }
    let mut copy = |start: usize, end: usize| {
        let end = end.min(in_memory.len());
        if start < end {
            if on_disk.len() < end {
                set_length(on_disk, end);
            }
            on_disk[start..end].copy_from_slice(&in_memory[start..end]);
        }
    };
    let (first, last) = (touched.start / sector, (touched.end - 1) / sector);
    if percent == 100 {
        copy(first * sector, (last + 1) * sector);
        return;
    }
    for index in first..=last {
        if chance.below(100) < percent {
            copy(index * sector, (index + 1) * sector);
        }
    }
}

/// Zeros take no room and no time.
fn write_sparse(path: &Path, bytes: &[u8]) {
    const BLOCK: usize = 64 << 10;
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let file = File::create_new(path).expect("the place of the image is ours");
    file.set_len(bytes.len() as u64).expect("there is room for the image");
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if block != &ZEROS[..block.len()] {
            file.write_all_at(block, (index * BLOCK) as u64).expect("there is room for the image");
        }
    }
}
