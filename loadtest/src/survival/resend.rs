//! Sending again what was sent before: nothing may happen twice, every answer must be that of the first time, and what
//! had no answer is told now.

use crate::ledger_calls::Answers;
use crate::survival::findings::Findings;
use crate::survival::told::Told;
use anyhow::{Context, Result, ensure};
use client::ledger::{Outcome, Status};

/// Operations sent again in one request.
const PER_REQUEST: usize = 1_000;

/// How often one is sent again that was answered that it should be.
const ATTEMPTS: usize = 10;

/// What is known after one was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) told: Told,
    /// It was done by this very repetition.
    pub(crate) done_now: bool,
}

/// Sends these again by way of `send`, some at a time, until each is settled. Returns what is known then, in order.
/// `free` are the refusals below 300 that leave nothing behind and may be right for what is sent.
pub(crate) async fn send_again<Item: Clone>(
    items: &[(Item, Told)],
    send: impl AsyncFn(&[Item]) -> Answers<Outcome>,
    name: impl Fn(&Item) -> String,
    free: &[Status],
    findings: &mut Findings,
) -> Result<Vec<Settled>> {
    let mut settled: Vec<Settled> =
        items.iter().map(|&(_, told)| Settled { told, done_now: false }).collect();
    let places: Vec<usize> = (0..items.len()).collect();
    for places in places.chunks(PER_REQUEST) {
        let mut left = places.to_vec();
        for attempt in 1..=ATTEMPTS {
            let sent: Vec<Item> = left.iter().map(|&place| items[place].0.clone()).collect();
            let outcomes = send(&sent).await.context("sending again")?;
            ensure!(outcomes.len() == sent.len(), "{} sent again, {} answered", sent.len(), outcomes.len());
            let mut unsettled = Vec::new();
            for (place, outcome) in left.into_iter().zip(&outcomes) {
                let (item, told) = &items[place];
                match judge(*told, outcome, || name(item), free, findings) {
                    Some(known) => settled[place] = known,
                    None if attempt == ATTEMPTS => findings.mismatch(format!(
                        "{} sent again is {} time after time",
                        name(item),
                        outcome.status
                    )),
                    None => unsettled.push(place),
                }
            }
            left = unsettled;
            if left.is_empty() {
                break;
            }
        }
    }
    Ok(settled)
}

/// What the answer to one that was sent again comes to; `None` if it is to be sent once more.
fn judge(
    told: Told,
    outcome: &Outcome,
    name: impl Fn() -> String,
    free: &[Status],
    findings: &mut Findings,
) -> Option<Settled> {
    let now = Told::from(outcome);
    let repeats = matches!(outcome.status, Status::Exists | Status::IdAlreadyRefused);
    if told.is_on_record() {
        if outcome.status == Status::Created {
            findings.double(format!("{}, {told:?}, was done again: {outcome:?}", name()));
            return Some(Settled { told, done_now: true });
        }
        if now == Told::Unknown {
            return None;
        }
        if repeats && outcome.replayed && now == told {
            findings.sent_again += 1;
        } else {
            findings.mismatch(format!("{}, {told:?}, sent again is {outcome:?}", name()));
        }
        return Some(Settled { told, done_now: false });
    }
    if !now.is_on_record() {
        if free.contains(&outcome.status) {
            return Some(Settled { told: now, done_now: false });
        }
        // Contended, unavailable and the like say that it is to be sent again; nothing else is right here.
        let wrong = outcome.status.number() < Status::Contended.number();
        if wrong {
            findings.mismatch(format!("{} sent again is {}", name(), outcome.status));
        }
        return wrong.then_some(Settled { told, done_now: false });
    }
    if repeats {
        findings.mismatch(format!("{} was not there, sent again it is {outcome:?}", name()));
    }
    Some(Settled { told: now, done_now: now.is_done() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::ledger::RefusalDetail;
    use std::cell::Cell;

    fn outcome(status: Status, seq: u64) -> Outcome {
        let detail = match status {
            Status::IdAlreadyRefused => {
                RefusalDetail::AlreadyRefused { first_status: Status::InsufficientFunds }
            }
            _ => RefusalDetail::None,
        };
        let replayed = matches!(status, Status::Exists | Status::IdAlreadyRefused);
        Outcome { status, replayed, seq, timestamp_ns: seq, detail }
    }

    fn answered(status: Status, seq: u64) -> Told {
        Told::Answered { status, seq, timestamp_ns: seq }
    }

    #[test]
    fn only_the_answer_of_the_first_time_is_right() {
        use Status::{
            AssetNotFound, Contended, Created, Exists, ExistsWithDifferentAmount, IdAlreadyRefused,
            InsufficientFunds, Unavailable,
        };
        let check = |told, (status, seq), expected: Option<(Told, bool)>, wrong: (u64, u64)| {
            let mut findings = Findings::default();
            let free = [Status::AssetNotFound];
            let settled = judge(told, &outcome(status, seq), || "it".to_owned(), &free, &mut findings);
            let settled = settled.map(|settled| (settled.told, settled.done_now));
            assert_eq!(settled, expected, "{told:?} {status:?}");
            assert_eq!((findings.doubled, findings.mismatches), wrong, "{told:?} {status:?}");
        };
        let (done, refused) = (answered(Created, 5), answered(InsufficientFunds, 5));
        check(done, (Exists, 5), Some((done, false)), (0, 0));
        check(done, (Exists, 6), Some((done, false)), (0, 1));
        check(done, (Created, 6), Some((done, true)), (1, 0));
        check(done, (ExistsWithDifferentAmount, 5), Some((done, false)), (0, 1));
        check(done, (IdAlreadyRefused, 5), Some((done, false)), (0, 1));
        check(done, (Unavailable, 0), None, (0, 0));
        check(refused, (IdAlreadyRefused, 5), Some((refused, false)), (0, 0));
        check(refused, (InsufficientFunds, 6), Some((refused, false)), (0, 1));
        check(refused, (Created, 6), Some((refused, true)), (1, 0));
        check(Told::Unknown, (Created, 6), Some((answered(Created, 6), true)), (0, 0));
        check(Told::Unknown, (InsufficientFunds, 6), Some((answered(InsufficientFunds, 6), false)), (0, 0));
        check(Told::Unknown, (Exists, 6), Some((answered(Created, 6), true)), (0, 1));
        check(Told::Unknown, (Contended, 0), None, (0, 0));
        check(Told::Unknown, (AssetNotFound, 0), Some((answered(AssetNotFound, 0), false)), (0, 0));
        check(Told::Unknown, (ExistsWithDifferentAmount, 6), Some((Told::Unknown, false)), (0, 1));
    }

    #[tokio::test]
    async fn what_is_to_be_sent_once_more_is_and_not_for_ever() {
        for (unavailable_times, wrong) in [(0, 0), (3, 0), (100, 1)] {
            let calls = Cell::new(0);
            let mut findings = Findings::default();
            let settled = send_again(
                &[(7, Told::Unknown)],
                async |items: &[i32]| {
                    assert_eq!(items, [7]);
                    calls.set(calls.get() + 1);
                    let late = calls.get() > unavailable_times;
                    Ok(vec![outcome(if late { Status::Created } else { Status::Unavailable }, 1)])
                },
                |_| "it".to_owned(),
                &[],
                &mut findings,
            );
            let settled = settled.await.expect("it was answered");
            assert_eq!(settled[0].done_now, wrong == 0, "{unavailable_times}");
            assert_eq!(findings.mismatches, wrong, "{unavailable_times}");
        }
    }
}
