//! The ticket of an operation: whether it is still open, committed or closed, in one word.
//!
//! Every reservation of an operation, in whatever wallet, looks at the same ticket, so they all see the same fate at
//! the same moment. An operation may be attempted several times; the word carries the number of the attempt, and
//! whoever still holds an older number sees that its attempt was cancelled. It is changed only inside the sequencer's
//! critical section (each change asks for it as proof), and read anywhere. It owns nothing but itself.

use ledger::WalletId;
use persistence::sync::AtomicU64;
use persistence::{Committed, CriticalSection};
use std::sync::atomic::Ordering;

/// Bits of the word: attempt (8) · phase (2) · sequence number (54).
const ATTEMPT_SHIFT: u32 = 56;
const PHASE_SHIFT: u32 = 54;
const PHASE_MASK: u64 = 0b11;
const SEQ_MASK: u64 = (1 << PHASE_SHIFT) - 1;

const OPEN: u64 = 0;
const COMMITTED: u64 = 1;
const CLOSED: u64 = 2;
const REFUSED: u64 = 3;

/// What the entry says that resolves a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The operation is done: what was reserved for it is taken.
    Done,
    /// The operation is refused for good: what was reserved for it is not needed any more.
    Refused,
}

/// The fate of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not known yet.
    Open,
    /// It is done: the entry stands in the journal.
    Committed {
        /// Its sequence number.
        seq: u64,
        /// Its time, in nanoseconds since 1970.
        timestamp_ns: u64,
    },
    /// Nothing was and nothing will be moved by this attempt: it was cancelled, or refused for good.
    Cancelled,
}

/// The attempt is not open any more: somebody else has cancelled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOpen;

/// One operation's ticket, open for its first attempt.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    word: AtomicU64,
    /// The time of the entry that has resolved it. Stored before the word, read after it.
    timestamp_ns: AtomicU64,
}

/// Why an entry was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotCommitted {
    /// Somebody else has cancelled the attempt.
    NotOpen,
    /// The entry would have a time at which what was decided does not hold any more.
    TooLate,
}

impl Ticket {
    /// What became of `attempt`.
    pub(crate) fn fate(&self, attempt: u8) -> Fate {
        let word = self.word.load(Ordering::Acquire);
        if attempt_of(word) != attempt {
            return Fate::Cancelled;
        }
        match phase_of(word) {
            OPEN => Fate::Open,
            COMMITTED => Fate::Committed {
                seq: word & SEQ_MASK,
                timestamp_ns: self.timestamp_ns.load(Ordering::Relaxed),
            },
            _ => Fate::Cancelled,
        }
    }

    /// The number of the attempt that is or was the last.
    pub(crate) fn attempt(&self) -> u8 {
        attempt_of(self.word.load(Ordering::Acquire))
    }

    /// Appends the entry and resolves the ticket with it, if `attempt` is still open and the entry's time is before the
    /// second of `times`. The first is the time now.
    pub(crate) fn commit(
        &self,
        attempt: u8,
        verdict: Verdict,
        section: &mut CriticalSection<'_>,
        times: (u64, u64),
        payload: &[u8],
        wallets: &[WalletId],
    ) -> Result<Committed, NotCommitted> {
        let (now_ns, valid_until_ns) = times;
        self.require_open(attempt).map_err(|NotOpen| NotCommitted::NotOpen)?;
        // The section is ours, so the number and the time to come are known.
        let timestamp_ns = section.next_timestamp_ns(now_ns);
        if timestamp_ns >= valid_until_ns && !cfg!(bursar_broken = "late_commit") {
            return Err(NotCommitted::TooLate);
        }
        let seq = section.head_seq() + 1;
        assert!(seq <= SEQ_MASK, "sequence numbers fit 54 bits for as long as there are disks");
        let phase = match verdict {
            Verdict::Done => COMMITTED,
            Verdict::Refused => REFUSED,
        };
        // The word before the number is published: who reads the appended head H and then this word sees every
        // commit up to H.
        self.timestamp_ns.store(timestamp_ns, Ordering::Relaxed);
        self.word.store(word(attempt, phase, seq), Ordering::Release);
        let committed = section.append(now_ns, payload, wallets);
        assert_eq!(
            committed,
            Committed { seq, timestamp_ns },
            "the section gives numbers out one after another"
        );
        Ok(committed)
    }

