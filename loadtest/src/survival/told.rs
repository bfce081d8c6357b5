//! What was said of one thing that was asked for: a transfer, a wallet, an asset.

use crate::survival::findings::Findings;
use client::TransferView;
use client::ledger::{Outcome, RefusalDetail, Status};

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It surely was never sent.
    NotSent,
    /// It was sent, and no answer told what became of it.
    Unknown,
    /// It was answered. A repetition that was answered `exists` or `id_already_refused` tells of the first time.
    Answered { status: Status, seq: u64, timestamp_ns: u64 },
}

/// Whether a thing is sent once, or may be sent again while the first answer is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Once,
    Repeatedly,
}

impl From<&Outcome> for Told {
    fn from(outcome: &Outcome) -> Self {
        let &Outcome { status, seq, timestamp_ns, detail, .. } = outcome;
        let status = match (status, detail) {
            // It says of itself that the same id is to be sent again.
            (Status::Unavailable, _) => return Self::Unknown,
            (Status::Exists, _) => Status::Created,
            (Status::IdAlreadyRefused, RefusalDetail::AlreadyRefused { first_status }) => first_status,
            (status, _) => status,
        };
        Self::Answered { status, seq, timestamp_ns }
    }
}

impl Told {
    /// Whether the ledger must have an entry for it.
    pub(crate) fn is_on_record(self) -> bool {
        matches!(self, Self::Answered { status, .. } if status == Status::Created || status.is_final())
    }

    /// Whether it was done.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::Answered { status: Status::Created, .. })
    }

    /// Whether the ledger must have nothing of it.
    pub(crate) fn is_never_there(self) -> bool {
        self != Self::Unknown && !self.is_on_record()
    }

    /// Takes an answer in, and notes what about it contradicts what was said before.
    pub(crate) fn hear(
        &mut self,
        outcome: &Outcome,
        sent: Sent,
        name: impl Fn() -> String,
        findings: &mut Findings,
    ) {
        let now = Self::from(outcome);
        match (*self, now) {
            (_, Self::Unknown) => {}
            (Self::NotSent, _) => {
                findings.mismatch(format!("{} was never sent and is answered {outcome:?}", name()));
            }
            (before, now) if before.is_on_record() => {
                if before == now {
                    return;
                }
                let text = format!("{} was told {before:?} and then {outcome:?}", name());
                if now.is_done() && before.is_done() {
                    findings.double(text);
                } else {
                    findings.mismatch(text);
                }
            }
            // Another copy of it may be under way and may yet be done.
            (Self::Unknown, now) if sent == Sent::Repeatedly && !now.is_on_record() => {}
            (_, now) => {
                if sent == Sent::Once && (outcome.replayed || outcome.status == Status::Exists) {
                    findings.mismatch(format!("{} was sent once and answered {outcome:?}", name()));
                }
                *self = now;
            }
        }
    }
}

/// What was told of a transfer, against what is on record.
pub(crate) fn compare(
    told: Told,
    view: Option<&TransferView>,
    name: impl Fn() -> String,
    findings: &mut Findings,
) {
    compare_outcome(told, view.map(|view| &view.outcome), name, findings);
}

