//! Where a kill hit: what the server was doing at that moment, as far as it can be seen from outside. The process is
//! held first, so that what is seen is what the kill then ends.

use crate::server_process::{Printed, ServerProcess};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the server was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KillPhase {
    /// Serving requests.
    UnderLoad,
    /// Held by SIGSTOP, with requests under way.
    WhileHeld,
    /// Starting: it had not taken the directory yet.
    StartBeforeLock,
    /// Making a new directory.
    StartCreating,
    /// It had the directory, and had not begun to look into the journal.
    StartLocked,
    /// Copying the journal, or checking the copy.
    StartCheckingCopy,
    /// Reading or opening the journal itself.
    StartOpeningJournal,
    /// The ledger was open, and nobody could connect yet.
    StartOpened,
    /// Ready, at once after the start.
    StartReady,
    /// Stopping, as asked: it had not marked the directory clean yet.
    StopBeforeMark,
    /// It had marked the directory clean, and was still there.
    StopAfterMark,
}

/// How many kills hit where.
pub(crate) type Kills = BTreeMap<&'static str, u64>;

impl KillPhase {
    pub(crate) const ALL: [Self; 11] = [
        Self::UnderLoad,
        Self::WhileHeld,
        Self::StartBeforeLock,
        Self::StartCreating,
        Self::StartLocked,
        Self::StartCheckingCopy,
        Self::StartOpeningJournal,
        Self::StartOpened,
        Self::StartReady,
        Self::StopBeforeMark,
        Self::StopAfterMark,
    ];

    /// As it is written in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnderLoad => "under_load",
            Self::WhileHeld => "while_held",
            Self::StartBeforeLock => "start_before_lock",
            Self::StartCreating => "start_creating",
            Self::StartLocked => "start_locked",
            Self::StartCheckingCopy => "start_checking_copy",
            Self::StartOpeningJournal => "start_opening_journal",
            Self::StartOpened => "start_opened",
            Self::StartReady => "start_ready",
            Self::StopBeforeMark => "stop_before_mark",
            Self::StopAfterMark => "stop_after_mark",
        }
    }

    pub(crate) fn count(self, kills: &mut Kills) {
        *kills.entry(self.name()).or_default() += 1;
    }
}

/// Kills a server that is held while it starts, and says where that hit.
pub(crate) async fn kill_starting(held: ServerProcess, data: &Path) -> Result<KillPhase> {
    let seen = SeenFromOutside::look(held.pid(), data);
    // It stands still, so what it had printed is what it has printed.
    let printed = held.kill().await?;
    Ok(seen.start_phase(printed))
}

/// Kills a server that is held after it was asked to stop, and says where that hit.
pub(crate) async fn kill_stopping(held: ServerProcess, data: &Path) -> Result<KillPhase> {
    let marked = is_marked(data);
    held.kill().await?;
    Ok(if marked { KillPhase::StopAfterMark } else { KillPhase::StopBeforeMark })
}

/// Whether a clean stop has come so far that it has said so in the directory.
pub(crate) fn is_marked(data: &Path) -> bool {
    data.join("CLEAN").exists()
}

/// What the file system shows of a server that stands still.
#[derive(Clone, Copy, Debug)]
struct SeenFromOutside {
    open: Open,
    /// There is a copy for checking.
    has_copy: bool,
    /// The directory is complete.
    is_complete: bool,
}

/// What it has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// No file of the data directory.
    Nothing,
    /// Files of the directory, but none of the journal.
    Directory,
    /// Files of the journal.
    Journal,
}

impl SeenFromOutside {
    fn look(pid: i32, data: &Path) -> Self {
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        let files = open_files(pid);
        let is_open = |path: &Path| files.iter().any(|file| file.starts_with(path));
        let open = match (is_open(&data.join("journal")), is_open(&data)) {
            (true, _) => Open::Journal,
            (false, true) => Open::Directory,
            (false, false) => Open::Nothing,
        };
        Self {
            open,
            has_copy: data.join("journal.check").exists(),
            is_complete: data.join("VERSION").exists(),
        }
    }

    fn start_phase(self, printed: Printed) -> KillPhase {
        match self {
            _ if printed.ready => KillPhase::StartReady,
            _ if printed.opened => KillPhase::StartOpened,
            Self { open: Open::Nothing, .. } => KillPhase::StartBeforeLock,
            Self { is_complete: false, .. } => KillPhase::StartCreating,
            Self { has_copy: true, .. } => KillPhase::StartCheckingCopy,
            Self { open: Open::Journal, .. } => KillPhase::StartOpeningJournal,
            _ => KillPhase::StartLocked,
        }
    }
}

fn open_files(pid: i32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_names_of_their_own_and_follow_from_what_is_seen() {
        let mut kills = Kills::new();
        for phase in KillPhase::ALL {
            phase.count(&mut kills);
        }
        assert_eq!(kills.len(), KillPhase::ALL.len());
        let complete = SeenFromOutside { open: Open::Directory, has_copy: false, is_complete: true };
        let check = |seen: SeenFromOutside, opened, ready, expected| {
            assert_eq!(seen.start_phase(Printed { opened, ready }), expected, "{seen:?}");
        };
        check(SeenFromOutside { open: Open::Nothing, ..complete }, false, false, KillPhase::StartBeforeLock);
        check(SeenFromOutside { is_complete: false, ..complete }, false, false, KillPhase::StartCreating);
        check(complete, false, false, KillPhase::StartLocked);
        let copying = SeenFromOutside { has_copy: true, open: Open::Journal, ..complete };
        check(copying, false, false, KillPhase::StartCheckingCopy);
        let opening = SeenFromOutside { open: Open::Journal, ..complete };
        check(opening, false, false, KillPhase::StartOpeningJournal);
        check(opening, true, false, KillPhase::StartOpened);
        check(opening, true, true, KillPhase::StartReady);
    }

    #[test]
    fn the_open_files_of_a_process_are_seen() {
        let place = tempfile::tempdir().expect("there is room for a directory");
        let data = place.path().join("data");
        fs::create_dir_all(data.join("journal")).expect("it is ours");
        let file = fs::File::create(data.join("journal/db")).expect("it is ours");
        let pid = std::process::id().cast_signed();
        let seen = SeenFromOutside::look(pid, &data);
        assert!(seen.open == Open::Journal && !seen.has_copy && !seen.is_complete, "{seen:?}");
        drop(file);
        assert_eq!(SeenFromOutside::look(pid, &data).open, Open::Nothing);
    }
}