    /// Cancels `attempt` so that the operation can be attempted again: opens the next one and returns its number.
    pub(crate) fn cancel_to_retry(
        &self,
        attempt: u8,
        _section: &mut CriticalSection<'_>,
    ) -> Result<u8, NotOpen> {
        self.require_open(attempt)?;
        let next = attempt.checked_add(1).expect("attempts are bounded far below 256");
        self.word.store(word(next, OPEN, 0), Ordering::Release);
        Ok(next)
    }

    /// Cancels whatever attempt is open, for good.
    pub(crate) fn close(&self, _section: &mut CriticalSection<'_>) -> Result<(), NotOpen> {
        let attempt = self.attempt();
        self.require_open(attempt)?;
        self.word.store(word(attempt, CLOSED, 0), Ordering::Release);
        Ok(())
    }

    fn require_open(&self, attempt: u8) -> Result<(), NotOpen> {
        if cfg!(bursar_broken = "no_ticket_check") || self.fate(attempt) == Fate::Open {
            Ok(())
        } else {
            Err(NotOpen)
        }
    }
}

fn word(attempt: u8, phase: u64, seq: u64) -> u64 {
    u64::from(attempt) << ATTEMPT_SHIFT | phase << PHASE_SHIFT | seq
}

fn attempt_of(word: u64) -> u8 {
    (word >> ATTEMPT_SHIFT) as u8
}

fn phase_of(word: u64) -> u64 {
    word >> PHASE_SHIFT & PHASE_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use persistence::{LedgerClock, Sequencer};
    use std::sync::Arc;

    #[test]
    fn a_ticket_is_committed_or_cancelled_and_never_both() {
        let sequencer = Sequencer::new(0, 0, Arc::new(LedgerClock::start(0)));
        let mut section = sequencer.enter();

        let committed = Ticket::default();
        assert_eq!(committed.fate(0), Fate::Open);
        let done = |ticket: &Ticket, attempt, section: &mut CriticalSection<'_>| {
            ticket.commit(attempt, Verdict::Done, section, (1, u64::MAX), b"entry", &[])
        };
        let not_open = Err(NotCommitted::NotOpen);
        let first = done(&committed, 0, &mut section).unwrap();
        assert_eq!(first.seq, 1);
        assert_eq!(committed.fate(0), Fate::Committed { seq: 1, timestamp_ns: first.timestamp_ns });
        assert_eq!(done(&committed, 0, &mut section), not_open);
        assert_eq!(committed.cancel_to_retry(0, &mut section), Err(NotOpen));
        assert_eq!(committed.close(&mut section), Err(NotOpen));

        let retried = Ticket::default();
        assert_eq!(retried.cancel_to_retry(0, &mut section), Ok(1));
        assert_eq!((retried.fate(0), retried.fate(1)), (Fate::Cancelled, Fate::Open));
        assert_eq!(done(&retried, 0, &mut section), not_open);
        assert_eq!(done(&retried, 1, &mut section).unwrap().seq, 2);

        let closed = Ticket::default();
        assert_eq!(closed.close(&mut section), Ok(()));
        assert_eq!(closed.fate(0), Fate::Cancelled);
        assert_eq!(done(&closed, 0, &mut section), not_open);

        // Refused for good: journaled, and yet nothing of what was reserved for it is taken.
        let refused = Ticket::default();
        let refusal = refused.commit(0, Verdict::Refused, &mut section, (1, u64::MAX), b"entry", &[]);
        assert_eq!(refusal.unwrap().seq, 3);
        assert_eq!(refused.fate(0), Fate::Cancelled);
        assert_eq!(done(&refused, 0, &mut section), not_open);
        assert_eq!(refused.close(&mut section), Err(NotOpen));
        assert_eq!(section.head_seq(), 3);

        // Decided on what expires: to the nanosecond.
        let dated = Ticket::default();
        let time = section.next_timestamp_ns(1);
        let until = |valid_until_ns, section: &mut CriticalSection<'_>| {
            dated.commit(0, Verdict::Done, section, (1, valid_until_ns), b"entry", &[])
        };
        assert_eq!(until(time, &mut section), Err(NotCommitted::TooLate));
        assert_eq!(dated.fate(0), Fate::Open);
        assert_eq!(until(time + 1, &mut section).unwrap(), Committed { seq: 4, timestamp_ns: time });
    }
}