/// The same for anything that has an entry.
pub(crate) fn compare_outcome(
    told: Told,
    on_record: Option<&Outcome>,
    name: impl Fn() -> String,
    findings: &mut Findings,
) {
    let Told::Answered { status, seq, timestamp_ns } = told else {
        if let (Told::NotSent, Some(found)) = (told, on_record) {
            findings.mismatch(format!("{} was never sent and is there: {found:?}", name()));
        }
        return;
    };
    match on_record {
        None if told.is_on_record() => {
            findings.lose(format!("{} was answered {status} as entry {seq} and is not there", name()));
        }
        Some(found) if !told.is_on_record() => {
            findings.mismatch(format!("{} was answered {status} and is there: {found:?}", name()));
        }
        Some(found) if (found.status, found.seq, found.timestamp_ns) != (status, seq, timestamp_ns) => {
            findings.mismatch(format!(
                "{} was answered {status} as entry {seq} at {timestamp_ns}, on record is {} as entry {} at {}",
                name(),
                found.status,
                found.seq,
                found.timestamp_ns
            ));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: Status, seq: u64) -> Outcome {
        let detail = match status {
            Status::IdAlreadyRefused => {
                RefusalDetail::AlreadyRefused { first_status: Status::InsufficientFunds }
            }
            _ => RefusalDetail::None,
        };
        let replayed = matches!(status, Status::Exists | Status::IdAlreadyRefused);
        Outcome { status, replayed, seq, timestamp_ns: seq * 10, detail }
    }

    fn answered(status: Status, seq: u64) -> Told {
        Told::Answered { status, seq, timestamp_ns: seq * 10 }
    }

    /// Hears these answers in turn; returns what is known in the end, and how much was doubled and mismatched.
    fn hear(sent: Sent, outcomes: &[Outcome]) -> (Told, u64, u64) {
        let (mut told, mut findings) = (Told::Unknown, Findings::default());
        for outcome in outcomes {
            told.hear(outcome, sent, || "it".to_owned(), &mut findings);
        }
        (told, findings.doubled, findings.mismatches)
    }

    #[test]
    fn a_repetition_tells_of_the_first_time() {
        let check = |sent, statuses: &[(Status, u64)], expected: (Told, u64, u64)| {
            let outcomes: Vec<_> = statuses.iter().map(|&(status, seq)| outcome(status, seq)).collect();
            assert_eq!(hear(sent, &outcomes), expected, "{sent:?} {statuses:?}");
        };
        let (created, exists) = (Status::Created, Status::Exists);
        let (refused, again) = (Status::InsufficientFunds, Status::IdAlreadyRefused);
        check(Sent::Once, &[(created, 5)], (answered(created, 5), 0, 0));
        check(Sent::Once, &[(Status::Unavailable, 0)], (Told::Unknown, 0, 0));
        check(Sent::Once, &[(Status::Contended, 0)], (answered(Status::Contended, 0), 0, 0));
        check(Sent::Once, &[(exists, 5)], (answered(created, 5), 0, 1));
        check(Sent::Repeatedly, &[(exists, 5), (created, 5)], (answered(created, 5), 0, 0));
        check(Sent::Repeatedly, &[(refused, 5), (again, 5)], (answered(refused, 5), 0, 0));
        check(Sent::Repeatedly, &[(Status::Contended, 0)], (Told::Unknown, 0, 0));
        check(Sent::Repeatedly, &[(Status::Contended, 0), (created, 5)], (answered(created, 5), 0, 0));
        check(Sent::Repeatedly, &[(created, 5), (created, 6)], (answered(created, 5), 1, 0));
        check(Sent::Repeatedly, &[(created, 5), (exists, 6)], (answered(created, 5), 1, 0));
        check(Sent::Repeatedly, &[(refused, 5), (created, 6)], (answered(refused, 5), 0, 1));
        check(
            Sent::Repeatedly,
            &[(created, 5), (Status::ExistsWithDifferentAmount, 5)],
            (answered(created, 5), 0, 1),
        );
    }

    #[test]
    fn what_is_on_record_must_be_what_was_told() {
        let check = |told, on_record: Option<Outcome>, expected: (u64, u64)| {
            let mut findings = Findings::default();
            compare_outcome(told, on_record.as_ref(), || "it".to_owned(), &mut findings);
            assert_eq!((findings.lost, findings.mismatches), expected, "{told:?} {on_record:?}");
        };
        let (created, refused) = (Status::Created, Status::InsufficientFunds);
        check(answered(created, 5), Some(outcome(created, 5)), (0, 0));
        check(answered(refused, 5), Some(outcome(refused, 5)), (0, 0));
        check(answered(Status::Contended, 0), None, (0, 0));
        check(Told::Unknown, None, (0, 0));
        check(Told::Unknown, Some(outcome(created, 5)), (0, 0));
        check(Told::NotSent, None, (0, 0));
        check(answered(created, 5), None, (1, 0));
        check(answered(refused, 5), None, (1, 0));
        check(answered(created, 5), Some(outcome(created, 6)), (0, 1));
        check(answered(created, 5), Some(outcome(refused, 5)), (0, 1));
        check(answered(created, 5), Some(Outcome { timestamp_ns: 51, ..outcome(created, 5) }), (0, 1));
        check(answered(Status::Contended, 0), Some(outcome(created, 5)), (0, 1));
        check(Told::NotSent, Some(outcome(created, 5)), (0, 1));
    }
}
